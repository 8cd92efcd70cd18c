-- The same things done through each door leave the same record. The console is one of them where there is a browser, see
-- spec/console/browser.lua.

local audit = require "weir.audit"
local browser = dofile "spec/console/browser.lua"
local http = require "weir.port.http"
local json = require "weir.native.json"
local log_of = require "weir.log"
local operations = require "weir.doors.operations"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"

local ASK = [[
local weir = require "weir"
return weir.pipeline "ask" {
  weir.step "draft" { agent = "note", input = { text = "draft" } },
  weir.approval "release" { title = "Publish?", show = "$.draft", on_reject = "continue" },
  weir.step "last" { agent = "note", input = { text = "$.release.decision" } },
  output = "$.last",
}
]]
local NOTE = 'return { kind = "agent", name = "note", api = 1, execute = function(_, input) return input.text .. "%s" end }'

describe("the doors of a host", function()
  local folder, host
  setup(function()
    folder = support.folder()
    support.write(folder, "pipelines/ask.lua", ASK)
    support.write(folder, "modules/agents/note.lua", NOTE:format ".")
    host = serve.start { folder = folder, open_line = operations.open, listen = "127.0.0.1:0", write = true, env = function() end,
      logger = log_of.new { write = function() end } }
  end)
  teardown(function()
    host:stop "the spec is over"
    support.remove(folder)
  end)

  local function weir(...)
    local done = support.host({ ... }, { cwd = folder })
    assert.equal(0, done.status, done.stderr)
    return done.stdout
  end

  local function post(path, body)
    local answer = assert(http.fetch { url = host.url .. path, method = "POST", body = json.encode(body),
      headers = { authorization = "Bearer " .. host.http.token, ["content-type"] = "application/json" } })
    assert.is_true(answer.status < 300, answer.body)
    return json.decode(answer.body)
  end

  local DOORS = {
    cli = {
      approve = function(id) weir("approve", id, "--comment", "good", "-q") end,
      reject = function(id) weir("reject", id, "--comment", "bad", "-q") end,
      retry = function(run, step) return support.lines(weir("retry", run, "--from", step, "--json", "-q"))[1].run end,
      rollback = function(name) weir("rollback", name) end,
    },
    repl = {
      approve = function(id) weir("eval", ('approve("%s", { comment = "good" });'):format(id)) end,
      reject = function(id) weir("eval", ('reject("%s", { comment = "bad" });'):format(id)) end,
      retry = function(run, step) return weir("eval", ('run("%s"):retry { from = "%s" }.id'):format(run, step)):match "r_%w+" end,
      rollback = function(name) weir("eval", ('rollback("%s");'):format(name)) end,
    },
    http = {
      approve = function(id) post("/api/approvals/" .. id, { decision = "approve", comment = "good" }) end,
      reject = function(id) post("/api/approvals/" .. id, { decision = "reject", comment = "bad" }) end,
      retry = function(run, step) return post(("/api/runs/%s/retry"):format(run), { from = step }).run end,
      rollback = function(name) post(("/api/modules/agent/%s/rollback"):format(name:match "[^/]+$"), {}) end,
    },
  }
  local function console(...)
    local address = ("%s/#token=%s"):format(host.url, host.http.token)
    local done = browser.run("act.mjs", { address, ... }, 120)
    assert.equal(0, done.status, done.stderr)
    return done.stdout
  end

  local NAMES = { "cli", "http", "repl" }
  local absent = browser.missing()
  if absent then
    it("are those of the console, too", function() pending(absent) end)
  else
    NAMES[4] = "console"
    DOORS.console = {
      approve = function(id) console("approve", id, "good") end,
      reject = function(id) console("reject", id, "bad") end,
      retry = function(run, step) return console("retry", run, step):match "r_%w+" end,
      rollback = function(name) console("rollback", "agent", name:match "[^/]+$") end,
    }
  end

  local function parked()
    local definition = assert(host.project:pipeline "ask")
    local run = host.engine:start(definition, {})
    local follower = host.feed:follow { after = host.feed.life .. "-0", run = run.id, kinds = { "waiting" } }
    assert(follower:next(20))
    follower:close()
    local asked = assert(require("weir.approval").pending(host.store, { run = run.id }))
    return run.id, asked[1].id
  end

  local function await(run_id)
    host.engine:rejoin(run_id):wait()
  end

  -- A journal without what differs from run to run: moments, ids, and who it was.
  local function plain(value, name)
    if name == "by" then return "WHO" end
    if name == "via" then return "DOOR" end
    if math.type(value) == "integer" and value > 1000000000000 then return "WHEN" end
    if type(value) == "string" and value:find "^%d%d%d%d%-%d%d%-%d%dT" then return "WHEN" end
    if type(value) == "string" then return (value:gsub("([ras]_)%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w", "%1ID")) end
    if type(value) ~= "table" then return value end
    local copy = {}
    for key, inner in pairs(value) do
      if key ~= "n" then copy[key] = plain(inner, key) end
    end
    return copy
  end

  -- A run that was woken while it was in memory and one that was parked differ in how often it went on.
  local function record(run_id)
    local list = {}
    for _, entry in ipairs(assert(host.store:load(run_id))) do
      if entry[1] ~= "life" and entry[1] ~= "stop" then list[#list + 1] = plain(entry) end
    end
    return list
  end

  local function through_each(act)
    local first
    for _, name in ipairs(NAMES) do
      local kept = act(DOORS[name])
      first = first or kept
      assert.same(first, kept, name)
    end
    return first
  end

  for _, decision in ipairs { "approve", "reject" } do
    it(decision .. " with equal journals", function()
      local kept = through_each(function(door)
        local run_id, asked = parked()
        door[decision](asked)
        await(run_id)
        return record(run_id)
      end)
      assert.equal("end", kept[#kept][1])
      assert.equal(decision .. ".", kept[#kept][3])
    end)
  end

  it("retry from a step with equal journals", function()
    local run_id, asked = parked()
    DOORS.cli.approve(asked)
    await(run_id)
    local kept = through_each(function(door)
      local again = door.retry(run_id, "last")
      await(again)
      return record(again)
    end)
    assert.equal("finished", kept[#kept][2])
  end)

  it("roll back with equal records of who did it, but for the door", function()
    local full = "agents/note"
    local function active() return host.project.registry:lookup("agent", "note").version end
    local before = active()
    local kept = through_each(function(door)
      support.write(folder, "modules/agents/note.lua", NOTE:format "!")
      local report = require("weir.registry.revise").reload(host.project.registry, full, { via = "spec" })
      assert.same({}, report.failed)
      assert.not_equal(before, active())
      door.rollback(full)
      assert.equal(before, active())
      local last = audit.list(host.store, { reverse = true, limit = 1 })[1].value
      return plain(last)
    end)
    assert.same({ "rollback", full, before }, { kept.action, kept.what, kept.to })
    local doors = {}
    for _, found in ipairs(audit.list(host.store)) do
      if found.value.action == "rollback" then doors[#doors + 1] = found.value.via end
    end
    assert.same({ "cli", "http", "repl", not absent and "http" or nil }, doors) -- the console talks HTTP
  end)
end)

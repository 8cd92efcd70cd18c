local audit = require "weir.audit"
local clock = require "weir.port.clock"
local http = require "weir.http"
local incident_of = require "weir.healing.incident"
local json = require "weir.native.json"
local schema_of = require "weir.schema"
local support = dofile "spec/lua/weir/cli/support.lua"
local system = require "weir.port.system"
local task = require "weir.task"
local tokens = require "weir.http.tokens"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local AGENT = [[return { kind = "agent", name = "reads", api = 1, execute = function(_, input)
  if input.text:find "bad" then error("the text is " .. input.text) end
  return input.text
end }]]
local LETTERS = [[
local weir = require "weir"
return weir.pipeline "letters" {
  input = { text = "string" },
  supervise = { { use = "thresholds", options = { ask = false, rules = {
    { when = { message = "is very bad" }, remedy = "pause_pipeline", args = { ["for"] = "1h" }, reason = "look at it first" },
    { when = { message = "is so bad" }, remedy = "escalate", reason = "somebody has to read it" },
    { when = { message = "is bad" }, remedy = "quarantine", reason = "it cannot be read" } } } } },
  weir.step "read" { agent = "reads", input = { text = "$.input.text" } },
}
]]

describe("incidents over HTTP", function()
  local world, folder, readers

  before_each(function()
    folder = system.temporary_folder "weir-tokens"
    local path = folder .. "/tokens"
    local owners = tokens.add(path, "ada", "admin")
    readers = tokens.add(path, "bob", "read")
    world = worlds.new { tokens = path }
    world.door.token = owners
    support.write(world.folder, "modules/agents/reads.lua", AGENT)
    support.write(world.folder, "pipelines/letters.lua", LETTERS)
  end)
  after_each(function()
    world:close()
    os.remove(folder .. "/tokens")
    uv.fs_rmdir(folder)
  end)

  local function ask(...) return world:ask(...) end

  -- A run that ends, and its incident.
  local function run(text)
    local line = ask("POST", "/api/runs?wait=30s", { pipeline = "letters", input = { text = text } }).value
    return ask("GET", "/api/incidents?run=" .. line.run).value.items[1], line
  end

  local function ids(path)
    local found = {}
    for index, one in ipairs(ask("GET", path).value.items) do found[index] = one.id end
    return found
  end

  it("lists them, the newest first, page by page, with the filters of `weir incidents`", function()
    assert.same({ items = json.list {}, next = json.null }, ask("GET", "/api/incidents").value)
    local first, second, third = run "bad", run "so bad", run "bad"
    assert.same({ "quarantine", "escalate" }, { first.remedy.name, second.remedy.name })
    assert.same({ third.id, second.id, first.id }, ids "/api/incidents")
    local page = ask("GET", "/api/incidents?limit=2").value
    assert.same({ 2, second.id }, { #page.items, page.next })
    assert.same({ first.id }, ids("/api/incidents?limit=2&cursor=" .. page.next))
    assert.same({ second.id }, ids "/api/incidents?open=true")
    assert.same({}, ids("/api/incidents?open=true&run=" .. third.run))
    assert.same({ third.id }, ids("/api/incidents?run=" .. third.run))
    assert.same({}, ids "/api/incidents?run=r_00000000000000000000")
    assert.same({ third.id, second.id, first.id }, ids "/api/incidents?since=1h")
    incident_of.commit(world.host.store, (function(operations)
      incident_of.write(operations, { id = "i_000000000000000000aa", at_ms = 0, state = "escalated", code = "failed", message = "long ago",
        fingerprint = "f", family = "f", kind = "run" })
      return operations
    end) {})
    assert.same({ third.id, second.id, first.id }, ids "/api/incidents?since=1h")
    assert.same({ second.id }, ids "/api/incidents?open=true&since=1h")
    assert.equal(4, #ids "/api/incidents")
  end)

  it("shows one with what was set aside, and how often its kind came", function()
    run "bad"
    local listed, line = run "bad"
    assert.equal("finished", line.status)
    local one = ask("GET", "/api/incidents/" .. listed.id).value
    assert.same({ "step", "remedied", "letters", "read", "agents/reads", "thresholds", "it cannot be read" },
      { one.kind, one.state, one.pipeline, one.step, one.agent, one.by, one.reason })
    assert.same({ 2, { input = { text = "bad" } }, json.null }, { one.seen, one.set_aside, one.holds })
  end)

  it("closes one under the name of who asks, once", function()
    local listed = run "so bad"
    local path = ("/api/incidents/%s/close"):format(listed.id)
    local answer = ask("POST", path, { note = "read aloud" })
    assert.same({ 200, "closed", "ada", "read aloud" },
      { answer.status, answer.value.state, answer.value.closed_by, answer.value.note })
    assert.same({}, ids "/api/incidents?open=true")
    assert.equal(409, ask("POST", path, {}).status)
    local records = audit.list(world.host.store, { reverse = true, limit = 1 })
    assert.same({ "ada", "http", "incident-close", listed.id },
      { records[1].value.by, records[1].value.via, records[1].value.action, records[1].value.what })
  end)

  it("closes a whole class", function()
    local first, second, other = run "so bad", run "so bad", run "bad"
    assert.equal(first.fingerprint, second.fingerprint)
    local answer = ask("POST", "/api/incidents/close", { class = first.fingerprint, note = "both" })
    assert.same({ 200, 2, json.null }, { answer.status, #answer.value.items, answer.value.next })
    for _, one in ipairs { first, second } do
      local now = ask("GET", "/api/incidents/" .. one.id).value
      assert.same({ "closed", "ada", "both" }, { now.state, now.closed_by, now.note })
    end
    assert.equal("remedied", ask("GET", "/api/incidents/" .. other.id).value.state)
    assert.equal(404, ask("POST", "/api/incidents/close", { class = first.fingerprint }).status)
    assert.equal(422, ask("POST", "/api/incidents/close", { class = "all" }).status)
  end)

  it("takes a remedy back that holds beyond its run", function()
    local listed = run "very bad"
    local one = ask("GET", "/api/incidents/" .. listed.id).value
    assert.is_true(clock.wall_ms() < assert(require("weir.run.kinds.sleep").parse_time(one.holds["until"])))
    assert.equal(409, ask("POST", "/api/runs", { pipeline = "letters", input = { text = "good" } }).status)
    local path = ("/api/incidents/%s/revert"):format(listed.id)
    local answer = ask("POST", path, {})
    assert.same({ 200, json.null, "ada" }, { answer.status, answer.value.holds, answer.value.remedy.reverted_by })
    assert.is_string(answer.value.remedy.reverted_at)
    assert.equal(409, ask("POST", path, {}).status)
    assert.equal(200, ask("POST", "/api/runs?wait=30s", { pipeline = "letters", input = { text = "good" } }).status)
  end)

  it("has what failed tried again with what the files say now, once, also when two people ask for it at the same moment", function()
    local listed = run "so bad"
    support.write(world.folder, "modules/agents/reads.lua", (AGENT:gsub('if input.text:find "bad".-\n', "\n")))
    assert.equal(200, ask("POST", "/api/modules/agent/reads/reload", {}).status)
    local path, answers = ("/api/incidents/%s/replay"):format(listed.id), {}
    task.within({}, function()
      for index = 1, 2 do
        task.spawn(function() answers[index] = ask("POST", path, { latest = true }) end)
      end
    end)
    table.sort(answers, function(a, b) return a.status < b.status end)
    assert.same({ 202, 409 }, { answers[1].status, answers[2].status })
    local new = answers[1].value.run
    assert.equal("/api/runs/" .. new, answers[1].headers.location)
    assert.is_true(wire.eventually(function() return ask("GET", "/api/runs/" .. new).value.status == "finished" end))
    local one = ask("GET", "/api/incidents/" .. listed.id).value
    assert.same({ "closed", new }, { one.state, one.replayed_as })
    assert.equal(2, #ask("GET", "/api/runs?pipeline=letters").value.items)
    assert.equal(409, ask("POST", path, {}).status)
  end)

  it("refuses who may only look, what there is not, and what does not fit", function()
    local listed = run "so bad"
    for _, name in ipairs { "close", "revert", "replay" } do
      local path = ("/api/incidents/%s/%s"):format(listed.id, name)
      assert.equal(403, ask("POST", path, {}, { Authorization = "Bearer " .. readers }).status)
      assert.equal(404, ask("POST", path:gsub(listed.id, "i_000"), {}).status)
      assert.equal(422, ask("POST", path, { because = 1 }).status)
    end
    assert.equal(200, ask("GET", "/api/incidents", nil, { Authorization = "Bearer " .. readers }).status)
    assert.equal(404, ask("GET", "/api/incidents/i_000").status)
    for _, query in ipairs { "cursor=open/", "cursor=i_0%2F", "cursor=", "since=soon", "open=perhaps", "limit=0", "state=open" } do
      assert.equal(422, ask("GET", "/api/incidents?" .. query).status, query)
    end
    assert.equal("escalated", ask("GET", "/api/incidents/" .. listed.id).value.state)
  end)

  it("answers as it is described", function()
    run "very bad"
    local described = ask("GET", "/api/openapi.json").value
    local fits = assert(schema_of.compile({ ["$ref"] = "#/components/schemas/Incident", components = described.components }))
    for _, one in ipairs(ask("GET", "/api/incidents").value.items) do
      for _, value in ipairs { one, ask("GET", "/api/incidents/" .. one.id).value } do
        local ok, errors = fits(value, "incident")
        assert.is_true(ok, errors and errors[1].message)
      end
    end
    local count = 0
    for _, route in ipairs(http.routes()) do count = count + (route.path:find "^/api/incidents" and 1 or 0) end
    assert.equal(6, count)
  end)

  it("are counted whole, and listed page by page, none twice and none left out, also while others come", function()
    local store = world.host.store
    local function come(count)
      for _ = 1, count, 250 do
        local operations = {}
        for _ = 1, 250 do
          incident_of.write(operations, incident_of.new { kind = "monitor", state = "escalated", code = "failed", message = "it is down",
            fingerprint = "f", family = "f", text = "it is down" })
        end
        assert(store:batch(operations))
      end
    end
    come(1250)
    assert.match("\nweir_incidents_open 1250\n", ask("GET", "/metrics").body)
    local seen, count, cursor = {}, 0, ""
    repeat
      local page = ask("GET", "/api/incidents?open=true&limit=400" .. cursor).value
      for _, one in ipairs(page.items) do
        assert.is_nil(seen[one.id])
        seen[one.id], count = true, count + 1
      end
      come(1)
      cursor = page.next ~= json.null and "&cursor=" .. page.next
    until not cursor
    assert.equal(1250, count)
  end)
end)

-- A host that is killed at a change of its store while events come in, are queued and become runs: the next one has each
-- event, and starts one run for each.
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local FILES = 3
local STEP = tonumber(os.getenv "WEIR_KILL_STEP") or 7 -- of the positions; 1 is all
local LAST = 60

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "inbox" { input = { name = "string" },
  on = { files = { path = "in", settle = 0.05 }, input = { name = "$.event.data.name" } },
  weir.step "note" { agent = "echo", input = { name = "$.input.name" } }, output = "$.note.name" }
]]

describe("a host that is killed while events come in", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "pipelines/inbox.lua", PIPELINE)
    for n = 1, FILES do support.write(folder, ("in/n%d.txt"):format(n), "text " .. n) end
  end)
  after_each(function() support.remove(folder) end)

  local function serve(failpoint)
    return support.start({ "serve", "--listen", "false" }, { cwd = folder, env = { WEIR_FAILPOINT = failpoint } })
  end

  local function drain(child)
    for _, stream in ipairs { child.stdout, child.stderr } do
      task.spawn(function() for _ in stream:items() do end end)
    end
  end

  local function names()
    local result = support.host({ "runs", "--json" }, { cwd = folder })
    local list = {}
    for _, run in ipairs(result.status == 0 and support.lines(result.stdout) or {}) do
      if run.status ~= "finished" then return nil end
      local shown = json.decode(support.host({ "show", run.run, "--json" }, { cwd = folder }).stdout)
      list[#list + 1] = shown.output
    end
    table.sort(list)
    return list
  end

  local function until_all(child, where)
    local deadline = task.now() + 60
    repeat
      local list = names()
      if list and #list >= FILES then return list end
      task.sleep(0.05)
    until task.now() > deadline
    child:kill()
    error(("killed at %s, and not every event became a run"):format(where))
  end

  for _, point in ipairs { "before_request", "after_request" } do
    it(("loses none and repeats none, killed at its %s"):format(point:gsub("_", " ")), function()
      local killed = 0
      for count = 1, LAST, STEP do
        local dying = serve(("%s:%d"):format(point, count))
        drain(dying)
        if dying:wait(3) then killed = killed + 1 else dying:kill "sigkill" end
        dying:wait(10)
        dying:close()
        local child = serve()
        assert(support.read_until(child.stdout, "repl")) -- from now on commands reach it
        drain(child)
        local list = until_all(child, ("%s:%d"):format(point, count))
        child:kill()
        child:wait(20)
        child:close()
        assert.same({ "n1.txt", "n2.txt", "n3.txt" }, list, ("%s:%d"):format(point, count))
        support.remove(folder .. "/.weir")
      end
      assert.is_true(killed >= 3, killed) -- the others came after all that there is to change
    end)
  end
end)

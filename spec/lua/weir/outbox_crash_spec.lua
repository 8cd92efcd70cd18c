--- A process that is killed at every change of its store, while a run publishes and a sink is handed what it
--- published. The sink is a file that is appended to and synced: whatever stands there has arrived.

local files = require "weir.port.files"
local json = require "weir.json"
local process = require "weir.port.process"
local system = require "weir.port.system"

local STEPS, EACH = 2, 2 -- events of a run: so many of each step

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "news" {
  weir.step "one" { agent = "tell", input = { text = "ebb" } },
  weir.step "two" { agent = "tell", input = { text = "flow" } },
}
]]

local AGENT = [[
return { kind = "agent", name = "tell", api = 1, execute = function(ctx, input)
  for n = 1, 2 do ctx:publish { type = "news", data = { text = input.text, n = n } } end
  return { told = 2 }
end }
]]

-- One life: what was begun goes on, else a run is begun; then all that was published goes to the sink.
local LIFE = [[
local engine = require "weir.run.engine"
local outbox = require "weir.outbox"
local port = require "weir.port.store"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local task = require "weir.task"
local uv = require "luv"
local json = require "weir.json"
describe("a life", function() it("is lived", function()
  local here = assert(project.open ".")
  local store <close> = assert(port.open "store")
  local own = engine.new(here, store)
  local known = store:runs { limit = 1 }[1]
  if not known then
    assert.equal("finished", own:run(assert(here:load "pipelines/news.lua"), {}).status)
  elseif known.row.status == "running" then
    assert.equal("finished", recovery.open(own, known.id):execute().status)
  end
  local flags = uv.constants.O_CREAT | uv.constants.O_WRONLY | uv.constants.O_APPEND | uv.constants.O_SYNC
  local file = assert(uv.fs_open("sink", flags, 420))
  local function sink(event)
    assert(uv.fs_write(file, json.encode(event) .. "\n", -1))
    return true
  end
  repeat
    outbox.drain(own, sink, { timeout = 0.05, attempts = 100 })
    task.sleep(0.02)
  until outbox.queue(store):depth() == 0
  uv.fs_close(file)
end) end)
]]

describe("an outbox of a process that is killed", function()
  local folder

  before_each(function()
    folder = system.temporary_folder "weir-outbox"
    assert(files.write(folder .. "/weir.lua", "return {}\n"))
    assert(files.write(folder .. "/modules/agents/tell.lua", AGENT, { folders = true }))
    assert(files.write(folder .. "/pipelines/news.lua", PIPELINE, { folders = true }))
    assert(files.write(folder .. "/life_spec.lua", LIFE))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function live(failpoint)
    local result = assert(process.run({ system.program(), "test", "life_spec.lua" },
      { cwd = folder, env = system.environment { WEIR_FAILPOINT = failpoint } }))
    if result.status == 0 then return true end
    assert.is_true(failpoint ~= nil and (result.signal == 9 or result.signal == "sigkill" or result.status == 137),
      result.stdout .. result.stderr)
    return false
  end

  -- What has arrived: each event once or more, with the same content under the same id, in order of the run.
  local function check(where)
    local by_id, order, run_id = {}, {}, nil
    for line in assert(files.read(folder .. "/sink")):gmatch "[^\n]+" do
      local event = assert(json.decode(line))
      run_id = event.id:match "^[^/]+"
      if by_id[event.id] then
        assert.same(by_id[event.id], event, where)
        assert.equal(order[#order], event.id, where) -- a second time at once, before the next one
      else
        by_id[event.id], order[#order + 1] = event, event.id
      end
    end
    local expected = {}
    for _, step in ipairs { "one", "two" } do
      for n = 1, EACH do expected[#expected + 1] = ("%s/%s/%d"):format(run_id, step, n) end
    end
    assert.same(expected, order, where)
  end

  for _, point in ipairs { "before_request", "after_request" } do
    it("loses no event, and repeats one only under its id: killed " .. point:gsub("_", " "), function()
      local kills = 0
      for position = 1, 100 do
        local where = ("%s:%d"):format(point, position)
        local ended = live(where)
        if not ended then
          kills = kills + 1
          assert.is_true(live(), where)
        end
        check(where)
        process.run({ "rm", "-rf", "--", "store", "sink" }, { cwd = folder })
        if ended then break end
      end
      -- A claim and an end for each event, beside what the run itself writes.
      assert.is_true(kills >= 2 * STEPS * EACH + STEPS and kills < 100, kills .. " kills")
    end)
  end
end)

--- Statistics of a process that is killed: what had been written is there again, and only the last seconds are lost.

local files = require "weir.port.files"
local port = require "weir.port.store"
local process = require "weir.port.process"
local route = require "weir.model.route"
local statistics = require "weir.model.statistics"
local system = require "weir.port.system"

-- Calls of a model; when they have been written, one more, and the end.
local LIFE = [[
local port = require "weir.port.store"
local route = require "weir.model.route"
local statistics = require "weir.model.statistics"
local task = require "weir.task"
local uv = require "luv"
describe("a life", function() it("is lived", function()
  local store = assert(port.open "store")
  local router = route.new(store)
  local policy = { name = "first", module = { pick = function() return { "fast" }, "the only one" end } }
  local choice = { router = router, candidates = { { name = "fast", module = "m" } }, policy = policy, label = "draft" }
  local function call() task.sleep(0.001) return { message = { content = "ebb" }, usage = { input_tokens = 10, output_tokens = 5 } } end
  for _ = 1, 50 do assert(route.call(choice, {}, call)) end
  router.statistics:score("fast", "draft", 0.75, "critic")
  local function is_written() -- a part of the calls may have been before
    local kept = statistics.new(store):of("fast")
    return kept.calls == 50 and kept.score == 0.75 and #assert(store:scan("models.statistics")) == 3 and #assert(store:scan("models.days")) == 1
  end
  repeat task.sleep(0.02) until is_written()
  assert(route.call(choice, {}, call))
  uv.kill(uv.os_getpid(), "sigkill")
end) end)
]]

describe("statistics of a process that is killed", function()
  local folder

  before_each(function()
    folder = system.temporary_folder "weir-models"
    assert(files.write(folder .. "/weir.lua", "return {}\n"))
    assert(files.write(folder .. "/life_spec.lua", LIFE))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  it("are there again, and go on", function()
    local result = assert(process.run({ system.program(), "test", "life_spec.lua" }, { cwd = folder, env = system.environment {} }))
    assert.is_true(result.signal == 9 or result.signal == "sigkill" or result.status == 137, result.stdout .. result.stderr)
    local store <close> = assert(port.open(folder .. "/store"))
    local router = route.new(store)
    for _, label in ipairs { "draft", false } do
      local metrics = router.statistics:of("fast", label or nil)
      assert.equal(50, metrics.calls)
      assert.equal(1, metrics.success)
      assert.equal(0.75, metrics.score)
      assert.is_true(metrics.total_p50 > 0)
    end
    assert.equal("fast", router.statistics:last("draft").name)
    assert.equal(50, router.decisions:count(0))
    router.statistics:record { model = "fast", ok = true, total_s = 1 }
    router:close()
    assert.equal(51, statistics.new(store):of("fast").calls)
  end)
end)

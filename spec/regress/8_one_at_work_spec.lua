-- A flow that goes on reopens the runs it had started, and so does whoever goes on with all that was under way. Both
-- could open one run while the store was asked for it; both executed it, and its outcomes were recorded twice.

local engine = require "weir.run.engine"
local project = require "weir.project"
local store_port = require "weir.port.store"
local task = require "weir.task"
local weir = require "weir"

describe("a run that is reopened twice at once", function()
  it("is at work once", function()
    local here = project.open "."
    local store <close> = setmetatable({ assert(store_port.open ":memory:") }, { __close = function(self) self[1]:close() end })
    local executed = 0
    here.registry:put { kind = "agent", name = "count", api = 1, options = { type = "object" }, execute = function(ctx)
      executed = executed + 1
      ctx:sleep(0.01)
      return executed
    end }
    local first = engine.new(here, store[1])
    local run = first:prepare(assert(here:check(weir.pipeline "once" { weir.step "a" { agent = "count" } })), {})
    local life, opened, refused = engine.new(here, store[1]), 0, 0
    local tasks = {}
    for index = 1, 8 do
      tasks[index] = task.spawn(function()
        local ok, result = pcall(life.reopen, life, run.id)
        if not ok then
          assert.equal("conflict", result.code)
          refused = refused + 1
          return
        end
        opened = opened + 1
        result:execute()
      end)
    end
    for _, each in ipairs(tasks) do assert(each:join()) end
    assert.same({ 1, 7, 1 }, { opened, refused, executed })
    local outcomes = 0
    for _, entry in ipairs(store[1]:load(run.id)) do outcomes = outcomes + (entry[1] == "step" and 1 or 0) end
    assert.equal(1, outcomes)
  end)
end)

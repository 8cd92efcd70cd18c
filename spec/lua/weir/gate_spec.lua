local gate = require "weir.gate"
local native = require "weir.native.scheduler"
local task = require "weir.task"

describe("a gate", function()
  it("lets all who wait through when it opens, in the order in which they came, and later ones at once", function()
    local here, order = gate.new(), {}
    assert(task.within({}, function()
      for index = 1, 3 do
        task.start({}, function()
          assert.is_true(here:wait "the gate")
          order[#order + 1] = index
        end)
      end
      native.yield()
      assert.same({}, order)
      here:open()
      here:open()
    end))
    assert.same({ 1, 2, 3 }, order)
    assert.is_true(here:wait "the gate")
  end)

  it("tells a waiter, also one that comes late", function()
    local here, early, late = gate.new(), native.waiter(), native.waiter()
    here:tell(early)
    here:open()
    here:tell(late)
    early:wait "the gate"
    late:wait "the gate"
  end)

  it("is not waited for longer than was said, and forgets who gave up", function()
    local here = gate.new()
    assert.equal("timeout", select(3, here:wait("the gate", 0.001)))
    assert.same({}, here.waiters)
    local one = task.start({}, function() here:wait "the gate" end)
    native.yield()
    one:cancel "enough"
    one:join()
    assert.same({}, here.waiters)
  end)
end)

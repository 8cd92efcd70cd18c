local bucket = require "weir.serve.bucket"
local native = require "weir.native.scheduler"
local task = require "weir.task"

describe("a token bucket", function()
  it("lets a burst pass, then so many a second", function()
    native.use_virtual_clock(1)
    local tokens, times, began = bucket.new(10, 3), {}, task.now()
    assert(task.within({}, function()
      for index = 1, 6 do
        task.spawn(function()
          for _ = 1, index do task.yield() end
          tokens:take()
          times[#times + 1] = { index, task.now() - began }
        end)
      end
    end))
    local order = {}
    for place, one in ipairs(times) do order[place] = one[2] end
    native.use_real_clock()
    table.sort(order)
    for place, expected in ipairs { 0, 0, 0, 0.1, 0.2, 0.3 } do
      assert.is_true(math.abs(order[place] - expected) < 0.01, ("%d: %g"):format(place, order[place]))
    end
  end)

  it("fills again while nobody takes, but not above its size", function()
    native.use_virtual_clock(1)
    local tokens = bucket.new(10, 2)
    tokens:take()
    tokens:take()
    task.sleep(60)
    local began = task.now()
    for _ = 1, 3 do tokens:take() end
    local took = task.now() - began
    native.use_real_clock()
    assert.is_true(math.abs(took - 0.1) < 0.01, took)
  end)
end)

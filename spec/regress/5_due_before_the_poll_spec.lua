-- A timer that came due between the loop's last look at the clock and its poll fired before the poll, and the
-- loop slept for an hour. The loop's timers count whole milliseconds, so that is most likely right before one is full.

local native = require "weir.native.scheduler"
local task = require "weir.task"

local SLEEPS = 1000

local function wait_for_part_of_millisecond(part)
  while native.now() * 1000 % 1 < part do end
end

describe("a sleep", function()
  it("ends, however the moments fall", function()
    local child = assert(require("weir.port.process").start { "sleep", "60" }) -- somebody outside keeps the loop awake
    local from = native.now()
    task.within({}, function()
      for count = 1, SLEEPS do
        wait_for_part_of_millisecond(0.985 + count % 150 * 0.0001)
        native.sleep(0.0002)
      end
    end)
    child:close()
    assert.is_true(native.now() - from < 60)
  end)
end)

local native = require "weir.native.scheduler"
local task = require "weir.task"

local MANY = tonumber(os.getenv "WEIR_TIMERS") or 20000 -- of test 59
local AT_ONCE = 10000
local TEN_YEARS = 10 * 365.25 * 86400

-- A float of a clock that stands at years is not exact to the nanosecond.
local function is_early(due) return native.now() < due - 1e-9 - due * 1e-12 end

-- From a millisecond on, as many short ones as long ones.
local function drawn(longest) return 0.001 * (longest / 0.001) ^ math.random() end

-- Sleeps of as many tasks at once as a host may have; how many woke, and how many of them too early.
local function sleep_all(longest, begin)
  local woken, early = 0, 0
  for first = 1, MANY, AT_ONCE do
    begin()
    assert(task.within({}, function()
      for _ = first, math.min(MANY, first + AT_ONCE - 1) do
        local seconds = drawn(longest)
        native.spawn(function()
          local due = native.now() + seconds
          native.sleep(seconds)
          woken = woken + 1
          if is_early(due) then early = early + 1 end
        end)
      end
    end))
  end
  return { woken, early }
end

describe("timers", function()
  before_each(function() math.randomseed(59) end)
  after_each(native.use_real_clock)

  it("come each once and never early, from a millisecond to ten years of a virtual clock", function()
    local timers = native.stats().timers
    local function begin() -- its nanoseconds last for 292 years
      native.use_real_clock()
      native.use_virtual_clock(nil, 0)
    end
    assert.same({ MANY, 0 }, sleep_all(TEN_YEARS, begin))
    assert.equal(timers, native.stats().timers)
  end)

  it("come each once and never early on the real clock", function()
    assert.same({ MANY, 0 }, sleep_all(0.1, native.use_real_clock))
  end)
end)

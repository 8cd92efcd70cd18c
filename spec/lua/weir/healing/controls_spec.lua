local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local native = require "weir.native.scheduler"
local port = require "weir.port.store"

describe("what a remedy changes for a while", function()
  local store
  before_each(function()
    native.use_virtual_clock(1)
    store = assert(port.open ":memory:")
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
  end)

  -- By an incident of so many seconds from now.
  local function apply(name, args, from_s)
    local operation, committed = controls.apply(store, { name = name, args = args },
      { id = "i_1", pipeline = "p", by = "rules", at_ms = clock.wall_ms() + from_s * 1000 })
    assert(store:batch { operation })
    committed()
  end

  it("ends with its time", function()
    apply("breaker", { model = "vague", ["for"] = 60 }, 0)
    apply("pause_pipeline", { ["for"] = 60 }, 0)
    clock.sleep(59)
    assert.same({ vague = 1 }, controls.models(store))
    assert.is_table(controls.paused(store, "p"))
    clock.sleep(1)
    assert.same({}, controls.models(store))
    assert.is_nil(controls.paused(store, "p"))
  end)

  it("does not last for a year when the clock was ahead by a year as it began, and lasts where nobody said for how long", function()
    apply("breaker", { model = "vague", ["for"] = 60 }, 365 * 86400)
    apply("pause_pipeline", { ["for"] = 60 }, 365 * 86400)
    assert.same({}, controls.models(store))
    assert.is_nil(controls.paused(store, "p"))
    apply("pause_pipeline", {}, 365 * 86400)
    assert.is_table(controls.paused(store, "p"))
  end)
end)

local cache = require "weir.model.cache"
local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local port = require "weir.port.store"

describe("answers that are kept", function()
  local store, wall_ms
  before_each(function()
    native.use_virtual_clock(1)
    store, wall_ms = assert(port.open ":memory:"), clock.wall_ms
  end)
  after_each(function()
    clock.wall_ms = wall_ms
    store:close()
    native.use_real_clock()
  end)

  it("are used as long as they are no older than they may be", function()
    cache.put(store, "k", "answer", 60)
    clock.sleep(60)
    assert.equal("answer", cache.get(store, "k", 60))
    assert.is_nil(cache.get(store, "k", 59))
    clock.sleep(0.001)
    assert.is_nil(cache.get(store, "k", 60))
    assert.is_true(cache.is_over(store:get(cache.SPACE, "k"), clock.wall_ms()))
  end)

  it("are not used for a year when the clock was ahead by a year as they were kept", function()
    clock.wall_ms = function() return wall_ms() + 365 * 86400000 end
    cache.put(store, "k", "answer", 60)
    clock.wall_ms = wall_ms
    assert.is_nil(cache.get(store, "k", 60))
    clock.wall_ms = function() return wall_ms() + 365 * 86400000 - 5000 end
    assert.equal("answer", cache.get(store, "k", 60))
  end)
end)

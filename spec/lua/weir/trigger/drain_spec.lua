local clock = require "weir.port.clock"
local drain = require "weir.trigger.drain"
local native = require "weir.native.scheduler"

describe("how fast a queue drains", function()
  before_each(function() native.use_virtual_clock(1) end)
  after_each(function() native.use_real_clock() end)

  it("is measured, and says when there is room for one in a hundred", function()
    local self = drain.new()
    for _ = 1, 60 do
      clock.sleep(0.1)
      self:note()
    end
    assert.equal(1, self:retry_after(900)) -- nearly ten a second, and nine places are enough
    assert.equal(11, self:retry_after(10000))
  end)

  it("is not known at first: then it is a minute; and an hour at most", function()
    local self = drain.new()
    assert.equal(60, self:retry_after(1000))
    clock.sleep(4000)
    self:note()
    clock.sleep(8000)
    assert.equal(3600, self:retry_after(1000))
  end)
end)

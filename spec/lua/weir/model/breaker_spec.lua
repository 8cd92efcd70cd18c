local breaker = require "weir.model.breaker"

local function fail(one, count, from, class)
  for n = 1, count do one:done(from + n / 10, false, class or "server") end
end

describe("a breaker", function()
  it("stays closed below its least number of calls, and below its rate", function()
    local one = breaker.new()
    fail(one, 9, 0)
    assert.equal("closed", (one:state(1)))
    one = breaker.new()
    for n = 1, 20 do one:done(n / 10, true) end
    fail(one, 19, 2)
    assert.equal("closed", (one:state(4)))
    fail(one, 1, 4)
    assert.equal("open", (one:state(4.2)))
  end)

  it("counts what was in the window only", function()
    local one = breaker.new { window = 60 }
    fail(one, 9, 0)
    fail(one, 9, 100)
    assert.equal("closed", (one:state(102)))
  end)

  for _, class in ipairs { "invalid_request", "context_length", "too_large", "auth", "refusal", "cancelled", "rate_limit", "conflict" } do
    it("does not open on what says nothing about the model: " .. class, function()
      local one = breaker.new()
      fail(one, 100, 0, class)
      assert.equal("closed", (one:state(11)))
    end)
  end

  for _, class in ipairs { "server", "overloaded", "timeout", "connection", "protocol", "cut", "not_found" } do
    it("opens on what says that the model is ill: " .. class, function()
      local one = breaker.new()
      fail(one, 10, 0, class)
      local state, ready_in = one:state(1)
      assert.equal("open", state)
      assert.is_true(ready_in > 59 and ready_in <= 60)
      assert.is_false((one:admit(1)))
    end)
  end

  it("lets one probe at a time pass when the cool-down is over, and closes after three that work", function()
    local one = breaker.new()
    fail(one, 10, 0)
    for probe = 1, 3 do
      assert.equal("half_open", (one:state(61 + probe)))
      local passed, is_probe = one:admit(61 + probe)
      assert.is_true(passed and is_probe)
      assert.is_false((one:admit(61 + probe)))
      one:done(61 + probe, true, nil, true)
    end
    assert.equal("closed", (one:state(65)))
    assert.is_true((one:admit(65)))
  end)

  it("opens again for twice as long when a probe fails, up to its limit", function()
    local one, now, waits = breaker.new(), 1, {}
    fail(one, 10, 0)
    for _ = 1, 6 do
      local _, ready_in = one:state(now)
      waits[#waits + 1] = math.floor(ready_in + 0.5)
      now = now + ready_in
      assert(one:admit(now))
      one:done(now, false, "timeout", true)
    end
    assert.same({ 60, 120, 240, 480, 600, 600 }, waits)
  end)

  it("gives a probe's place back when nothing was learnt from it", function()
    local one = breaker.new()
    fail(one, 10, 0)
    assert(one:admit(70))
    one:done(71, false, "cancelled", true)
    assert.equal("half_open", (one:state(71)))
    assert.is_true((one:admit(71)))
  end)

  it("learns nothing from a call that had begun before it opened", function()
    local one = breaker.new()
    fail(one, 10, 0)
    one:done(70, true)
    one:done(70, false, "server", false)
    assert.equal("half_open", (one:state(70)))
  end)

  it("obeys a pause that the server asked for", function()
    local one = breaker.new()
    one:cool_down(10, 30)
    one:cool_down(10, 5)
    assert.same({ "cooling", 25 }, { one:state(15) })
    assert.same({ "closed", 0 }, { one:state(40) })
  end)
end)

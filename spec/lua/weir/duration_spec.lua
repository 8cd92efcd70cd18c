local duration = require "weir.duration"

describe("duration", function()
  it("reads seconds and text", function()
    local cases = {
      { "500ms", 0.5 }, { "30s", 30 }, { "2m", 120 }, { "1h30m", 5400 }, { "7d", 604800 }, { "1.5h", 5400 },
      { "1d2h3m4s5ms", 93784.005 }, { "0s", 0 }, { "45", 45 }, { 30, 30 }, { 0.25, 0.25 }, { 0, 0 },
    }
    for _, case in ipairs(cases) do assert.equal(case[2], (duration.parse(case[1])), tostring(case[1])) end
  end)

  it("gives whole seconds as integers", function()
    assert.equal("integer", math.type((duration.parse "2m")))
    assert.equal("float", math.type((duration.parse "500ms")))
  end)

  it("refuses what is none, and says what is", function()
    local wrong = { "", "s", "2 minutes", "1m1h", "1m1m", "-5s", "1..5s", "1.s", "5x", "1h ", ("9"):rep(400), -1, 0 / 0, 1 / 0, true, {} }
    for _, text in ipairs(wrong) do
      local seconds, message, code = duration.parse(text)
      assert.is_nil(seconds, tostring(text))
      assert.equal("invalid", code)
      assert.truthy(message:find("30s", 1, true))
      assert.is_nil(message:find("table:", 1, true))
    end
  end)

  it("writes what it reads back", function()
    for _, seconds in ipairs { 0, 0.25, 1, 59.999, 60, 5400, 86400, 90061.5, 604800 } do
      assert.equal(seconds, (duration.parse(duration.format(seconds))))
    end
    assert.equal("1h30m", duration.format(5400))
    assert.equal("0s", duration.format(0))
    assert.has_error(function() duration.format(-1) end)
  end)

  it("reads what nobody sees the end of as the longest one, which can be written and added to a moment", function()
    for _, given in ipairs { 1e15, 1e300, math.maxinteger, "9223372036854775807d", "106751991167301d", "99999999999999999999s" } do
      local seconds = duration.parse(given)
      assert.equal(999999999999999, seconds, tostring(given))
      assert.equal(seconds, (duration.parse(duration.format(seconds))))
    end
    assert.equal(99999 * 86400, (duration.parse "99999d"))
  end)

  it("tells the moment after it in the 13 digits of keys that sort by time", function()
    local now = 1795000000000
    assert.equal(now + 1500, duration.after(now, 1.5))
    assert.equal(now + 1, duration.after(now, 0.0001))
    assert.equal(now, duration.after(now, 0))
    for _, seconds in ipairs { 9e9, 1e15, 1e300, math.huge } do
      assert.equal("9999999999999", ("%013d"):format(duration.after(now, seconds)))
    end
    assert.equal("integer", math.type(duration.after(now, 2.5)))
    assert.equal(9999999999999, duration.tellable(10413792000000))
    assert.equal(now, duration.tellable(now))
  end)

  it("has a pattern that lets every valid text through", function()
    local automaton = assert(require("weir.regex").compile(duration.pattern))
    for _, text in ipairs { "500ms", "30s", "1h30m", "1.5h", "45" } do assert.is_true(automaton:search(text), text) end
    for _, text in ipairs { "", "2 minutes", "h", "-1s" } do assert.is_false(automaton:search(text), text) end
  end)
end)

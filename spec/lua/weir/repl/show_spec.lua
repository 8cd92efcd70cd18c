local json = require "weir.native.json"
local show = require "weir.repl.show"

describe("a shown value", function()
  for _, case in ipairs {
    { 1, "1" }, { 1.0, "1.0" }, { 0.1, "0.1" }, { 1e300, "1e+300" }, { 2^53, "9007199254740992.0" },
    { math.huge, "inf" }, { -math.huge, "-inf" }, { 0 / 0, "nan" }, { math.maxinteger, "9223372036854775807" },
    { "a\n\"b\"\0\27[2J", '"a\\n\\"b\\"\\0\\x1b[2J"' }, { "\255", '"\\xff"' }, { "ä", '"ä"' }, { true, "true" }, { json.null, "null" },
    { {}, "{}" }, { { 1, 2.0, "x" }, '{ 1, 2.0, "x" }' }, { { b = 1, a = 2 }, "{ a = 2, b = 1 }" },
    { { 1, nil, 3 }, "{ 1, [3] = 3 }" }, { { ["end"] = 1, ["a b"] = 2, [1.5] = 3, [true] = 4 }, '{ [1.5] = 3, ["a b"] = 2, ["end"] = 1, [true] = 4 }' },
  } do
    it(("is %s"):format(case[2]), function() assert.equal(case[2], show.value(case[1])) end)
  end

  it("of nil is nil", function() assert.equal("nil", show.value(nil)) end)

  it("marks circles, not what is there twice", function()
    local inner = { 1 }
    local value = { a = inner, b = inner }
    value.self = value
    assert.equal("{ a = { 1 }, b = { 1 }, self = <circle> }", show.value(value))
  end)

  it("is cut where it is deep, long or large", function()
    assert.equal("{ { {...} } }", show.value({ { { 1 } } }, { depth = 2 }))
    assert.equal("{ 1, 2, ... and 3 more }", show.value({ 1, 2, 3, 4, 5 }, { items = 2 }))
    assert.equal('"aaaa"... (10 bytes)', show.value(("a"):rep(10), { text = 4 }))
    local huge = {}
    for n = 1, 200000 do huge[n] = { n } end
    assert.is_true(#show.value(huge, { items = 1000000, bytes = 1000 }) < 20000)
  end)

  it("stands on lines of its own where it is wide", function()
    assert.equal('{\n  first = "0123456789",\n  second = "0123456789"\n}',
      show.value({ first = "0123456789", second = "0123456789" }, { width = 30 }))
  end)

  it("calls no code of the value", function()
    local called = false
    local function call() called = true return "called" end
    local value = setmetatable({ 1 }, { __index = call, __tostring = call, __len = call, __pairs = call, __name = "Odd" })
    assert.equal("{ 1 }", show.value(value))
    assert.is_false(called)
  end)
end)

local json = require "weir.native.json"
local value = require "weir.value"

describe("value", function()
  it("tells the kinds of JSON apart", function()
    local cases = {
      { json.null, "null" }, { true, "boolean" }, { 1, "integer" }, { 1.0, "number" }, { "a", "string" },
      { json.list {}, "array" }, { { 1 }, "array" }, { {}, "object" }, { { a = 1 }, "object" }, { print, "function" },
    }
    for _, case in ipairs(cases) do assert.equal(case[2], value.kind(case[1])) end
  end)

  it("compares as JSON does", function()
    assert.is_true(value.equal({ a = { 1, 2.0 } }, { a = json.list { 1.0, 2 } }))
    assert.is_true(value.equal(json.null, json.null))
    assert.is_false(value.equal({}, json.list {}))
    assert.is_false(value.equal({ 1, 2 }, { 1 }))
    assert.is_false(value.equal({ a = 1 }, { a = 1, b = 2 }))
    assert.is_false(value.equal("1", 1))
    assert.is_false(value.equal(false, json.null))
  end)

  it("has equal keys exactly for equal values", function()
    local values = {
      1, 1.5, "1", true, false, json.null, json.list {}, {}, { 1 }, { "1" }, { a = 1 }, { a = "1" }, { b = 1 },
      { a = { 1, 2 } }, { a = { 2, 1 } }, 9007199254740993, 9007199254740992,
    }
    for i, a in ipairs(values) do
      for j, b in ipairs(values) do assert.equal(i == j, value.key(a) == value.key(b), i .. " and " .. j) end
    end
    assert.equal(value.key(1), value.key(1.0))
  end)

  it("copies deeply and keeps lists", function()
    local original = { a = json.list {}, b = { 1, { c = 2 } } }
    local copy = value.copy(original)
    assert.is_true(value.equal(original, copy))
    assert.is_true(json.is_list(copy.a))
    copy.b[2].c = 3
    assert.equal(2, original.b[2].c)
  end)

  it("shows a value in a few words", function()
    assert.equal("string 'abc'", value.show "abc")
    assert.equal("integer 3", value.show(3))
    assert.equal("array of 2", value.show { 1, 2 })
    assert.equal("null", value.show(json.null))
    assert.is_true(#value.show(("x"):rep(1000)) < 60)
    for before = 0, 3 do assert.is_truthy(utf8.len(value.show(("a"):rep(before) .. ("😀"):rep(20)))) end
  end)
end)

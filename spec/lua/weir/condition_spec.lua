local condition = require "weir.condition"
local json = require "weir.native.json"

local data = {
  score = 0.9, count = 3, name = "h\u{e9}llo world", date = "1974-05-11", none = json.null, yes = true, no = false, empty = "",
  zero = 0, list = json.list { 1, 2, 3 }, same = json.list { 1.0, 2, 3 }, object = { a = 1, b = { c = "x" } },
  write = { flagged = false, kind = "long" }, nothings = json.list { json.null, false },
}

describe("condition", function()
  local truths = {
    { "$.score >= 0.8 && !$.write.flagged", true }, { "$.yes", true }, { "$.no", false }, { "$.none", false },
    { "$.nope", false }, { "!$.nope", true }, { "$.empty", true }, { "$.zero", true }, { "$", true },
    { "$.nope == $.nada", true }, { "$.nope == null", false }, { "$.none == null", true }, { "$.nope != 1", true },
    { "$.list == $.same", true }, { "$.object == $.list", false }, { "$.object.b == $.object.b", true },
    { "1 == 1.0", true }, { "'1' == 1", false }, { "true == true", true }, { "false == null", false },
    { "$.count < 4", true }, { "$.count <= 3", true }, { "$.count > 3", false }, { "$.count >= 3.0", true },
    { "'a' < 'b'", true }, { "'a' < 1", false }, { "'b' > 'a'", true }, { "'a' <= 'a'", true }, { "true <= true", true },
    { "true < false", false }, { "$.nope <= $.nada", true }, { "$.nope < 1", false }, { "null >= null", true },
    { "$.list < $.list", false }, { "$.yes || $.nope", true }, { "$.no || $.nope", false }, { "$.yes && $.no", false },
    { "$.no && $.no || $.yes", true }, { "$.no && ($.no || $.yes)", false }, { "!($.count == 3)", false }, { "!!$.yes", true },
    { "length($.list) == 3", true }, { "length($.name) == 11", true }, { "length($.object) == 2", true },
    { "length($.count) == 1", false }, { "length($.nope) == 0", false }, { "length('') == 0", true },
    { "count($.list[*]) == 3", true }, { "count($.nope) == 0", true }, { "count($.nope[*]) == 0", true },
    { "value($.object.b.*) == 'x'", true }, { "value($.list[*]) == 1", false },
    { "match($.date, '1974-05-..')", true }, { "match($.date, '1974')", false }, { "search($.date, '05')", true },
    { "search($.date, '^05')", false }, { "match($.count, '3')", false }, { "search($.date, $.none)", false },
    { "search($.date, $.write.kind)", false }, { "search($.date, '[')", nil }, { "length(value($.object.b.*)) == 1", true },
    { "$.list[*]", true }, { "$.nothings[*]", false }, { "$.object['a'] == 1", true }, { "$.list[-1] == 3", true },
    { "-1 < 0", true }, { "1e2 == 100", true }, { "1.5E-1 == 0.15", true }, { "\"d\\u00e9\" == 'd\u{e9}'", true },
    { " \t$.yes\n", true }, { "9007199254740993 == 9007199254740992", false },
  }

  it("decides as RFC 9535 says, and a bare path by what it finds", function()
    for _, case in ipairs(truths) do
      local compiled = condition.compile(case[1])
      if case[2] == nil then
        assert.is_nil(compiled, case[1])
      else
        assert.truthy(compiled, case[1])
        assert.equal(case[2], compiled(data), case[1])
      end
    end
  end)

  it("says where it is wrong", function()
    local cases = {
      { "", 1, "expected" }, { "$.a =", 5, "'=='" }, { "$.a ~= 1", 5, "'!='" }, { "$.a == ", 8, "expected" },
      { "foo", 1, "'$.foo'" }, { "$.a and $.b", 5, "too much" }, { "and", 1, "'&&'" }, { "$.a &&", 7, "expected" },
      { "length($.a)", 1, "compared" }, { "match($.a, 'x') == true", 1, "not compared" }, { "$.list[*] == 1", 1, "count()" },
      { "!$.a == 1", 2, "parentheses" }, { "1", 1, "compared" }, { "true", 1, "compared" }, { "lenght($.a) == 1", 1, "'length'" },
      { "$.a == 01", 8, "number" }, { "$.a == 1.", 8, "number" }, { "$.a == +1", 8, "expected" }, { "$.a?", 4, "'?'" },
      { "count(1) == 1", 7, "path" }, { "length($.a[*]) == 1", 8, "single" }, { "match($.a)", 1, "2 arguments" },
      { "match($.a, '(')", 12, "pattern" }, { "(($.a)", 7, "')'" }, { "$.a)", 4, "too much" }, { "@.a", 1, "'@'" },
      { "$.a == 'x", 8, "closing" }, { "$..a", 3, "'..'" }, { "$.a === 1", 7, "expected" }, { "length() == 1", 1, "1 argument" },
    }
    for _, case in ipairs(cases) do
      local compiled, message, code, where = condition.compile(case[1])
      assert.is_nil(compiled, case[1])
      assert.equal("invalid", code)
      assert.equal(case[2], where.column, case[1] .. ": " .. message)
      assert.truthy(message:find(case[3], 1, true), message)
    end
  end)

  it("bounds its depth", function()
    assert.is_nil((condition.compile(("("):rep(1000) .. "$.a" .. (")"):rep(1000))))
    assert.is_nil((condition.compile(("!"):rep(1000) .. "$.a")))
    assert.truthy(condition.compile(("!"):rep(20) .. "$.a"))
  end)

  it("reports the paths in it", function()
    local roots = {}
    for _, reference in ipairs(assert(condition.compile "$.a.b > 1 && count($.c[*]) == length($.d)").references) do
      roots[#roots + 1] = reference.root
    end
    assert.same({ "a", "c", "d" }, roots)
  end)
end)

local json = require "weir.native.json"
local value_of = require "weir.value"
local yaml = require "weir.definition.yaml"

describe("yaml", function()
  it("resolves plain scalars by the core schema of YAML 1.2", function()
    local cases = {
      { "yes", '"yes"' }, { "on", '"on"' }, { "off", '"off"' }, { "n", '"n"' }, { "true", "true" }, { "False", "false" },
      { "tRue", '"tRue"' }, { "null", "null" }, { "~", "null" }, { "Null", "null" }, { "010", "10" }, { "0o10", "8" }, { "0x1F", "31" },
      { "-7", "-7" }, { "+7", "7" }, { "1e3", "1000.0" }, { "1.", "1.0" }, { ".5", "0.5" }, { "-1.5e-2", "-0.015" }, { "1_000", '"1_000"' },
      { "2020-01-01", '"2020-01-01"' }, { "12:30", '"12:30"' }, { "1.2.3", '"1.2.3"' }, { "0b1", '"0b1"' }, { "'1'", '"1"' },
      { '"true"', '"true"' }, { "e3", '"e3"' }, { ".", '"."' }, { "-", "[null]" }, { "9223372036854775807", "9223372036854775807" },
      { "9223372036854775808", "9223372036854775808.0" }, { "$.a.b", '"$.a.b"' }, { "1h30m", '"1h30m"' }, { "5%", '"5%"' },
    }
    for _, case in ipairs(cases) do
      local expected, message = json.decode(case[2])
      if message then error(message) end
      local value, wrong = yaml.decode(case[1])
      assert.is_true(value ~= nil, case[1] .. ": " .. tostring(wrong))
      assert.is_true(value_of.equal(expected, value), case[1])
      assert.equal(value_of.kind(expected), value_of.kind(value), case[1])
    end
  end)

  it("takes hexadecimal and octal numbers as far as integers go, and refuses those beyond", function()
    assert.equal(math.maxinteger, yaml.decode "0x7FFFFFFFFFFFFFFF")
    assert.equal(math.maxinteger, yaml.decode "0o777777777777777777777")
    assert.equal(16, yaml.decode "0x0000000000000000000000010")
    for _, text in ipairs { "0x8000000000000000", "0xFFFFFFFFFFFFFFFF", "0x10000000000000000", "0o1000000000000000000000" } do
      local value, message, code = yaml.decode(text)
      assert.same({ nil, "invalid" }, { value, code })
      assert.matches("is too large a number", message)
    end
  end)

  it("keeps the sign of a zero", function()
    for _, text in ipairs { "-0", "-0.0", "-0e5" } do assert.equal(-math.huge, 1 / yaml.decode(text)) end
    assert.equal("integer", math.type(yaml.decode "0"))
  end)

  it("takes keys as text, the key 'on' too", function()
    local value = assert(yaml.decode "on: 1\n1: a\ntrue: b\nnull: c\n")
    assert.same({ on = 1, ["1"] = "a", ["true"] = "b", null = "c" }, value)
  end)

  it("marks lists, empty ones too, and keeps empty maps apart", function()
    local value = assert(yaml.decode "a: []\nb: {}\nc: [1]\n")
    assert.is_true(json.is_list(value.a))
    assert.is_false(json.is_list(value.b))
    assert.is_true(json.is_list(value.c))
  end)

  it("knows where everything stands", function()
    local value, sources = yaml.decode("a:\n  - b: 1\n    c: [x,\n        y]\n", "p.yaml")
    local function at(...)
      local place = sources:locate(value, { ... })
      return ("%s:%d:%d"):format(place.file, place.line, place.column)
    end
    assert.equal("p.yaml:1:1", at "a")
    assert.equal("p.yaml:2:5", at("a", 0))
    assert.equal("p.yaml:2:5", at("a", 0, "b"))
    assert.equal("p.yaml:3:5", at("a", 0, "c"))
    assert.equal("p.yaml:4:9", at("a", 0, "c", 1))
  end)

  it("follows aliases, within bounds", function()
    assert.same({ a = { 1, 2 }, b = { 1, 2 } }, (yaml.decode "a: &x [1, 2]\nb: *x\n"))
    local lines = { "a0: &a0 [x,x,x,x,x,x,x,x,x,x]" }
    for level = 1, 9 do
      local alias = ("*a%d,"):format(level - 1):rep(10)
      lines[#lines + 1] = ("a%d: &a%d [%s]"):format(level, level, alias:sub(1, -2))
    end
    local value, message, code, where = yaml.decode(table.concat(lines, "\n"))
    assert.is_nil(value)
    assert.equal("limit", code)
    assert.truthy(message:find("100000", 1, true))
    assert.is_true(where.line >= 4)
  end)

  it("refuses what has no place in a definition, with its line", function()
    local cases = {
      { "a: 1\na: 2\n", 2, "twice" }, { "a: 1\n'a': 2\n", 2, "twice" }, { "a: !foo 1\n", 1, "tag" }, { "a: !!str 1\n", 1, "tag" },
      { "a: !!python/object:os.system {}\n", 1, "tag" }, { "? [1]\n: 2\n", 1, "key" }, { "a: .nan\n", 1, "number" }, { "a: -.inf\n", 1, "number" },
      { "a: 1e999\n", 1, "large" }, { "a: 1\n--- \nb: 2\n", 2, "second document" }, { "a: *nope\n", 1, "nope" }, { "a: [1\nb: }\n", 2, "YAML" },
      { "a: &a\n  <<: {b: 1}\n", 2, "merge" }, { "\ta: 1\n", 1, "YAML" }, { "a: &x [*x]\n", 1, "x" }, { ("["):rep(70) .. ("]"):rep(70), 1, "levels" },
      { "a: 'b\n", 2, "YAML" }, { "\u{e9}: \"a\\0b\"", 1, "zero byte" }, { "a: \"\\u0000\"", 1, "zero byte" }, { "\"\\x00\": 1", 1, "zero byte" }, { "a: \"\\q\"", 1, "YAML" },
    }
    for _, case in ipairs(cases) do
      local value, message, code, where = yaml.decode(case[1])
      assert.is_nil(value, case[1])
      assert.truthy(code == "invalid" or code == "limit")
      assert.truthy(message:find(case[3], 1, true), message)
      assert.equal(case[2], where.line, case[1] .. message)
    end
  end)

  it("takes an empty document as null", function()
    assert.equal(json.null, (yaml.decode ""))
    assert.equal(json.null, (yaml.decode "# nothing\n"))
  end)
end)

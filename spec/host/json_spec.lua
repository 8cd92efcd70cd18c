local json = require "weir.native.json"

-- What RFC 8259 lets through, and the value it must give.
local ACCEPTED = {
  { "[]", {} }, { "{}", {} }, { "[[]]", { {} } }, { " [ ] ", {} }, { "[[],[[]]]", { {}, { {} } } },
  { '{"a":[]}', { a = {} } }, { '[{}]', { {} } }, { "[1,2,3]", { 1, 2, 3 } }, { "\t[1\n,\r2 ]\n", { 1, 2 } },
  { "true", true }, { "false", false }, { "null", json.null }, { " null ", json.null }, { "[null]", { json.null } },
  { "[true,false]", { true, false } }, { "0", 0 }, { "-1", -1 }, { "123", 123 }, { "[0]", { 0 } },
  { "9223372036854775807", math.maxinteger }, { "-9223372036854775808", math.mininteger },
  { "9223372036854775808", 9223372036854775808.0 }, { "-9223372036854775809", -9223372036854775809.0 },
  { "18446744073709551616", 2.0 ^ 64 }, { "100000000000000000000", 1e20 }, { "1.0", 1.0 }, { "0.0", 0.0 },
  { "-0.0", -0.0 }, { "-0", -0.0 }, { "1e2", 100.0 }, { "1E2", 100.0 }, { "1e+2", 100.0 }, { "1e-2", 0.01 },
  { "0e1", 0.0 }, { "0e+1", 0.0 }, { "0E0", 0.0 }, { "1.5e3", 1500.0 }, { "123.456", 123.456 },
  { "123e65", 123e65 }, { "123.456e78", 123.456e78 }, { "-123.5", -123.5 }, { "1e22", 1e22 }, { "1e23", 1e23 },
  { "1e308", 1e308 }, { "5e-324", 5e-324 }, { "1e-400", 0.0 }, { "2.2250738585072011e-308", 2.2250738585072011e-308 },
  { "1.7976931348623157e308", 1.7976931348623157e308 }, { "0.1", 0.1 }, { "0.30000000000000004", 0.30000000000000004 },
  { "9007199254740993.0", 9007199254740992.0 }, { "0.000001", 0.000001 }, { "1234567890123456789.0", 1234567890123456789.0 },
  { "0." .. ("0"):rep(400) .. "1e401", 1.0 }, { "1" .. ("0"):rep(400) .. "e-400", 1.0 },
  { "1." .. ("0"):rep(900) .. "1", 1.0 }, { '""', "" }, { '"a"', "a" }, { '" "', " " }, { '"\\""', '"' },
  { '"\\\\"', "\\" }, { '"\\/"', "/" }, { '"/"', "/" }, { '"\\b\\f\\n\\r\\t"', "\b\f\n\r\t" }, { '"\\u0041"', "A" },
  { '"\\u00e9"', "é" }, { '"\\u00E9"', "é" }, { '"\\u20ac"', "€" }, { '"\\ud83d\\ude00"', "😀" },
  { '"\\uD800\\uDC00"', "\u{10000}" }, { '"\\uDBFF\\uDFFF"', "\u{10FFFF}" }, { '"\\u0000"', "\0" },
  { '"\\uFFFF"', "\u{FFFF}" }, { '"\\ufdd0"', "\u{FDD0}" }, { '"\\u2028"', "\u{2028}" }, { '"\u{2028}"', "\u{2028}" },
  { '"\127"', "\127" }, { '"é"', "é" }, { '"€"', "€" }, { '"😀"', "😀" }, { '"\u{10FFFF}"', "\u{10FFFF}" },
  { '"\u{FEFF}"', "\u{FEFF}" }, { '"a\\u0020b"', "a b" }, { '"\\\\u0041"', "\\u0041" }, { '"\\\\\\""', '\\"' },
  { '"' .. ("long "):rep(500) .. '"', ("long "):rep(500) }, { '{"a":1}', { a = 1 } }, { '{"":0}', { [""] = 0 } },
  { '{ "a" : 1 , "b" : 2 }', { a = 1, b = 2 } }, { '{"a":{"b":{"c":null}}}', { a = { b = { c = json.null } } } },
  { '{"a":"b","c":[1,{"d":false}]}', { a = "b", c = { 1, { d = false } } } }, { '{"\\u0061":1,"b":2}', { a = 1, b = 2 } },
  { '{"a\\u0000b":1}', { ["a\0b"] = 1 } }, { '{"é":1}', { ["é"] = 1 } }, { '[1,"a",1.5,null,true]', { 1, "a", 1.5, json.null, true } },
  { '{"1":2}', { ["1"] = 2 } }, { ("["):rep(64) .. ("]"):rep(64), nil },
}

-- What it does not let through, and where the mistake stands (offset from 1).
local REFUSED = {
  { "", 1 }, { " ", 2 }, { "[", 2 }, { "]", 1 }, { "{", 2 }, { "}", 1 }, { "[1", 3 }, { "[1,", 4 }, { "[1,]", 4 },
  { "[,1]", 2 }, { "[,]", 2 }, { "[1,,2]", 4 }, { "[1 2]", 4 }, { "[1;2]", 3 }, { "[1}", 3 }, { "[1]]", 4 }, { "[][]", 3 },
  { "[]x", 3 }, { "{]", 2 }, { "{1:2}", 2 }, { "{a:1}", 2 }, { "{'a':1}", 2 }, { '{"a"}', 5 }, { '{"a":}', 6 },
  { '{"a" 1}', 6 }, { '{"a":1,}', 8 }, { '{,"a":1}', 2 }, { '{"a":1 "b":2}', 8 }, { '{"a":1,,"b":2}', 8 }, { '{"a":1', 7 },
  { '{"a":', 6 }, { '{"a"', 5 }, { '{"a":1]', 7 }, { '{"a":1}}', 8 }, { '{"a":1}x', 8 }, { '{"a":1,1}', 8 },
  { '{null:1}', 2 }, { '{"a":1,"a":2}', 8 }, { '{"a":1,"\\u0061":2}', 8 }, { '{"":1,"":1}', 7 }, { "nul", 1 },
  { "nulll", 5 }, { "Null", 1 }, { "NULL", 1 }, { "True", 1 }, { "tru", 1 }, { "truee", 5 }, { "fals", 1 }, { "undefined", 1 },
  { "NaN", 1 }, { "-NaN", 2 }, { "Infinity", 1 }, { "-Infinity", 2 }, { "inf", 1 }, { "01", 1 }, { "-01", 2 }, { "00", 1 },
  { "+1", 1 }, { "-", 2 }, { "--1", 2 }, { "1.", 3 }, { ".5", 1 }, { "-.5", 2 }, { "1.e1", 3 }, { "1e", 2 }, { "1e+", 2 },
  { "1E-", 2 }, { "1e1.5", 4 }, { "0x10", 2 }, { "1a", 2 }, { "1_000", 2 }, { "1,000", 2 }, { "0.1.2", 4 }, { "1 2", 3 },
  { "1e400", 1 }, { "-1e400", 1 }, { "１", 1 }, { '"', 2 }, { '"a', 3 }, { "'a'", 1 }, { '"\\"', 4 }, { '"\\', 2 },
  { '"\\x41"', 2 }, { '"\\a"', 2 }, { '"\\\'"', 2 }, { '"\\0"', 2 }, { '"\\u"', 2 }, { '"\\u00"', 2 }, { '"\\u00g0"', 2 },
  { '"\\U0041"', 2 }, { '"\\u{41}"', 2 }, { '"\\ud800"', 2 }, { '"\\udc00"', 2 }, { '"\\ud800\\u0041"', 2 },
  { '"\\ud800\\ud800"', 2 }, { '"\\ud800x"', 2 }, { '"\\ud800\\n"', 2 }, { '"\\ud8"', 2 }, { '"\n"', 2 }, { '"\t"', 2 },
  { '"\0"', 2 }, { '"\31"', 2 }, { '"\xFF"', 2 }, { '"\x80"', 2 }, { '"\xC0\x80"', 2 }, { '"\xC1\xBF"', 2 },
  { '"\xE0\x80\x80"', 2 }, { '"\xED\xA0\x80"', 2 }, { '"\xED\xBF\xBF"', 2 }, { '"\xF0\x80\x80\x80"', 2 },
  { '"\xF4\x90\x80\x80"', 2 }, { '"\xF5\x80\x80\x80"', 2 }, { '"\xC3"', 2 }, { '"\xE2\x82"', 2 }, { '"\xF0\x9F\x98"', 2 },
  { '"\xE2\x28\xA1"', 2 }, { '{"\xFF":1}', 3 }, { "\xEF\xBB\xBF[]", 1 }, { "[1]\0", 4 }, { "\0", 1 }, { "\v[]", 1 },
  { "\u{A0}[]", 1 }, { "\f1", 1 }, { "// c\n1", 1 }, { "/* c */1", 1 }, { "[1]// c", 4 }, { "# c\n1", 1 }, { "(1)", 1 },
  { "<a>", 1 }, { "a", 1 }, { "*", 1 }, { "[1:2]", 3 }, { "[\"a\":1]", 5 }, { '{"a","b"}', 5 }, { '{"a":"b",c:1}', 10 },
  { '["a\n"]', 4 }, { '[\\u0061]', 2 }, { "[1\f]", 3 }, { '["\\u00A"]', 3 }, { "2.e3", 3 }, { "2.e-3", 3 }, { "0e", 2 },
  { "0.3e+", 4 }, { "[-foo]", 3 }, { "[- 1]", 3 }, { "-2.", 4 }, { "{}{}", 3 }, { '{"a":/*b*/1}', 6 }, { "[#]", 2 },
}

describe("json.decode", function()
  it("accepts what the standard allows and gives its value", function()
    for _, case in ipairs(ACCEPTED) do
      local value, message = json.decode(case[1])
      assert(value ~= nil, ("%q: %s"):format(case[1], message))
      if case[2] ~= nil then
        assert.same(case[2], value, case[1])
        assert.equal(math.type(case[2]), math.type(value), case[1])
      end
    end
  end)

  it("refuses everything else and says where", function()
    for _, case in ipairs(REFUSED) do
      local value, message, code, place = json.decode(case[1])
      assert(value == nil, ("%q was accepted"):format(case[1]))
      assert.equal("invalid", code, case[1])
      assert.equal(case[2], place.offset, ("%q: %s"):format(case[1], message))
      assert.matches("^line %d+, column %d+: ", message)
    end
  end)

  it("reads no prefix of a document", function()
    local text = '{"a":[1,-2.5e3,"x\\u00e9\\ud83d\\ude00é",{"b":null}],"c":true}'
    assert.truthy(json.decode(text))
    for size = 0, #text - 1 do
      local value, _, code = json.decode(text:sub(1, size))
      assert(value == nil and code == "invalid", text:sub(1, size))
    end
  end)

  it("counts lines, and columns in characters", function()
    local _, message, code, place = json.decode('{\n  "é": 1,\n  "ü": x}')
    assert.equal("line 3, column 8: expected a value, got 'x'", message)
    assert.equal("invalid", code)
    assert.same({ line = 3, column = 8, offset = 22 }, place)
  end)

  it("names the key that an object has twice", function()
    local _, message = json.decode '{"size": 1, "size": 2}'
    assert.equal("line 1, column 13: an object has the key 'size' twice", message)
  end)

  it("writes more around a value that is as deep as one may be read", function()
    local value = assert(json.decode(("["):rep(64) .. ("]"):rep(64)))
    for _ = 1, 16 do value = { value } end
    assert.equal(("["):rep(80) .. ("]"):rep(80), json.encode(value))
    local text, message, code = json.encode { value }
    assert.same({ nil, "invalid" }, { text, code })
    assert.matches("more than 80 tables", message)
  end)

  it("keeps to its limits on depth, size and keys", function()
    local _, message, code = json.decode(("["):rep(65) .. ("]"):rep(65))
    assert.equal("line 1, column 65: too many containers inside one another", message)
    assert.equal("limit", code)
    _, _, code = json.decode("[[1]]", { max_depth = 1 })
    assert.equal("limit", code)
    assert.truthy(json.decode("[1]", { max_depth = 1 }))
    _, _, code = json.decode("[1,2]", { max_bytes = 4 })
    assert.equal("limit", code)
    local keys = {}
    for i = 1, 65537 do keys[i] = ('"%d":0'):format(i) end
    _, _, code = json.decode("{" .. table.concat(keys, ",") .. "}")
    assert.equal("limit", code)
    assert.truthy(json.decode("{" .. table.concat(keys, ",", 2) .. "}"))
  end)

  it("marks every list, also an empty one", function()
    local value = json.decode '{"a":[],"b":{}}'
    assert.is_true(json.is_list(value.a))
    assert.is_false(json.is_list(value.b))
    assert.equal('{"a":[],"b":{}}', json.encode(value))
  end)

  it("takes its caller's mistakes for mistakes", function()
    assert.has_error(function() json.decode(1) end)
    assert.has_error(function() json.decode("1", { max_depth = 65 }) end)
    assert.has_error(function() json.decode("1", { max_bytes = "many" }) end)
  end)
end)

describe("json.encode", function()
  it("keeps integers and floats apart", function()
    local cases = {
      { 1, "1" }, { 1.5, "1.5" }, { -7, "-7" }, { math.mininteger, "-9223372036854775808" }, { 5.0, "5.0" },
      { 2.0 ^ 53, "9007199254740992.0" }, { 1e21, "1e+21" }, { 1e20, "100000000000000000000.0" }, { 1e-6, "0.000001" },
      { 1e-7, "1e-7" }, { 0.1, "0.1" }, { 5e-324, "5e-324" }, { 1.7976931348623157e308, "1.7976931348623157e+308" },
      { 1 / 3, "0.3333333333333333" }, { 0.30000000000000004, "0.30000000000000004" }, { 123456789.125, "123456789.125" },
      { 2.0 ^ -44, "5.684341886080802e-14" }, { -0.0, "-0.0" }, { 0, "0" }, { -1e-9, "-1e-9" },
    }
    for _, case in ipairs(cases) do assert.equal(case[2], json.encode(case[1])) end
  end)

  it("writes the shortest float that reads back", function()
    math.randomseed(20261123)
    for _ = 1, 20000 do
      local value = string.unpack("<d", string.pack("<I8", math.random(0) & math.maxinteger))
      if value == value and value < math.huge then
        local text = json.encode(value)
        assert.equal(value, json.decode(text))
        assert.equal("float", math.type(json.decode(text)))
        local digits = text:gsub("e.*", ""):gsub("%.", ""):gsub("^0+", ""):gsub("0+$", "")
        local fewer = #digits > 1 and tonumber(("%%.%de"):format(#digits - 2):format(value))
        assert(fewer ~= value, text)
      end
    end
  end)

  it("sorts keys, so that one value has one text", function()
    local many = {}
    for i = 300, 1, -1 do many[("k%03d"):format(i)] = i end
    local text = json.encode(many)
    local last = ""
    for key in text:gmatch '"(k%d+)"' do
      assert(last < key)
      last = key
    end
    assert.equal('{"":1,"a":2,"a\\u0000":3,"ab":4,"é":5}', json.encode { ["é"] = 5, ab = 4, a = 2, [""] = 1, ["a\0"] = 3 })
  end)

  it("escapes what must be escaped and nothing else", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. "\127é\u{2028}😀\"", json.encode "\"\\/\b\f\n\r\t\0\31\127é\u{2028}😀")
  end)

  it("indents on request, but not canonical text", function()
    assert.equal('{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}', json.encode({ a = { 1, {} }, b = json.list {} }, { indent = 2 }))
    assert.equal('{"a":1}', json.encode({ a = 1 }, { canonical = true }))
    assert.has_error(function() json.encode({}, { canonical = true, indent = 2 }) end)
  end)

  it("tells lists from objects", function()
    assert.equal("{}", json.encode {})
    assert.equal("[]", json.encode(json.list {}))
    assert.equal("[1,2,3]", json.encode { 1, 2, 3 })
    assert.equal("[1,2]", json.encode { [2] = 2, [1] = 1 })
    assert.equal("[null,null]", json.encode { json.null, json.null })
    assert.is_true(json.is_list { 1 })
    assert.is_false(json.is_list {})
    assert.is_false(json.is_list { 1, nil, 3, x = 1 })
    assert.is_false(json.is_list "text")
  end)

  it("refuses what is not data and says where", function()
    local cycle = {}
    cycle.again = cycle
    local cases = {
      { { a = { b = { 1, print } } }, "at .a.b[2]: a function, which is not data" },
      { { ["a b"] = { 0 / 0 } }, 'at ["a b"][1]: not a number (NaN)' },
      { math.huge, "at the top: an infinite number" },
      { { 1, 2, nil, 4 }, "at the top: a table with mixed keys or holes; use a list or string keys" },
      { { x = { 1, y = 2 } }, "at .x: a table with mixed keys or holes; use a list or string keys" },
      { { [1.5] = 1 }, "at the top: a table with mixed keys or holes; use a list or string keys" },
      { { [true] = 1 }, "at the top: a table with mixed keys or holes; use a list or string keys" },
      { json.list { x = 1 }, "at the top: a table with mixed keys or holes; use a list or string keys" },
      { { "ok", "\xFF" }, "at [2]: a text that is not UTF-8 (byte 1)" },
      { { k = { ["a\xFF"] = 1 } }, "at .k: a text that is not UTF-8 (byte 2)" },
      { coroutine.create(print), "at the top: a coroutine, which is not data" },
      { io.stdout, "at the top: a userdata, which is not data" },
      { cycle, nil },
    }
    for _, case in ipairs(cases) do
      local text, message, code = json.encode(case[1])
      assert.is_nil(text)
      assert.equal("invalid", code)
      if case[2] then assert.equal(case[2], message) end
    end
    assert.matches("a cycle?", select(2, json.encode(cycle)), 1, true)
  end)

  it("stops at its limit, also for a small value that is large when written", function()
    local value = { "xxxxxxxxxxxxxxxx" }
    for _ = 1, 40 do value = { value, value } end
    local text, _, code = json.encode(value, { max_bytes = 100000 })
    assert.is_nil(text)
    assert.equal("limit", code)
  end)

  it("gives back what it was given", function()
    local value = { list = json.list { 1, 2.5, "é\0", true, json.null, json.list {} }, map = { a = { b = {} } } }
    local text = json.encode(value)
    assert.same(value, json.decode(text))
    assert.equal(text, json.encode(json.decode(text)))
  end)
end)

describe("json.decoder", function()
  it("hands out values as they become complete, however they are cut", function()
    local stream = '{"a":"}\\""}\n[1,[2]] 12 "x y"\nnull\n{}{}true\n'
    local expected = { { a = '}"' }, { 1, { 2 } }, 12, "x y", json.null, {}, {}, true }
    for size = 1, #stream do
      local decoder, got = json.decoder(), {}
      for at = 1, #stream, size do
        for _, value in ipairs(assert(decoder:feed(stream:sub(at, at + size - 1)))) do table.insert(got, value) end
      end
      for _, value in ipairs(assert(decoder:finish())) do table.insert(got, value) end
      assert.same(expected, got)
    end
  end)

  it("takes the end for the end of a number", function()
    local decoder = json.decoder()
    assert.same({}, decoder:feed "4")
    assert.same({}, decoder:feed "2")
    assert.same({ 42 }, decoder:finish())
  end)

  it("hands out what came before a mistake, then the mistake, from then on", function()
    local decoder = json.decoder()
    assert.same({ 1 }, decoder:feed '1\n{"a":}\n2\n')
    for _ = 1, 2 do
      local values, message, code, place = decoder:feed "3\n"
      assert.is_nil(values)
      assert.equal("line 2, column 6: expected a value, got '}'", message)
      assert.equal("invalid", code)
      assert.equal(8, place.offset)
    end
    assert.is_nil(decoder:finish())
  end)

  it("refuses an end inside a value", function()
    local decoder = json.decoder()
    decoder:feed '{"a":[1,'
    local values, _, code = decoder:finish()
    assert.is_nil(values)
    assert.equal("invalid", code)
  end)

  it("does not hold more than its limit", function()
    local decoder = json.decoder { max_bytes = 10 }
    assert.same({ "12345678" }, decoder:feed '"12345678"\n')
    local values, _, code = decoder:feed '"123456789012'
    assert.is_nil(values)
    assert.equal("limit", code)
  end)
end)

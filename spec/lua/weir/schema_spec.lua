local json = require "weir.native.json"
local schema = require "weir.schema"
local value_of = require "weir.value"

local function read(text)
  local value, message = json.decode(text)
  if value == nil then error(message .. ": " .. text) end
  return value
end

local function compile(text)
  return assert(schema.compile(read(text)))
end

-- {schema, values that fit, values that do not}; all JSON, values separated by " ; "
local CASES = {
  boolean = {
    { "true", "1 ; null ; {}", nil },
    { "false", nil, "1 ; null ; {}" },
    { "{}", '1 ; "a" ; [] ; null', nil },
  },
  type = {
    { '{"type":"string"}', '"" ; "a"', "1 ; null ; [] ; {} ; true" },
    { '{"type":"integer"}', "1 ; -5 ; 1.0", '1.5 ; "1" ; null' },
    { '{"type":"number"}', "1 ; 1.5", '"1" ; true' },
    { '{"type":"boolean"}', "true ; false", '0 ; "true" ; null' },
    { '{"type":"null"}', "null", "0 ; false ; {} ; []" },
    { '{"type":"array"}', "[] ; [1]", "{} ; null" },
    { '{"type":"object"}', '{} ; {"a":1}', "[] ; [1]" },
    { '{"type":["string","null"]}', '"a" ; null', "1 ; []" },
  },
  enum = {
    { '{"enum":[1,"a",null,[1],{"a":1}]}', '1 ; 1.0 ; "a" ; null ; [1] ; {"a":1.0}', '2 ; "b" ; false ; [] ; {"a":2}' },
    { '{"enum":[false]}', "false", "0 ; null" },
  },
  const = {
    { '{"const":{"a":[1]}}', '{"a":[1]}', '{"a":[]} ; {}' },
    { '{"const":null}', "null", "false ; 0" },
    { '{"const":0}', "0 ; 0.0", "false ; null" },
  },
  multipleOf = {
    { '{"multipleOf":2}', '4 ; 0 ; -2 ; "a"', "3 ; 2.5" },
    { '{"multipleOf":0.0001}', "0.0075", "0.00751" },
    { '{"multipleOf":0.01}', "4.02 ; 1", "4.021" },
  },
  bounds = {
    { '{"maximum":3}', '3 ; 2.9 ; "9"', "3.1" },
    { '{"minimum":-1.5}', "-1.5 ; 0", "-2" },
    { '{"exclusiveMaximum":3}', "2.99", "3 ; 4" },
    { '{"exclusiveMinimum":3}', "3.01", "3 ; 2" },
  },
  strings = {
    { '{"maxLength":2}', '"ab" ; "\\ud83d\\ude00\\ud83d\\ude00" ; 123', '"abc"' },
    { '{"minLength":2}', '"ab" ; 1', '"a" ; "\\ud83d\\ude00"' },
    { '{"pattern":"^a+$"}', '"aa" ; 3', '"b" ; "aab"' },
    { '{"pattern":"b"}', '"abc"', '"ac"' },
    { '{"format":"email"}', '"anything" ; 1', nil },
    { '{"contentMediaType":"application/json"}', '"{"', nil },
  },
  arrays = {
    { '{"maxItems":1}', "[] ; [1] ; {}", "[1,2]" },
    { '{"minItems":1}', '[1] ; "" ; {}', "[]" },
    { '{"uniqueItems":true}', '[1,2] ; [1,true] ; [[1],[2]] ; [{"a":1},{"a":2}] ; ["1",1]', '[1,1.0] ; [{"a":1},{"a":1}] ; [[1],[1]]' },
    { '{"uniqueItems":false}', "[1,1]", nil },
    { '{"items":{"type":"integer"}}', "[] ; [1,2] ; {}", '[1,"a"]' },
    { '{"items":false}', "[]", "[1]" },
    { '{"prefixItems":[{"type":"integer"},{"type":"string"}]}', '[] ; [1] ; [1,"a"] ; [1,"a",null]', '["a"] ; [1,2]' },
    { '{"prefixItems":[{}],"items":{"type":"string"}}', '[1] ; [1,"a"]', "[1,2]" },
    { '{"prefixItems":[{}],"items":false}', "[] ; [1]", "[1,2]" },
    { '{"contains":{"const":5}}', "[5] ; [1,5] ; {}", "[] ; [1]" },
    { '{"contains":{"const":5},"minContains":2}', "[5,5]", "[5] ; []" },
    { '{"contains":{"const":5},"maxContains":1}', "[5] ; [5,1]", "[5,5] ; []" },
    { '{"contains":{"const":5},"minContains":0}', "[] ; [1]", nil },
    { '{"minContains":2}', "[] ; [1]", nil },
  },
  objects = {
    { '{"maxProperties":1}', '{} ; {"a":1} ; [1,2]', '{"a":1,"b":2}' },
    { '{"minProperties":1}', '{"a":1} ; []', "{}" },
    { '{"required":["a","b"]}', '{"a":1,"b":null} ; []', '{} ; {"a":1}' },
    { '{"required":[]}', "{}", nil },
    { '{"dependentRequired":{"a":["b"]}}', '{} ; {"b":1} ; {"a":1,"b":2}', '{"a":1}' },
    { '{"properties":{"a":{"type":"integer"}}}', '{} ; {"a":1} ; {"b":"x"} ; []', '{"a":"x"}' },
    { '{"properties":{"a":false}}', '{} ; {"b":1}', '{"a":1}' },
    { '{"patternProperties":{"^x":{"type":"integer"}}}', '{"xa":1,"y":"a"}', '{"xa":"a"}' },
    { '{"additionalProperties":false}', "{}", '{"a":1}' },
    { '{"properties":{"a":{}},"patternProperties":{"^x":{}},"additionalProperties":false}', '{"a":1,"xy":2}', '{"b":1}' },
    { '{"additionalProperties":{"type":"integer"}}', '{"a":1}', '{"a":"x"}' },
    { '{"propertyNames":{"maxLength":2}}', '{"ab":1} ; {}', '{"abc":1}' },
    { '{"propertyNames":false}', "{}", '{"a":1}' },
    { '{"dependentSchemas":{"a":{"required":["b"]}}}', '{} ; {"a":1,"b":1}', '{"a":1}' },
  },
  combined = {
    { '{"allOf":[{"minimum":1},{"maximum":3}]}', "1 ; 3", "0 ; 4" },
    { '{"allOf":[true,false]}', nil, "1" },
    { '{"anyOf":[{"type":"string"},{"minimum":2}]}', '"a" ; 2 ; null', "1" },
    { '{"oneOf":[{"type":"integer"},{"minimum":2}]}', '1 ; 2.5 ; "a"', "3 ; 1.5" },
    { '{"oneOf":[{"required":["a"]},{"required":["b"]}]}', '{"a":1} ; {"b":1}', '{} ; {"a":1,"b":2}' },
    { '{"not":{"type":"integer"}}', '"a" ; 1.5', "1" },
    { '{"not":{}}', nil, "1 ; null" },
    { '{"if":{"type":"integer"},"then":{"minimum":5},"else":{"type":"string"}}', '5 ; "a"', "4 ; null" },
    { '{"if":{"type":"integer"}}', '1 ; "a"', nil },
    { '{"then":{"minimum":5}}', "1", nil },
    { '{"if":{"type":"integer"},"else":{"type":"string"}}', '1 ; "a"', "null" },
  },
  references = {
    { '{"$ref":"#/$defs/a","$defs":{"a":{"type":"integer"}}}', "1", '"a"' },
    { '{"$ref":"#/$defs/a","maximum":3,"$defs":{"a":{"type":"integer"}}}', "3", '4 ; "a"' },
    { '{"properties":{"next":{"$ref":"#"}},"additionalProperties":false}', '{} ; {"next":{"next":{}}}', '{"next":{"x":1}}' },
    { '{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"const":1}}}', "1", "2" },
    { '{"$ref":"#/$defs/a~0b","$defs":{"a~b":{"const":1}}}', "1", "2" },
    { '{"$ref":"#/$defs/a%25b","$defs":{"a%b":{"const":1}}}', "1", "2" },
    { '{"$ref":"#/allOf/1","allOf":[true,{"const":1}]}', "1", "2" },
    { '{"$ref":"#here","$defs":{"a":{"$anchor":"here","const":1}}}', "1", "2" },
    { '{"$id":"http://x.test/root","$ref":"item","$defs":{"a":{"$id":"item","const":1}}}', "1", "2" },
    { '{"$id":"http://x.test/a/root","$ref":"../b#n","$defs":{"a":{"$id":"/b","$defs":{"x":{"$anchor":"n","const":1}}}}}', "1", "2" },
    { '{"$ref":"urn:x:1","$defs":{"a":{"$id":"urn:x:1","const":1}}}', "1", "2" },
    { '{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"const":1}}}', "1", "2" },
    { '{"$dynamicRef":"#n","$defs":{"a":{"$dynamicAnchor":"n","const":1}}}', "1", "2" },
    { '{"$dynamicRef":"#n","$defs":{"a":{"$anchor":"n","const":1}}}', "1", "2" },
    { [[{"$id":"http://x.test/strict","$ref":"tree","$dynamicAnchor":"node","unevaluatedProperties":false,
        "$defs":{"a":{"$id":"tree","$dynamicAnchor":"node","type":"object",
        "properties":{"data":true,"children":{"type":"array","items":{"$dynamicRef":"#node"}}}}}}]],
      '{"children":[{"data":1}]} ; {"data":1}', '{"children":[{"daat":1}]} ; {"x":1}' },
    { '{"$ref":"https://json-schema.org/draft/2020-12/schema"}', '{} ; true ; {"type":"string"} ; {"properties":{"a":{"minimum":1}}}',
      '1 ; {"type":"strng"} ; {"properties":{"a":{"minimum":"1"}}} ; {"required":"a"} ; {"allOf":[]}' },
  },
  unevaluated = {
    { '{"properties":{"a":{}},"unevaluatedProperties":false}', '{} ; {"a":1}', '{"b":1}' },
    { '{"allOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false}', '{"a":1}', '{"b":1}' },
    { '{"anyOf":[{"properties":{"a":{"const":1}}},{"properties":{"b":{"const":1}},"required":["b"]}],"unevaluatedProperties":false}',
      '{"a":1} ; {"a":1,"b":1}', '{"a":1,"b":2} ; {"c":1}' },
    { '{"oneOf":[{"required":["a"],"properties":{"a":{}}},{"required":["b"],"properties":{"b":{}}}],"unevaluatedProperties":false}',
      '{"a":1} ; {"b":1}', '{"a":1,"c":1}' },
    { '{"if":{"required":["a"]},"then":{"properties":{"a":{}}},"else":{"properties":{"b":{}}},"unevaluatedProperties":false}',
      '{"a":1} ; {"b":1} ; {}', '{"a":1,"b":1}' },
    { '{"not":{"properties":{"a":{"const":2}},"required":["a"]},"unevaluatedProperties":false}', "{}", '{"a":1}' },
    { '{"dependentSchemas":{"a":{"properties":{"a":{},"b":{}}}},"unevaluatedProperties":false}', '{"a":1,"b":2}', '{"b":2}' },
    { '{"$ref":"#/$defs/x","unevaluatedProperties":false,"$defs":{"x":{"properties":{"a":{}}}}}', '{"a":1}', '{"b":1}' },
    { '{"patternProperties":{"^x":{}},"unevaluatedProperties":{"type":"integer"}}', '{"xa":"a","b":1}', '{"b":"a"}' },
    { '{"additionalProperties":true,"unevaluatedProperties":false}', '{"b":1}', nil },
    { '{"allOf":[{"unevaluatedProperties":true}],"unevaluatedProperties":false}', '{"b":1}', nil },
    { '{"prefixItems":[{}],"unevaluatedItems":false}', "[] ; [1]", "[1,2]" },
    { '{"items":{},"unevaluatedItems":false}', "[1,2]", nil },
    { '{"allOf":[{"prefixItems":[{},{}]}],"unevaluatedItems":false}', "[1,2]", "[1,2,3]" },
    { '{"contains":{"type":"string"},"unevaluatedItems":false}', '["a"]', '["a",1]' },
    { '{"anyOf":[{"prefixItems":[{"const":1}]},{"prefixItems":[{},{"const":2}]}],"unevaluatedItems":false}', "[1] ; [1,2]", "[1,3]" },
    { '{"prefixItems":[{}],"unevaluatedItems":{"type":"integer"}}', '["a",1]', '["a","b"]' },
    { '{"allOf":[{"unevaluatedItems":true}],"unevaluatedItems":false}', "[1]", nil },
  },
  annotations = {
    { '{"title":"t","description":"d","default":1,"examples":[1],"deprecated":true,"$comment":"c","x-mine":3}', '1 ; "a"', nil },
  },
}

local function each(text, visit)
  for piece in ((text or "") .. " ; "):gmatch("(.-) ; ") do
    if piece ~= "" then visit(read(piece), piece) end
  end
end

describe("schema keywords", function()
  for _, group in ipairs(value_of.names(CASES)) do
    it("decide as JSON Schema 2020-12 says: " .. group, function()
      for _, case in ipairs(CASES[group]) do
        local validate = compile(case[1])
        each(case[2], function(value, text)
          local fits, errors = validate(value)
          assert.is_true(fits, ("%s should fit %s: %s"):format(text, case[1], errors and errors[1].message))
        end)
        each(case[3], function(value, text)
          local fits, errors = validate(value)
          assert.is_false(fits, ("%s should not fit %s"):format(text, case[1]))
          assert.is_true(#errors >= 1)
        end)
      end
    end)
  end

  it("are tried with more than two hundred values", function()
    local count = 0
    local function add() count = count + 1 end
    for _, group in pairs(CASES) do
      for _, case in ipairs(group) do
        each(case[2], add)
        each(case[3], add)
      end
    end
    assert.is_true(count >= 200, count .. " values")
  end)
end)

local function messages(text, value, label)
  local _, errors = compile(text)(read(value), label)
  local result = {}
  for index, entry in ipairs(errors or {}) do result[index] = entry.message end
  return result
end

describe("schema errors", function()
  it("come all at once, worded for people", function()
    assert.same({
      "input.name is required (string)",
      "input.tags[0] must be string, got integer 1",
      "input.words must be integer, got string 'x'",
      "input.nmae is unknown; did you mean 'name'?",
    }, messages([[{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string"},
      "tags":{"type":"array","items":{"type":"string"}},"words":{"type":"integer"}}}]],
      '{"tags":[1],"words":"x","nmae":3}', "input"))
  end)

  it("tell about the alternative that was meant", function()
    local text = '{"anyOf":[{"type":"string"},{"type":"object","properties":{"a":{"type":"integer"}},"required":["b"]}]}'
    assert.same({ "b is required", "a must be integer, got string 'x'" }, messages(text, '{"a":"x"}'))
    assert.same({ "the value must be string or object, got integer 1" }, messages(text, "1"))
  end)

  it("tell which fields are a choice", function()
    local text = '{"oneOf":[{"required":["a"]},{"required":["b"]}]}'
    assert.same({ "the value needs exactly one of a, b; none of them is there" }, messages(text, "{}"))
    assert.same({ "the value needs exactly one of a, b; got a and b" }, messages(text, '{"a":1,"b":1}'))
  end)

  it("use the schema's own message for its place, and keep those below", function()
    local text = '{"properties":{"a":{"type":"string","pattern":"^x$","errorMessage":"must be x"}},"errorMessage":"no","required":["q"]}'
    assert.same({ "q is required", "a must be x" }, messages(text, '{"a":"y"}'))
    assert.same({ "the value must be x" }, messages('{"type":["string"],"minLength":5,"pattern":"x","errorMessage":"must be x"}', '"y"'))
  end)

  it("carry path, pointer and place in the schema", function()
    local _, errors = compile '{"properties":{"a b":{"items":{"type":"integer"}}}}' { ["a b"] = json.list { "x" } }
    assert.equal("['a b'][0]", errors[1].path)
    assert.equal("/a b/0", errors[1].pointer)
    assert.equal("/properties/a b/items/type", errors[1].schema_path)
    assert.same({ "a b", 0 }, errors[1].keys)
    assert.equal("type", errors[1].keyword)
  end)

  it("do not leak from alternatives that fit", function()
    assert.same({}, messages('{"anyOf":[{"type":"string"},{"type":"integer"}]}', "1"))
    assert.same({ "the value must be at least 5, got 1" }, messages('{"anyOf":[{"type":"integer"}],"minimum":5}', "1"))
  end)
end)

describe("compiling a schema", function()
  it("refuses what is none, with its place", function()
    local cases = {
      { '{"properties":{"a":{"type":"strng"}}}', "schema at /properties/a/type: 'strng' is no type; did you mean 'string'?" },
      { '{"$ref":"#/nope"}', "schema at /$ref: '#/nope' leads nowhere" }, { '{"$ref":"http://x.test/y"}', "leads nowhere" },
      { '{"minimum":"1"}', "/minimum: a number expected" }, { '{"maxLength":-1}', "/maxLength" }, { '{"maxLength":1.5}', "/maxLength" },
      { '{"required":"a"}', "/required" }, { '{"required":[1]}', "/required" }, { '{"pattern":"("}', "/pattern: pattern '('" },
      { '{"pattern":3}', "/pattern" }, { '{"patternProperties":{"(":{}}}', "/patternProperties" }, { '{"allOf":[]}', "/allOf" },
      { '{"anyOf":{}}', "/anyOf" }, { '{"allOf":{"a":{}}}', "/allOf" }, { '{"items":[{}]}', "/items" }, { '{"items":3}', "/items" }, { '{"properties":[]}', "/properties" },
      { '{"enum":3}', "/enum" }, { '{"multipleOf":0}', "/multipleOf" }, { '{"uniqueItems":1}', "/uniqueItems" }, { '{"type":[]}', "/type" },
      { '{"type":3}', "/type" }, { "3", "schema: a schema" }, { "[]", "schema: a schema" }, { '{"$id":3}', "/$id" },
      { '{"$ref":"#/$defs/a","$defs":{"a":{"type":"x"}}}', "/$defs/a/type" }, { '{"dependentRequired":{"a":1}}', "/dependentRequired" },
      { '{"$schema":"http://json-schema.org/draft-07/schema#"}', "another dialect" }, { '{"minContains":"1","contains":{}}', "/contains" },
    }
    for _, case in ipairs(cases) do
      local validate, message, code = schema.compile(assert(json.decode(case[1])))
      assert.is_nil(validate, case[1])
      assert.equal("invalid", code)
      assert.truthy(message:find(case[2], 1, true), message)
    end
  end)

  it("asks for schemas of other addresses", function()
    local validate = assert(schema.compile({ ["$ref"] = "http://x.test/a.json#/$defs/n" }, {
      find = function(uri) return uri == "http://x.test/a.json" and { ["$defs"] = { n = { ["$ref"] = "#/$defs/i" }, i = { type = "integer" } } } or nil end,
    }))
    assert.is_true(validate(1))
    assert.is_false((validate "x"))
  end)

  it("ends also where references go in a circle", function()
    local fits, errors = compile '{"$ref":"#"}'(1)
    assert.is_false(fits)
    assert.truthy(errors[1].message:find("circle", 1, true))
    assert.is_false((compile '{"allOf":[{"$ref":"#"},{"$ref":"#"}]}'(1)))
    assert.is_table(schema.defaults(read '{"allOf":[{"$ref":"#"},{"$ref":"#"}]}', {}))
  end)

  it("knows an empty table as an object and an empty list as an array", function()
    local validate = assert(schema.compile { type = "array" })
    assert.is_true(validate(json.list {}))
    assert.is_false((validate {}))
  end)

  it("checks a thousand levels of a recursive schema", function()
    local validate = compile '{"properties":{"n":{"$ref":"#"}},"additionalProperties":false}'
    local value = {}
    for _ = 1, 1000 do value = { n = value } end
    assert.is_true(validate(value))
  end)
end)

describe("the short form", function()
  it("reads types, lists, optional names and defaults", function()
    local cases = {
      { "string", '{"type":"string"}', false }, { "integer = 3", '{"type":"integer","default":3}', true }, { "string?", '{"type":"string"}', true },
      { "string[]", '{"type":"array","items":{"type":"string"}}', false }, { "number[][]?", '{"type":"array","items":{"type":"array","items":{"type":"number"}}}', true },
      { "any", "{}", false }, { "boolean = false", '{"type":"boolean","default":false}', true }, { "string = a b", '{"type":"string","default":"a b"}', true },
      { 'string = "a"', '{"type":"string","default":"a"}', true }, { "number = 1", '{"type":"number","default":1}', true },
      { "string[] = [\"a\"]", '{"type":"array","items":{"type":"string"},"default":["a"]}', true }, { "object = {}", '{"type":"object","default":{}}', true },
      { "any = null", '{"default":null}', true }, { " integer=3 ", '{"type":"integer","default":3}', true }, { "array", '{"type":"array"}', false },
    }
    for _, case in ipairs(cases) do
      local written, is_optional = schema.shorthand(case[1])
      assert.is_true(value_of.equal(assert(json.decode(case[2])), written), case[1])
      assert.equal(case[3], is_optional, case[1])
    end
  end)

  it("refuses what it does not know", function()
    for _, text in ipairs { "strng", "", "string[", "integer = x", "integer = 1.5", "boolean = yes", "string | null", "string =", "int" } do
      local written, message, code = schema.shorthand(text)
      assert.is_nil(written, text)
      assert.equal("invalid", code)
      assert.is_string(message)
    end
  end)

  it("writes out an object of names", function()
    local written = assert(schema.object { path = "string", words = "integer = 300", kind = { enum = { "a", "b" } }, note = { type = "string", optional = true } })
    assert.is_true(value_of.equal({
      type = "object", additionalProperties = false, required = json.list { "kind", "path" },
      properties = {
        path = { type = "string" }, words = { type = "integer", default = 300 }, kind = { enum = { "a", "b" } }, note = { type = "string" },
      },
    }, written))
  end)

  it("leaves a JSON Schema as it is", function()
    local written = { type = "object", properties = { a = { type = "string" } } }
    assert.is_true(value_of.equal(written, schema.object(written)))
    assert.is_true(value_of.equal({ ["$ref"] = "#/x" }, schema.object { ["$ref"] = "#/x" }))
  end)

  it("name a thousand unknown members, and of more only that there are so many", function()
    local check = assert(schema.compile { properties = { a = true }, additionalProperties = false })
    local function errors_of(count)
      local value = { a = 1 }
      for n = 1, count do value["b" .. n] = n end
      return select(2, check(value, "input"))
    end
    assert.equal(1000, #errors_of(1000))
    local errors = errors_of(1001)
    assert.equal(1, #errors)
    assert.equal("input has more than 1000 unknown names", errors[1].message)
  end)

  it("names the member that is wrong", function()
    local cases = {
      { { a = "strng" }, "a: 'strng' is no type; did you mean 'string'?" }, { { a = 3 }, "a: a type" },
      { { a = { street = "string" } }, "a: neither a type nor a JSON Schema; it has street" }, { "string", "names with their types" },
      { { properties = { a = { type = "string" } } }, "a whole JSON Schema says type: object" },
    }
    for _, case in ipairs(cases) do
      local written, message, code = schema.object(case[1])
      assert.is_nil(written)
      assert.equal("invalid", code)
      assert.truthy(message:find(case[2], 1, true), message)
    end
  end)
end)

describe("defaults", function()
  local written = assert(json.decode [[{"type":"object","$defs":{"o":{"type":"object","properties":{"x":{"default":[1]}}}},"properties":{
    "a":{"default":1},"o":{"$ref":"#/$defs/o"},"p":{"$ref":"#/$defs/o","default":{}},"l":{"items":{"$ref":"#/$defs/o"}}},
    "allOf":[{"properties":{"b":{"default":"y"}}}]}]])

  it("fill what is missing, at every level", function()
    assert.is_true(value_of.equal({ a = 1, b = "y", p = { x = { 1 } } }, schema.defaults(written, {})))
    assert.is_true(value_of.equal({ a = 2, b = "z", p = { x = 0 }, o = { x = { 1 } }, l = { { x = { 1 } } } },
      schema.defaults(written, { a = 2, b = "z", p = { x = 0 }, o = {}, l = { {} } })))
    assert.is_true(value_of.equal({ a = 1, b = "y", p = { x = { 1 } } }, schema.defaults(written, nil)))
  end)

  it("end where a schema's defaults hold themselves", function()
    assert.is_table(schema.defaults({ properties = { a = { ["$ref"] = "#", default = {} } } }, {}))
    assert.equal(1, schema.defaults({ ["$ref"] = "#" }, 1))
  end)

  it("change neither the value nor the schema", function()
    local given = { o = {} }
    local filled = schema.defaults(written, given)
    filled.o.x[1] = 5
    assert.same({ o = {} }, given)
    assert.equal(1, schema.defaults(written, { o = {} }).o.x[1])
  end)
end)

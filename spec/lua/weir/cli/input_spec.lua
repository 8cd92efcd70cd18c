local input = require "weir.cli.input"
local json = require "weir.native.json"
local schema = require "weir.schema"
local support = dofile "spec/lua/weir/cli/support.lua"

local SCHEMA = { type = "object", required = json.list { "name", "count" }, additionalProperties = false, properties = {
  name = { type = "string" }, count = { type = "integer" }, share = { type = "number" }, on = { type = "boolean" },
  list = { type = "array" }, deep = { type = "object", properties = { a = { type = "integer" } } }, any = {},
  either = { type = json.list { "string", "integer" } } } }

local function built(...)
  return input.build(nil, { ... }, SCHEMA)
end

local function refusal_of(...)
  local ok, err = pcall(input.build, ...)
  assert.is_false(ok)
  return err
end

describe("the input from the command line", function()
  it("has the types that the schema says", function()
    assert.same({ name = "12", count = 3, share = 3, on = true, deep = { a = 4 } },
      built("name=12", "count=3", "share=3", "on=true", "deep.a=4"))
    assert.equal("integer", math.type(built("count=3").count))
    assert.equal("true", built("name=true").name)
  end)

  it("is JSON where the schema says nothing, else text", function()
    assert.same({ 1, 2 }, built("any=[1,2]").any)
    assert.equal("plain text", built("any=plain text").any)
    assert.equal(7, built("either=7").either)
    assert.equal("x", built("either=x").either)
    assert.equal(json.null, built("any=null").any)
  end)

  it("stays text where it does not fit, so that the schema refuses it", function()
    assert.equal("1.5", built("count=1.5").count)
    assert.equal("[", built("list=[").list)
  end)

  it("is an integer where the schema wants one and the number is whole, however it is written", function()
    assert.same({ 3, 1000, 0 }, { built("count=3.0").count, built("count=1e3").count, built("count=-0").count })
    assert.equal("9223372036854775808", built("count=9223372036854775808").count)
  end)

  it("is refused where it is no UTF-8, on either side of the equals sign", function()
    for _, setting in ipairs { "name=\255", "any=a\237\160\128", "deep.\255=1" } do
      local err = refusal_of(nil, { setting }, SCHEMA)
      assert.equal("invalid", err.code)
      assert.matches("byte %d+ of it is not UTF%-8$", err.message)
      assert.is_truthy(utf8.len(err.message))
    end
  end)

  it("keeps everything after the first equals sign", function()
    assert.equal("a=b=c", built("name=a=b=c").name)
    assert.equal("", built("name=").name)
  end)

  it("lays --set over --input", function()
    assert.same({ name = "b", count = 1 }, input.build('{"name": "a", "count": 1}', { "name=b" }, SCHEMA))
  end)

  it("reads a file", function()
    local folder = support.folder()
    local path = support.write(folder, "in.json", '{"name": "ä"}')
    assert.same({ name = "ä" }, input.build("@" .. path, nil, SCHEMA))
    assert.matches("No such file", refusal_of("@" .. folder .. "/none.json").message)
    support.remove(folder)
  end)

  it("refuses what cannot be meant, and says how it is written", function()
    assert.equal("invalid", refusal_of("{oops").code)
    assert.matches("is not JSON: line 1, column 2", refusal_of("{oops").message)
    assert.matches("name=value expected", refusal_of(nil, { "name" }).message)
    assert.matches("an empty name", refusal_of(nil, { "a..b=1" }).message)
    assert.matches("the input is no object", refusal_of("[1]", { "a=1" }).message)
    assert.matches("'name' is no object", refusal_of('{"name": "x"}', { "name.a=1" }).message)
  end)

  it("says what to type for what is missing", function()
    local _, errors = assert(schema.compile(SCHEMA))({}, "input")
    local err = input.refusal(errors, SCHEMA)
    assert.matches("input.name is required (string); try --set name=...", err.message, 1, true)
    assert.matches("input.count is required (integer); try --set count=3", err.message, 1, true)
  end)
end)

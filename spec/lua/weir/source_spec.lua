local json = require "weir.native.json"
local source = require "weir.source"

describe("source", function()
  it("finds the nearest known place", function()
    local inner = { name = "x" }
    local root = { groups = json.list { inner } }
    local sources = source.new "p.yaml"
    sources:mark(root, 1, 1)
    sources:mark_field(root, "groups", 2, 1)
    sources:mark(inner, 3, 5)
    sources:mark_field(inner, "name", 3, 7)
    assert.same({ file = "p.yaml", line = 3, column = 7 }, sources:locate(root, { "groups", 0, "name" }))
    assert.same({ file = "p.yaml", line = 3, column = 5 }, sources:locate(root, { "groups", 0, "missing" }))
    assert.equal(2, sources:locate(root, { "groups", 7 }).line)
    assert.equal(1, sources:locate(root, { "nope" }).line)
  end)

  it("follows a table to what it was made from", function()
    local sources = source.new "p.yaml"
    local written = {}
    sources:mark(written, 4, 2)
    sources:mark_field(written, "a", 5, 3)
    local copy = sources:derive({ a = 1 }, sources:derive({}, written))
    assert.equal(4, sources:place(copy).line)
    assert.equal(5, sources:locate(copy, { "a" }).line)
  end)

  it("knows only the file where nothing is marked", function()
    assert.same({ file = "p.lua" }, source.new("p.lua"):locate({}, { "a" }))
  end)

  it("finds places in JSON", function()
    local text = '{\n  "a": [1, {"b\\u0041": "x\\"}"},\n    []],\n  "c": {"d": null}\n}'
    local value = assert(json.decode(text))
    local sources = source.of_json("p.json", text, value, json.decode)
    local function at(...)
      local place = sources:locate(value, { ... })
      return place.line .. ":" .. place.column
    end
    assert.equal("1:1", at())
    assert.equal("2:3", at "a")
    assert.equal("2:9", at("a", 0))
    assert.equal("2:12", at("a", 1))
    assert.equal("2:13", at("a", 1, "bA"))
    assert.equal("3:5", at("a", 2))
    assert.equal("4:9", at("c", "d"))
  end)
end)

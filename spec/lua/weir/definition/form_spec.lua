local form = require "weir.definition.form"
local json = require "weir.native.json"
local schema = require "weir.schema"

describe("the schema of the normal form", function()
  it("is a schema by the schema of schemas", function()
    local validate = assert(schema.compile { ["$ref"] = "https://json-schema.org/draft/2020-12/schema" })
    local fits, errors = validate(form.schema())
    assert.is_true(fits, errors and errors[1].message)
  end)

  it("is plain data that can be printed and compiled from its print", function()
    local text = assert(json.encode(form.schema(), { indent = 2 }))
    local validate = assert(schema.compile(assert(json.decode(text))))
    assert.is_true(validate { weir = 1, name = "p", groups = { { name = "g", steps = { { name = "a", agent = "echo" } } } } })
    assert.is_false((validate { weir = 1, name = "p", groups = { { name = "a", agent = "echo" } } }))
  end)

  it("is given out anew each time", function()
    form.schema().properties.name = nil
    assert.is_table(form.schema().properties.name)
  end)

  it("names every field in the order of its writing", function()
    for name, fields in pairs(form.order) do
      local definition = name == "pipeline" and form.schema() or form.schema()["$defs"][name]
      local count = 0
      for field in pairs(definition.properties) do count = count + (field == "$schema" and 0 or 1) end
      assert.equal(count, #fields, name)
    end
  end)
end)

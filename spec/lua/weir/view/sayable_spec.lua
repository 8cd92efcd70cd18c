local json = require "weir.native.json"
local sayable = require "weir.view.sayable"
local shape = require "weir.view.shape"

describe("what a run knows, as JSON", function()
  it("is what it is, where JSON can say it", function()
    local value = { list = json.list {}, object = {}, null = json.null, one = 1, float = 1.0, text = "ä\0", no = false }
    assert.equal(json.encode(value), sayable.encode(value))
    assert.equal('[\n  1\n]', sayable.encode({ 1 }, { indent = 2 }))
  end)

  it("has bytes that are no UTF-8 as base64, and what is no finite number as text", function()
    local value = { bytes = "\255\254", list = json.list { "a\237\160\128", math.huge, -math.huge, 0 / 0 }, empty = json.list {}, plain = "a" }
    assert.same({ bytes = { base64 = "//4=" }, list = { { base64 = "Ye2ggA==" }, "Infinity", "-Infinity", "NaN" }, empty = json.list {},
      plain = "a" }, json.decode(sayable.encode(value)))
    assert.equal('{"empty":[]}', sayable.encode { empty = json.list {} })
    assert.equal('{"base64":"/w=="}', sayable.encode "\255")
    assert.equal('{"a\\\\xff":[]}', sayable.encode { ["a\255"] = json.list {} })
  end)

  it("is refused when it is nested without an end", function()
    local value = {}
    value.value = value
    local text, message = sayable.encode(value)
    assert.is_nil(text)
    assert.matches("inside one another", message)
  end)

  it("stays whole when a message quotes bytes, or ends inside a character", function()
    local line = json.decode(shape.line(shape.refusal { code = "invalid", message = "got '\255é\195", file = "/tmp/\255" }))
    assert.same({ "got '\\xffé\\xc3", "/tmp/\\xff" }, { line.error.message, line.error.file })
    assert.equal("got '\\xc3", shape.failure({ code = "failed", message = "got '\195" }).message)
  end)
end)

local json = require "weir.json"
local offline = require "weir.model.offline"

describe("models that need nothing", function()
  it("tell what asks from the text after it", function()
    for _, row in ipairs {
      { "Summarize:\n\nA text.", "Summarize:", "A text." }, { "Summarize\nthis text:\r\n\r\nA text.", "Summarize\nthis text:", "A text." },
      { "Summarize:\nA text.\n\nMore.", "Summarize:", "A text.\n\nMore." }, { "In 20 words: A text.", "In 20 words:", "A text." },
      { "A text.", "", "A text." }, { "Note: a text.", "", "Note: a text." }, { "Only asks:", "", "Only asks:" }, { "Only asks:\n\n \n", "", "Only asks:\n\n \n" },
      { "One.\n\nTwo:\n\nThree.", "", "One.\n\nTwo:\n\nThree." }, { ("x"):rep(500) .. ":\n\nA text.", "", ("x"):rep(500) .. ":\n\nA text." },
    } do
      local instruction, rest = offline.split(row[1])
      assert.equal(row[2], instruction)
      assert.equal(row[3], rest)
    end
  end)

  it("look for what asks at the beginning only, however long the text", function()
    local text = ("12 words and 3 lines "):rep(100000)
    local instruction, rest = offline.split(text)
    assert.equal("", instruction)
    assert.equal(#text, #rest)
  end)

  it("find how many are asked for", function()
    local nouns = { words = true }
    assert.equal(20, offline.number_of("in at most 20 words, 3 lines", nouns))
    assert.equal(1, offline.number_of("0 words", nouns))
    assert.is_nil(offline.number_of("3 lines of words", nouns))
  end)

  it("end where a stop sequence stands first", function()
    assert.equal("a ", offline.until_stop("a b c", { "c", "b", "" }))
    assert.equal("a b c", offline.until_stop("a b c", nil))
  end)

  it("put a text or a list where a schema has a place for it", function()
    local strings = { type = "array", items = { type = "string" } }
    assert.equal("x", offline.shaped("x", { type = "string" }))
    assert.same({ summary = "x" }, offline.shaped("x", { type = "object", properties = { n = { type = "integer" }, summary = { type = "string" } } }))
    assert.same({ b = "x" }, offline.shaped("x", { type = "object", properties = { a = { type = "string" }, b = { type = "string" } }, required = json.list { "b" } }))
    assert.same({ tags = { "x" } }, offline.shaped(json.list { "x" }, { type = "object", properties = { tags = strings } }))
    for _, schema in ipairs { { type = "integer" }, { type = "object" }, { type = "object", properties = { a = { type = "string" }, b = { type = "string" } }, required = json.list { "a", "b" } } } do
      local shaped, message = offline.shaped("x", schema)
      assert.is_nil(shaped)
      assert.matches("no place for a text", message)
    end
  end)
end)

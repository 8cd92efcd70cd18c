local testing = require "weir.testing"
local keywords = testing.module("agents/keywords")

local TEXT = "The weir holds the river back. The mill stands at the weir. " ..
  "A mill grinds grain, and the weir feeds the mill."

local function run(input, options)
  return keywords.execute(testing.context(keywords, { options = options }), input)
end

describe("agent keywords", function()
  it("finds as many words as asked for, the best first", function()
    local found = run({ text = TEXT }, { limit = 2 }).keywords
    assert.equal(2, #found)
    assert.equal(1, found[1].score)
    assert.is_true(found[1].word == "weir" or found[1].word == "mill")
  end)

  it("reads Markdown by its source's name", function()
    local text = TEXT .. "\n\n```\nbanana banana banana\n```\n"
    assert.equal("banana", run({ text = text }, { limit = 1 }).keywords[1].word)
    assert.is_not.equal("banana", run({ text = text, source = "a.md" }, { limit = 1 }).keywords[1].word)
  end)

  it("finds none in an empty text and refuses none at all", function()
    assert.equal(0, #run({ text = "" }).keywords)
    local _, message, code = run({})
    assert.equal("invalid", code)
    assert.equal("keywords: input.text is required (string)", message)
  end)
end)

local testing = require "weir.testing"
local rubric = testing.module("critics/rubric")

local SOURCE = "The weir holds the river back. The mill stands at the weir. The mill grinds grain by the river."

local function review(draft, options, input)
  return rubric.review(testing.context(rubric, { options = options, input = input }), draft)
end

describe("critic rubric", function()
  it("approves what keeps every rule", function()
    local verdict = review({ text = "The weir, the mill and the river." },
      { min_words = 5, max_words = 9, mention = { "MILL" }, pattern = "%.$", coverage = 0.3 }, { text = SOURCE })
    assert.equal("approve", verdict.verdict)
    assert.equal(1, verdict.score)
    assert.is_nil(verdict.advice)
    assert.equal(7, verdict.evidence.min_words)
  end)

  it("approves anything when no rule is set", function()
    assert.equal("approve", review({}, {}).verdict)
  end)

  it("says how many words to add or to cut", function()
    local short = review({ text = "one two" }, { min_words = 8 })
    assert.equal("retry", short.verdict)
    assert.equal(0.25, short.score)
    assert.equal("write at least 8 words, this has 2: add 6", short.advice)
    assert.equal("write at most 1 words, this has 2: cut 1", review({ text = "one two" }, { max_words = 1 }).advice)
    assert.equal("retry", review({ text = "" }, { min_words = 1 }).verdict)
  end)

  it("names what is not mentioned, in any case", function()
    local verdict = review({ text = "Die MÜHLE" }, { mention = { "mühle", "wehr", "fluss" } })
    assert.equal("mention 'wehr', 'fluss'", verdict.advice)
    assert.is_true(math.abs(verdict.score - 1 / 3) < 1e-9)
  end)

  it("asks for key terms of the source that are missing", function()
    local verdict = review({ text = "Grain is grain." }, { coverage = 1, key_terms = 3 }, { text = SOURCE })
    assert.equal("retry", verdict.verdict)
    assert.is_truthy(verdict.advice:find("'weir'", 1, true))
    assert.is_true(verdict.score < 1)
    assert.equal("approve", review({ text = SOURCE }, { coverage = 1 }, { text = SOURCE }).verdict)
  end)

  it("takes the text of chunks and items for the source", function()
    for _, field in ipairs({ "chunks", "items" }) do
      local input = { [field] = { { text = SOURCE }, "no table" } }
      assert.equal("retry", review({ text = "Nothing of it." }, { coverage = 0.5 }, input).verdict)
    end
    assert.is_truthy(review({ text = "x" }, { coverage = 0.5 }, {}).advice:find("input.text", 1, true))
  end)

  it("checks the draft against a JSON Schema", function()
    local schema = { type = "object", required = { "title" } }
    assert.equal("approve", review({ title = "x" }, { schema = schema }).verdict)
    local verdict = review({ text = "x" }, { schema = schema })
    assert.equal("retry", verdict.verdict)
    assert.is_truthy(verdict.advice:find("title", 1, true))
  end)

  it("checks a Lua pattern and says when it is not one", function()
    assert.equal("approve", review({ text = "v1.2" }, { pattern = "^v%d" }).verdict)
    assert.is_truthy(review({ text = "1.2" }, { pattern = "^v%d" }).advice:find("'^v%d'", 1, true))
    assert.is_truthy(review({ text = "x" }, { pattern = "[" }).advice:find("correct the option 'pattern'", 1, true))
  end)

  it("tells everything at once", function()
    local verdict = review({ text = "one" }, { min_words = 4, mention = { "two" } })
    assert.equal("write at least 4 words, this has 1: add 3; mention 'two'", verdict.advice)
    assert.equal((1 / 4 + 0) / 2, verdict.score)
  end)

  it("judges the field it is told to, and a draft that is a text", function()
    assert.equal("approve", review({ body = "one two" }, { field = "body", min_words = 2 }).verdict)
    assert.equal("approve", review("one two", { min_words = 2 }).verdict)
    assert.equal("give 'text' as text; the draft has none there", review({ body = "x" }, { min_words = 1 }).advice)
    assert.equal("retry", review(7, { min_words = 1 }).verdict)
  end)
end)

local testing = require "weir.testing"

local SOURCE = [[The harbour of Aberdeen was deepened in 1893. Dredgers took the sand from the channel for three years. Since then
the harbour master keeps the depth of the channel in a book. The book shows that the sand comes back every winter.]]

local function judge(name, outputs, options, input)
  local module = testing.module("judges/" .. name)
  local branches = {}
  for index, output in ipairs(outputs) do branches[index] = { name = "b" .. index, output = output, usage = {}, seconds = 1 } end
  return module.judge(testing.context(module, { options = options, input = input or {} }), branches)
end

local function best(verdicts)
  local winner
  for index, verdict in ipairs(verdicts) do
    if verdict.verdict == "approve" and (not winner or verdict.score > verdicts[winner].score) then winner = index end
  end
  return winner
end

describe("judge coverage", function()
  it("prefers the text that names more of the source's key terms", function()
    local verdicts = judge("coverage", { { text = "It was cold." }, { text = "The harbour channel fills with sand; the book shows it." } }, nil,
      { text = SOURCE })
    assert.equal(2, best(verdicts))
    assert.is_true(verdicts[2].evidence.coverage > verdicts[1].evidence.coverage)
  end)

  it("prefers fewer words where the coverage is equal", function()
    local verdicts = judge("coverage", { "the harbour and what else there is to be said of it", "the harbour" }, { key_terms = 1 }, { text = "harbour harbour" })
    assert.equal(2, best(verdicts))
  end)

  it("does not let a text win that covers too little, and says what is missing", function()
    local verdict = judge("coverage", { "nothing of it" }, { at_least = 0.5 }, { text = SOURCE })[1]
    assert.equal("retry", verdict.verdict)
    assert.matches("harbour", verdict.advice)
  end)

  it("without a source takes the key terms of all branches, and refuses what is no text", function()
    local verdicts = judge("coverage", { { text = "sand and sand and harbour" }, { number = 1 } })
    assert.same({ "approve", "retry", 0 }, { verdicts[1].verdict, verdicts[2].verdict, verdicts[2].score })
  end)
end)

describe("judge longest", function()
  it("scores by the words of texts and the items of lists", function()
    local weir = require "weir"
    local verdicts = judge("longest", { "one two", { text = "one two three four" }, weir.list { 1 }, 7 })
    assert.same({ 0.5, 1, 0.25, 0 }, { verdicts[1].score, verdicts[2].score, verdicts[3].score, verdicts[4].score })
    assert.same({ 2, "retry" }, { best(verdicts), verdicts[4].verdict })
  end)
end)

describe("judge vote", function()
  it("picks the answer of the majority, whatever its case and spacing", function()
    local verdicts = judge("vote", { " Forty  two", "forty two", "41" })
    assert.equal(1, best(verdicts))
    assert.equal(2 / 3, verdicts[2].score)
    assert.equal("retry", verdicts[3].verdict)
  end)

  it("compares tables by what is in them, or one field of theirs", function()
    local verdicts = judge("vote", { { a = 1, b = 2 }, { b = 2, a = 1 }, { a = 2 } })
    assert.equal(2 / 3, verdicts[1].score)
    assert.equal(1, judge("vote", { { a = 1, b = 1 }, { a = 1, b = 2 } }, { field = "a" })[1].score)
  end)

  it("asks a person when too few agree, if told so", function()
    assert.equal("escalate", judge("vote", { "a", "b", "c" }, { otherwise = "escalate" })[1].verdict)
    assert.equal("retry", judge("vote", { "a", "b", "c" })[1].verdict)
  end)
end)

describe("judge consensus", function()
  it("picks the text that the others resemble most", function()
    local verdicts = judge("consensus", { "the tide took the boat", "the tide took the boat at night", "prices of bread rose" })
    assert.is_true(best(verdicts) < 3)
    assert.is_true(verdicts[3].score < verdicts[1].score)
  end)

  it("accepts one branch alone, and no branch without words", function()
    assert.equal("approve", judge("consensus", { "alone" })[1].verdict)
    assert.equal("retry", judge("consensus", { "", "x y" })[1].verdict)
  end)
end)

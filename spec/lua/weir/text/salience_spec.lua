local salience = require "weir.text.salience"

local SENTENCES = {
  { "lake", "boat" }, { "river", "weir", "water", "mill" }, { "river", "weir" }, { "water", "mill", "stone" },
  { "river", "water", "mill" }, { "cloud" },
}

local function best(scores)
  local at = 1
  for index, score in ipairs(scores) do
    if score > scores[at] then at = index end
  end
  return at
end

describe("text.salience", function()
  for _, method in ipairs({ "textrank", "lexrank" }) do
    it("puts the sentence in the middle of the others first, by " .. method, function()
      local scores = salience.score(method, SENTENCES)
      assert.is_true(best(scores) == 2 or best(scores) == 5)
      assert.is_true(scores[6] < 0.3 and scores[1] < 0.3)
    end)
  end

  it("takes frequent words first and then others, by sumbasic", function()
    local scores = salience.score("sumbasic", { { "a", "a" }, { "a", "a" }, { "b", "b", "b" } })
    assert.equal(1, best(scores))
    assert.is_true(scores[3] > scores[2])
  end)

  it("takes sentences in order, by lead", function()
    assert.same({ 1, 0.5 }, salience.score("lead", { { "a" }, { "b" } }))
  end)

  it("scores from 0 to 1, equal for equal input, and nothing for nothing", function()
    for _, method in ipairs(salience.methods) do
      local scores = salience.score(method, SENTENCES)
      assert.same(scores, salience.score(method, SENTENCES))
      assert.equal(1, scores[best(scores)])
      for _, score in ipairs(scores) do assert.is_true(score >= 0 and score <= 1) end
      assert.same({}, salience.score(method, {}))
      assert.equal(2, #salience.score(method, { {}, {} }))
    end
  end)

  it("refuses a method it does not know", function()
    assert.has_error(function() salience.score("magic", {}) end,
      "method must be textrank, lexrank, sumbasic or lead, got 'magic'")
  end)
end)

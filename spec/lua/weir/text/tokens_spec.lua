local tokens = require "weir.text.tokens"

local function words(text)
  return table.concat(tokens.words(text), "|")
end

local function terms(text, stop)
  return table.concat(tokens.terms(text, stop), "|")
end

describe("text.tokens", function()
  it("splits at spaces and punctuation and lowers", function()
    assert.equal("the|quick|brown|fox|jumps", words("The quick, brown fox -- jumps!"))
    assert.equal("größe|straße", words("GRÖßE/Straße"))
    assert.equal("max_bytes|3|14", words("max_bytes = 3.14"))
  end)

  it("keeps an apostrophe inside a word but not after an elided article", function()
    assert.equal("don't|o|neill's", words("Don't O'Neill's"))
    assert.equal("don't", words("don’t"))
    assert.equal("l|homme|qu|il", words("l’homme qu'il"))
    assert.equal("quoted", words("'quoted'"))
  end)

  it("takes each ideograph for a word and pairs of them for terms", function()
    assert.equal("自|然|语|言", words("自然语言"))
    assert.equal("自然|然语|语言", terms("自然语言"))
    assert.equal("weir|自然", terms("weir自然"))
  end)

  it("makes no term of a pair with a grammatical character", function()
    assert.equal("水车|磨坊", terms("水车的磨坊"))
  end)

  it("keeps marks with their letters and drops what is invisible", function()
    assert.equal("हिन्दी|में", words("हिन्दी में"))
    assert.equal("cooperate", words("co\u{AD}operate"))
  end)

  it("leaves numbers, single letters and stop words out of terms", function()
    assert.equal("river|rises", terms("A river rises 40 7x0_1 x", { ["7x0_1"] = true }))
  end)

  it("counts the words that it lists", function()
    for _, text in ipairs({ "", "one", "a b  c", "l'eau d’or 3.5", "自然 language 42", "\xFF bad \xC3", "___ - '" }) do
      assert.equal(#tokens.words(text), tokens.count(text), text)
    end
  end)

  it("gives the byte at which each word starts", function()
    local text = "so: l'eau, 自然 x"
    local starts = {}
    for at in tokens.starts(text) do starts[#starts + 1] = at end
    assert.same({ 1, 5, 7, 12, 15, 19 }, starts)
    assert.equal(tokens.count(text), #starts)
  end)
end)

local terms = require "weir.text.terms"

local ENGLISH = [[The weir holds the river back. Below the weir the mill wheel turns in the river.
The mill wheel drives a stone. Farmers bring grain to the mill, and the mill wheel grinds the grain.
A boat cannot pass the weir. In spring the river runs over the weir.]]
local CHINESE = "水坝拦住河流。水坝下面是磨坊。磨坊里的磨轮在河流中转动。船不能通过水坝。"

local function words(text, options)
  local list = {}
  for index, entry in ipairs(terms.key(text, options)) do list[index] = entry.word end
  return list
end

local function has(list, word)
  for _, entry in ipairs(list) do
    if entry == word then return true end
  end
  return false
end

describe("text.terms", function()
  for _, method in ipairs({ "tfidf", "textrank" }) do
    it("finds what English text is about, by " .. method, function()
      local found = words(ENGLISH, { method = method, limit = 5 })
      assert.equal(5, #found)
      for _, word in ipairs({ "weir", "mill", "river" }) do assert.is_true(has(found, word), word) end
    end)

    it("finds what Chinese text is about, by " .. method, function()
      local found = words(CHINESE, { method = method, limit = 4 })
      assert.is_true(has(found, "水坝") and has(found, "磨坊"))
    end)
  end

  it("finds phrases, by rake", function()
    assert.is_true(has(words(ENGLISH, { method = "rake", limit = 3 }), "mill wheel turns")
      or has(words(ENGLISH, { method = "rake", limit = 3 }), "mill wheel drives"))
    assert.is_true(has(words(CHINESE, { method = "rake", limit = 10 }), "磨坊"))
  end)

  it("names no stop word, and scores from 1 down", function()
    for _, method in ipairs(terms.methods) do
      local last = 1
      for index, entry in ipairs(terms.key(ENGLISH, { method = method, limit = 50 })) do
        if index == 1 then assert.equal(1, entry.score) end
        assert.is_true(entry.score <= last)
        assert.is_not.equal("the", entry.word)
        last = entry.score
      end
    end
  end)

  it("leaves code out of Markdown", function()
    local text = "Prose on rivers.\n\n```\nlocal banana = banana(banana)\n```\n"
    assert.is_false(has(words(text, { markdown = true }), "banana"))
    assert.is_true(has(words(text), "banana"))
  end)

  it("finds nothing in nothing", function()
    for _, method in ipairs(terms.methods) do assert.same({}, terms.key("", { method = method })) end
    assert.same({}, terms.key("1 2 3 !"))
  end)
end)

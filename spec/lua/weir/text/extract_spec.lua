local extract = require "weir.text.extract"
local selection = require "weir.text.selection"

local RIVER = [[
The weir holds the water of the river back above the old mill. Below the weir the mill wheel turns in the river.
A heron stands on the bank in the early morning. The mill wheel drives the stones that grind the grain.
In spring the river runs over the weir and the mill must stop. His dog likes to sleep in the sun all afternoon.
]]

local OPTIONS = { method = "textrank", markup = "auto" }

describe("condensing", function()
  it("keeps whole sentences, in order, that fit the words", function()
    local chosen, words = extract.condense({ { text = RIVER } }, 26, OPTIONS)
    assert.is_true(words <= 26 and #chosen >= 1)
    local last = 0
    for _, sentence in ipairs(chosen) do
      assert.equal(sentence.text, RIVER:sub(sentence.from, sentence.to))
      assert.is_true(sentence.from > last)
      last = sentence.to
    end
  end)

  it("gives nothing of nothing", function()
    local chosen, words = extract.condense({ { text = "" } }, 26, OPTIONS)
    assert.same({}, chosen)
    assert.equal(0, words)
    assert.equal("", selection.text(chosen))
  end)

  it("lets others run between two sentences of a long text", function()
    local count = 0
    extract.condense({ { text = RIVER:rep(50) } }, 26, { method = "lead", markup = "plain", pause = function() count = count + 1 end })
    assert.is_true(count >= 300, count)
  end)

  it("ends where a pass may not be kept", function()
    local chosen, message, code = extract.condense({ { text = RIVER } }, 26, { method = "lead", markup = "plain", passes = { { words = 20 } },
      keep = function(level, groups)
        assert.equal(1, level)
        assert.is_true(#groups > 0)
        return nil, "no room", "full"
      end })
    assert.is_nil(chosen)
    assert.equal("no room", message)
    assert.equal("full", code)
  end)
end)

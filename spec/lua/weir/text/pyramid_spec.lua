local pyramid = require "weir.text.pyramid"

local HOW = { method = "lead", markup = "plain" }

local ONE = "The river rises in the hills. It falls over the weir at the old mill.\n\nNobody lives there.\n"
local TWO = "The harbour has two long piers of stone. Boats leave it at dawn, when the tide is high.\n"

local function tower(of)
  local nodes = {}
  local low = of or { pyramid.leaf({ text = ONE }, 100, HOW), pyramid.leaf({ text = TWO }, 100, HOW) }
  local top = pyramid.above(low, 100, HOW)
  for _, node in ipairs { top, table.unpack(low) } do nodes[node.id] = node end
  return top, function(id) return nodes[id] end
end

describe("a pyramid of summaries", function()
  it("leads each sentence of its top to the bytes and lines of the text", function()
    local top, get = tower()
    local text = ONE .. TWO
    assert.same({ #text, 4, 2 }, { top.bytes, top.lines, top.level })
    for number, sentence in ipairs(top.sentences) do
      local origin = assert(pyramid.origin(get, top.id, number))
      local place = origin.of[1].places[1]
      assert.equal(sentence.text, text:sub(place.from, place.to))
      assert.equal(select(2, text:sub(1, place.from - 1):gsub("\n", "")) + 1, place.line)
    end
    assert.matches("harbour", pyramid.origin(get, top.id, #top.sentences).text .. top.text)
  end)

  it("has nodes that are the same wherever their text stands, and others when it changes", function()
    local leaf = pyramid.leaf({ text = TWO }, 100, HOW)
    assert.equal(leaf.id, pyramid.leaf({ text = TWO }, 100, HOW).id)
    assert.not_equal(leaf.id, pyramid.leaf({ text = TWO .. " " }, 100, HOW).id)
    local _, get = tower { leaf, pyramid.leaf({ text = ONE }, 100, HOW) }
    assert.equal(leaf, get(leaf.id))
  end)

  it("links what somebody wrote to the sentences that carry it, and says so where none does", function()
    local low = { pyramid.written_leaf({ text = ONE }, "A river from the hills falls over a weir at a mill. Elephants fly.", "model"),
      pyramid.leaf({ text = TWO }, 100, HOW) }
    assert.equal(2, low[1].sentences[1].places[1].line == 1 and #low[1].sentences or 0)
    assert.same({}, low[1].sentences[2].places)
    local top = pyramid.written_above(low, "At dawn boats leave the harbour. The moon is a cheese.", "model")
    assert.same({ child = 2, sentence = 2 }, top.sentences[1].of[1])
    assert.same({}, top.sentences[2].of)
  end)

  it("says what is missing", function()
    local top, get = tower()
    local found, message, code = pyramid.origin(get, top.id, 99)
    assert.same({ nil, "not_found" }, { found, code })
    assert.matches("there is no sentence 99", message)
    found, message, code = pyramid.origin(function(id) return id == top.id and top or nil end, top.id, 1)
    assert.same({ nil, "not_found" }, { found, code })
    assert.matches("make the pyramid again", message)
  end)
end)

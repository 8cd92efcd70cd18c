local selection = require "weir.text.selection"

local function sentence(text, source, from, score, words)
  return { text = text, source = source, from = from, to = from + #text - 1, score = score, words = words or 10 }
end

local function froms(list)
  local out = {}
  for index, entry in ipairs(list) do out[index] = entry.from end
  return out
end

describe("text.selection", function()
  it("sorts by source and then by position", function()
    local list = selection.sort({ sentence("x", "b", 1, 1), sentence("y", "a", 9, 1), sentence("z", "a", 2, 1) })
    assert.same({ 2, 9, 1 }, froms(list))
  end)

  it("says nothing twice and keeps the better one", function()
    local kept = selection.distinct({
      sentence("the river rises over the weir", "a", 1, 0.4), sentence("The river rises over the weir!", "b", 5, 0.9),
      sentence("a stone mill stands below", "a", 9, 0.5),
    }, 0.6)
    assert.same({ 5, 9 }, froms(kept))
  end)

  it("never goes above the number of words", function()
    local list = { sentence("a", "s", 1, 0.9, 8), sentence("b", "s", 2, 0.8, 8), sentence("c", "s", 3, 0.7, 2) }
    local chosen, total = selection.fit(list, 10)
    assert.same({ 1, 3 }, froms(chosen))
    assert.equal(10, total)
  end)

  it("gives one sentence even if it alone is too long", function()
    local chosen, total = selection.fit({ sentence("a", "s", 1, 0.9, 50) }, 10)
    assert.equal(1, #chosen)
    assert.equal(50, total)
  end)

  it("shares the room among sources", function()
    local list = {}
    for index = 1, 10 do list[index] = sentence("x" .. index, "long", index, 0.9 - index / 100) end
    list[11] = sentence("y", "short", 99, 0.5)
    local chosen = selection.fit(list, 30)
    assert.equal("short", chosen[3].source)
  end)

  it("moves up the sentences that advice quotes words of", function()
    local list = { sentence("Der Fluß steigt", "a", 1, 0.9), sentence("Die MÜHLE steht", "a", 2, 0.2) }
    selection.favour(list, "cover more of the source, 1 more of 'mühle'")
    assert.is_true(list[2].score > list[1].score)
    selection.favour(list, nil)
    assert.equal(0.6, list[2].score)
  end)

  it("writes sources as paragraphs and puts no blank after full-width ends", function()
    assert.equal("a b. c.\n\nd.", selection.text({
      sentence("a\n> b.", "x", 1, 1), sentence("c.", "x", 9, 1), sentence("d.", "y", 1, 1),
    }))
    assert.equal("水。山。", selection.text({ sentence("水。", "x", 1, 1), sentence("山。", "x", 4, 1) }))
    assert.equal("", selection.text({}))
  end)
end)

local sections = require "weir.text.sections"

local function cut(text, size)
  local cuts = {}
  sections.cut(text, size, function(first, last, title, inside)
    cuts[#cuts + 1] = { text = text:sub(first, last), title = title, inside = inside }
  end)
  return cuts
end

local function joined(cuts)
  local parts = {}
  for index, piece in ipairs(cuts) do parts[index] = piece.text end
  return table.concat(parts)
end

describe("text.sections", function()
  it("packs sections that fit together", function()
    local cuts = cut("# A\n\none\n\n# B\n\ntwo\n", 100)
    assert.equal(1, #cuts)
    assert.equal("A", cuts[1].title)
  end)

  it("begins a new cut with the section that does not fit", function()
    local cuts = cut("# A\n\none one\n\n# B\n\ntwo two\n", 20)
    assert.same({ "# A\n\none one\n\n", "# B\n\ntwo two\n" }, { cuts[1].text, cuts[2].text })
    assert.same({ "A", "B" }, { cuts[1].title, cuts[2].title })
  end)

  it("cuts a section that is too large between its blocks", function()
    local cuts = cut("# A\n\nfirst block\n\n- item one\n- item two\n", 20)
    assert.same({ "# A\n\nfirst block\n\n", "- item one\n", "- item two\n" },
      { cuts[1].text, cuts[2].text, cuts[3].text })
    assert.equal("A", cuts[3].title)
  end)

  it("cuts a fence last of all, at a line's end, and says which fence is open", function()
    local cuts = cut("```lua\nline 1\nline 2\nline 3\n```\nafter\n", 16)
    assert.same({ "```lua\nline 1\n",
      "line 2\nline 3\n", "```\nafter\n" }, { cuts[1].text, cuts[2].text, cuts[3].text })
    assert.same({ "```", "```" }, { cuts[2].inside, cuts[3].inside })
    assert.is_nil(cuts[1].inside)
  end)

  it("takes no heading inside a fence for one", function()
    assert.equal("A", cut("# A\n\n```\n# not one\n```\n", 100)[1].title)
    assert.equal(1, #cut("# A\n\n```\n# not one\n```\n", 100))
  end)

  it("gives the text back, in cuts of at most the size, whatever the text", function()
    local seed = 3
    local alphabet = { "# h\n", "a ", "\n", "\n\n", "- i\n", "```\n", "é", "水。", "| t |\n", "===\n", "\xC3", "    c\n" }
    for _ = 1, 300 do
      local parts = {}
      for index = 1, 40 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        parts[index] = alphabet[seed // 7 % #alphabet + 1]
      end
      local text, size = table.concat(parts), seed % 40 + 1
      local cuts = cut(text, size)
      assert.equal(text, joined(cuts))
      for _, piece in ipairs(cuts) do
        local _, starts = piece.text:gsub("[^\128-\191]", "")
        assert.is_true(starts <= size + 1)
        assert.is_true(#piece.text > 0)
      end
    end
  end)

  it("has nothing to cut in an empty text", function()
    assert.same({}, cut("", 10))
  end)
end)

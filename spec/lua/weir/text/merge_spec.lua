local merge = require "weir.text.merge"
local support = dofile "spec/lua/weir/workspace/support.lua"

local function text_of(lines)
  return table.concat(lines, "\n") .. (#lines > 0 and "\n" or "")
end

local function some_lines(random, count)
  local list = {}
  for index = 1, count do list[index] = ("%d of %d"):format(random(12), random(3)) end
  return list
end

-- A list with one change somewhere in first..last: lines out, lines in, or lines changed.
local function changed(random, lines, first, last, mark)
  local made = table.move(lines, 1, #lines, 1, {})
  local at, how = first + random(last - first + 1) - 1, random(3)
  if how == 1 then table.remove(made, at) elseif how == 2 then made[at] = mark .. made[at] else table.insert(made, at, mark) end
  return made
end

describe("text.merge", function()
  it("has in its result what both changed", function()
    assert.equal("A\nb\nC\n", merge.merge("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"))
    assert.equal("new\na\nc\n", merge.merge("a\nb\nc\n", "new\na\nb\nc\n", "a\nc\n"))
    assert.equal("a\nB\nc", merge.merge("a\nb\nc\n", "a\nB\nc\n", "a\nb\nc"))
  end)

  it("takes what only one changed, and once what both changed to the same", function()
    assert.equal("x\n", merge.merge("a\n", "a\n", "x\n"))
    assert.equal("x\n", merge.merge("a\n", "x\n", "a\n"))
    assert.equal("x\nb\nc\nD\n", merge.merge("a\nb\nc\nd\n", "x\nb\nc\nd\n", "x\nb\nc\nD\n"))
  end)

  it("names the lines that both changed and not to the same", function()
    local text, message, code, details = merge.merge("a\nb\nc\nd\ne\n", "a\nB\nC\nd\nour e\n", "a\nb!\nc!\nd\ntheir e\n")
    assert.same({ "conflict", "lines 2 to 3 and line 5 were changed by two writers, and not to the same" }, { code, message })
    assert.is_nil(text)
    assert.same({ first = 2, last = 3, base = { "b", "c" }, ours = { "B", "C" }, theirs = { "b!", "c!" } }, details.conflicts[1])
    assert.matches("<<<<<<< ours\nB\nC\n||||||| before\nb\nc\n=======\nb!\nc!\n>>>>>>> theirs\nd\n", details.text, 1, true)
  end)

  it("is a conflict when both put lines into one place, also into nothing", function()
    local _, message, code, details = merge.merge("a\nb\n", "a\nx\nb\n", "a\ny\nb\n")
    assert.same({ "conflict", 2, 1 }, { code, details.conflicts[1].first, details.conflicts[1].last })
    assert.matches("before line 2", message)
    assert.equal("conflict", select(3, merge.merge("", "x\n", "y\n")))
  end)

  it("is the text itself when merged with itself or with what nobody changed", function()
    local random = support.generator(5)
    for _ = 1, 100 do
      local base, ours = text_of(some_lines(random, random(10) - 1)), text_of(some_lines(random, random(10) - 1))
      assert.equal(ours, merge.merge(base, ours, ours))
      assert.equal(ours, merge.merge(base, ours, base))
      assert.equal(ours, merge.merge(base, base, ours))
    end
  end)

  it("gives the same whoever is first, and a conflict at the same lines", function()
    local random, merged, refused = support.generator(6), 0, 0
    for _ = 1, 400 do
      local lines = some_lines(random, 8 + random(10))
      local ours = changed(random, changed(random, lines, 1, 4, "o "), 1, 7, "o ")
      local theirs = changed(random, changed(random, lines, 3, 7, "t "), 1, 7, "t ")
      local base, a, b = text_of(lines), text_of(ours), text_of(theirs)
      local one, message, _, details = merge.merge(base, a, b)
      local other, other_message, _, mirrored = merge.merge(base, b, a)
      assert.same({ one, message }, { other, other_message })
      if one then merged = merged + 1 else
        refused = refused + 1
        for index, conflict in ipairs(details.conflicts) do assert.same(conflict.ours, mirrored.conflicts[index].theirs) end
      end
    end
    assert.is_true(merged > 20 and refused > 20)
  end)

  it("always merges changes between which lines stay that stand once", function()
    local random = support.generator(8)
    for _ = 1, 400 do
      local lines = some_lines(random, 24)
      for at = 10, 14 do lines[at] = "stays " .. at end
      local ours, theirs = changed(random, lines, 1, 9, "ours "), changed(random, lines, 15, 24, "theirs ")
      local both = {}
      for _, line in ipairs(ours) do
        both[#both + 1] = line
        if line == "stays 14" then break end
      end
      local is_after = false
      for _, line in ipairs(theirs) do
        if is_after then both[#both + 1] = line end
        if line == "stays 14" then is_after = true end
      end
      assert.equal(text_of(both), (merge.merge(text_of(lines), text_of(ours), text_of(theirs))))
    end
  end)

  it("leaves the ends of lines as they are", function()
    assert.equal("a\r\nB\r\nc\r\nD", merge.merge("a\r\nb\r\nc\r\nd", "a\r\nB\r\nc\r\nd", "a\r\nb\r\nc\r\nD"))
  end)

  it("refuses texts that are too long, and says so", function()
    local long = ("x\n"):rep(2 * 1024 * 1024 + 1)
    assert.equal("limit", select(3, merge.merge("a\n", "b\n", long)))
  end)
end)

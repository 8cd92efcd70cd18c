local difference = require "weir.text.difference"
local support = dofile "spec/lua/weir/workspace/support.lua"

-- How many lines two lists have in common, in order: the plain table.
local function longest_common(a, b)
  local row = {}
  for j = 0, #b do row[j] = 0 end
  for i = 1, #a do
    local corner = 0
    for j = 1, #b do
      local above = row[j]
      row[j] = a[i] == b[j] and corner + 1 or math.max(above, row[j - 1])
      corner = above
    end
  end
  return row[#b]
end

local function some_lines(random, count, kinds)
  local list = {}
  for index = 1, count do list[index] = "line " .. random(kinds) end
  return list
end

describe("text.difference", function()
  it("gives what went and what came, line by line", function()
    assert.same({ "-2 b", "+2 B", "+4 d" }, difference.changes("a\nb\nc\n", "a\nB\nc\nd\n"))
    assert.same({ "+1 x" }, difference.changes("a\n", "x\na\n"))
    assert.same({ "-1 a", "-2 b" }, difference.changes("a\nb\n", ""))
    assert.same({}, difference.changes("a\n", "a\n"))
  end)

  it("gives the lines of a text and whether the last one has an end", function()
    assert.same({ {}, false }, { difference.lines "" })
    assert.same({ { "a" }, false }, { difference.lines "a" })
    assert.same({ { "a", "", "b" }, true }, { difference.lines "a\n\nb\n" })
    assert.same({ { "" }, true }, { difference.lines "\n" })
  end)

  it("matches equal lines only, in an order that both keep", function()
    local random = support.generator(11)
    for _ = 1, 300 do
      local a, b = some_lines(random, random(20) - 1, 8), some_lines(random, random(20) - 1, 8)
      local matched, last = difference.match(a, b), 0
      for at = 1, #a do
        if matched[at] then
          assert.equal(a[at], b[matched[at]])
          assert.is_true(matched[at] > last)
          last = matched[at]
        end
      end
    end
  end)

  it("misses nothing where no line stands once in both", function()
    local a, b = {}, {}
    for index, letter in ipairs { "x", "y", "x", "y", "y", "x" } do a[index] = letter end
    for index, letter in ipairs { "y", "x", "y", "x", "x", "y", "x" } do b[index] = letter end
    local count = 0
    for _ in pairs(difference.match(a, b)) do count = count + 1 end
    assert.equal(longest_common(a, b), count)
  end)

  it("finds all lines of a text again in one that only has more", function()
    local random = support.generator(3)
    for _ = 1, 100 do
      local a, b = {}, {}
      for index = 1, 30 do
        a[index] = "own " .. index
        for _ = 1, random(3) - 1 do b[#b + 1] = "more " .. random(5) end
        b[#b + 1] = a[index]
      end
      local matched = difference.match(a, b)
      for at = 1, #a do assert.equal(a[at], b[matched[at]]) end
    end
  end)
end)

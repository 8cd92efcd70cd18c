local content = require "weir.text.content"

local function cuts(text, size, markdown)
  local list = {}
  content.cut(text, { size = size, markdown = markdown ~= false }, function(first, last) list[#list + 1] = text:sub(first, last) end)
  return list
end

local function paragraphs(count)
  local list = {}
  for n = 1, count do list[n] = ("Paragraph %d says that %d comes after %d, and that is all it has to say.\n\n"):format(n, n * 7, n * 3) end
  return list
end

local function new_in(before, after)
  local known, count = {}, 0
  for _, cut in ipairs(before) do known[cut] = true end
  for _, cut in ipairs(after) do
    if not known[cut] then count = count + 1 end
  end
  return count
end

describe("cutting by content", function()
  it("gives cuts that put together are the text, of about the size", function()
    local text = table.concat(paragraphs(400))
    local list = cuts(text, 800)
    assert.equal(text, table.concat(list))
    assert.is_true(#text / #list > 400 and #text / #list < 1600, "mean " .. #text / #list)
    for _, cut in ipairs(list) do assert.is_true(#cut <= 2400, #cut) end
  end)

  it("changes the cuts next to an edit only, wherever it is", function()
    local list = paragraphs(400)
    local before = cuts(table.concat(list), 800)
    for _, at in ipairs { 1, 57, 200, 399 } do
      local edited = table.move(list, 1, #list, 1, {})
      edited[at] = "Something else stands here now.\n\n"
      assert.is_true(new_in(before, cuts(table.concat(edited), 800)) <= 3, "an edit of " .. at)
      table.insert(edited, at, "One more paragraph.\n\n")
      assert.is_true(new_in(before, cuts(table.concat(edited), 800)) <= 3, "an insertion at " .. at)
    end
    assert.is_true(new_in(before, cuts(table.concat(list) .. "An end.\n", 800)) <= 1)
  end)

  it("keeps a block of code whole, and cuts a paragraph of many lines between lines", function()
    local code = "```\n" .. ("print 1\n\n"):rep(100) .. "```\n"
    for _, cut in ipairs(cuts("Before.\n\n" .. code .. "\nAfter.\n", 100)) do
      assert.is_true(not cut:find("print", 1, true) or cut:find(code, 1, true) ~= nil)
    end
    local lines = ("a line that goes on\n"):rep(100)
    local list = cuts(lines, 100)
    assert.equal(lines, table.concat(list))
    for _, cut in ipairs(list) do assert.is_true(#cut <= 300 and cut:sub(-1) == "\n") end
  end)

  it("takes text of any kind", function()
    assert.same({}, cuts("", 10))
    assert.same({ "x" }, cuts("x", 10))
    for _, text in ipairs { "\n\n\n", ("\xff\x00"):rep(50), ("y"):rep(1000) } do assert.equal(text, table.concat(cuts(text, 10, false))) end
  end)

  it("groups items, at least so many together", function()
    local sizes, count = {}, 0
    content.group(1000, { size = 4, least = 2 }, function() return 1 end, tostring, function(first, last)
      sizes[#sizes + 1], count = last - first + 1, count + last - first + 1
    end)
    assert.equal(1000, count)
    for index = 1, #sizes - 1 do assert.is_true(sizes[index] >= 2 and sizes[index] <= 12) end
    assert.is_true(#sizes > 150 and #sizes < 350, #sizes)
  end)
end)

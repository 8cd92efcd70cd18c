local testing = require "weir.testing"
local weir = require "weir"
local chunk = testing.module("agents/chunk")

local function cut(text, options, source)
  local output = chunk.execute(testing.context(chunk, { options = options }), { text = text, source = source })
  return output.chunks
end

local function texts(chunks)
  local list = {}
  for index, piece in ipairs(chunks) do list[index] = piece.text end
  return list
end

local SAMPLE = "# Über\n\nOne two three.\nFour 水车 five.\n\n\n  Indented six. Seven\n\n# Zwei\n\nEnd.\n"

describe("agent chunk", function()
  it("cuts by characters and splits none", function()
    assert.same({ "äöü", "水车x", "yz" }, texts(cut("äöü水车xyz", { by = "characters", size = 3 })))
  end)

  it("cuts by tokens, with what follows each", function()
    assert.same({ "one, two ", "three 水", "车" }, texts(cut("one, two three 水车", { by = "tokens", size = 2 })))
    assert.same({ "  one, two " , "three" }, texts(cut("  one, two three", { by = "tokens", size = 2 })))
  end)

  it("cuts by lines and by paragraphs", function()
    assert.same({ "a\nb\n", "c\n" }, texts(cut("a\nb\nc\n", { by = "lines", size = 2 })))
    assert.same({ "a\nb\n\n", "  c\n \n\n", "d" }, texts(cut("a\nb\n\n  c\n \n\nd", { by = "paragraphs", size = 1 })))
  end)

  it("cuts by bytes, and may split a character", function()
    assert.same({ "abc", "d\xc3\xa4", "e" }, texts(cut("abcd\u{e4}e", { by = "bytes", size = 3 })))
    assert.same({ "abcd", "cdef" }, texts(cut("abcdef", { by = "bytes", size = 4, overlap = 2 })))
    assert.same({ "\xc3", "\xa4" }, texts(cut("\u{e4}", { by = "bytes", size = 1 })))
  end)

  it("cuts at separators, the longer one where two begin at one place", function()
    assert.same({ "a;", "b;;", "c" }, texts(cut("a;b;;c", { by = "separators", separators = { ";", ";;" } })))
    assert.same({ "a--b--", "c--" }, texts(cut("a--b--c--", { by = "separators", separators = { "--" }, size = 2 })))
    assert.same({ "no separator" }, texts(cut("no separator", { by = "separators" })))
  end)

  it("cuts a list by count, with an overlap", function()
    local function cut_list(items, options)
      return chunk.execute(testing.context(chunk, { options = options }), { items = weir.list(items) })
    end
    assert.same({ { items = { 1, 2, 3 }, from = 1, to = 3 }, { items = { 3, 4, 5 }, from = 3, to = 5 } },
      cut_list({ 1, 2, 3, 4, 5 }, { by = "count", size = 3, overlap = 1 }).chunks)
    assert.same({}, cut_list({}, { by = "count" }).chunks)
  end)

  it("puts items of one key, or of one file, together, at most so many", function()
    local items = weir.list { { source = "a", n = 1 }, { source = "b", n = 2 }, { source = "a", n = 3 }, { source = "a", n = 4 } }
    local function by(options) return chunk.execute(testing.context(chunk, { options = options }), { items = items }) end
    assert.same({ { key = "a", items = { items[1], items[3], items[4] } }, { key = "b", items = { items[2] } } }, by({ by = "file" }).chunks)
    local keys = {}
    for index, one in ipairs(by({ by = "key", key = "n" }).chunks) do keys[index] = one.key end
    assert.same({ "1", "2", "3", "4" }, keys)
    assert.equal(3, #by({ by = "key", key = "source", size = 2 }).chunks)
    assert.same({ nil, "chunk: item 0 has no 'other' to put it under", "invalid" }, { chunk.execute(testing.context(chunk,
      { options = { by = "key", key = "other" } }), { items = items }) })
    assert.same({ nil, "chunk: by 'count' cuts a list; give it as input.items", "invalid" }, { chunk.execute(testing.context(chunk,
      { options = { by = "count" } }), { text = "x" }) })
  end)

  it("cuts by Markdown sections and names them", function()
    local chunks = cut(SAMPLE, { by = "sections", size = 70 })
    assert.equal("Über", chunks[1].title)
    assert.equal("Zwei", chunks[2].title)
    assert.equal("# Zwei\n\nEnd.\n", chunks[2].text)
  end)

  it("begins the next chunk with the overlap", function()
    assert.same({ "abcd", "cdef", "efg" }, texts(cut("abcdefg", { by = "characters", size = 4, overlap = 2 })))
    assert.same({ "one two ", "two three" }, texts(cut("one two three", { by = "tokens", size = 2, overlap = 1 })))
    assert.same({ "a\nb\nc\n", "c\nd\n" }, texts(cut("a\nb\nc\nd\n", { by = "lines", size = 3, overlap = 1 })))
  end)

  it("says where each chunk is from", function()
    for _, by in ipairs({ "characters", "tokens", "lines", "paragraphs", "sections" }) do
      for size = 1, 12 do
        for _, piece in ipairs(cut(SAMPLE, { by = by, size = size }, "a.md")) do
          assert.equal(piece.text, SAMPLE:sub(piece.from, piece.to))
          local _, before = SAMPLE:sub(1, piece.from - 1):gsub("\n", "")
          assert.equal(before + 1, piece.line)
          assert.equal("a.md", piece.source)
          assert.is_truthy(utf8.len(piece.text))
        end
      end
    end
  end)

  it("gives the text back, for any text and size", function()
    local alphabet = { "a", " ", "\n", "\n\n", "é", "水", "😀", "'", "# ", "```\n", "\xFF", "\x80", "\xE6\xB0" }
    local seed = 11
    for _ = 1, 200 do
      local parts = {}
      for index = 1, 30 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        parts[index] = alphabet[seed // 5 % #alphabet + 1]
      end
      local text = table.concat(parts)
      for _, by in ipairs({ "characters", "tokens", "lines", "paragraphs", "sections" }) do
        assert.equal(text, table.concat(texts(cut(text, { by = by, size = seed % 9 + 1 }))), by)
      end
    end
  end)

  it("makes no chunk of an empty text", function()
    for _, by in ipairs({ "characters", "tokens", "lines", "paragraphs", "sections" }) do
      assert.same({}, texts(cut("", { by = by })))
    end
  end)

  it("takes linear time", function()
    local text = ("A line with some words in it.\n"):rep(20000) .. ("x"):rep(200000)
    for _, by in ipairs({ "characters", "tokens", "lines", "paragraphs", "sections" }) do
      assert.equal(text, table.concat(texts(cut(text, { by = by, size = 50 }))))
    end
  end)

  it("refuses input without text and overlaps that make no sense", function()
    local function refused(input, options)
      local output, message, code = chunk.execute(testing.context(chunk, { options = options }), input)
      assert.is_nil(output)
      assert.equal("invalid", code)
      return message
    end
    assert.equal("chunk: input.text is required (string)", refused({}))
    assert.equal("chunk: overlap must be less than the size, got 5 of 5 lines",
      refused({ text = "x" }, { by = "lines", size = 5, overlap = 5 }))
    assert.equal("chunk: sections do not overlap; leave the option 'overlap' out",
      refused({ text = "x" }, { by = "sections", overlap = 5 }))
  end)
end)

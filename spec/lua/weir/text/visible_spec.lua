local visible = require "weir.text.visible"

describe("visible text", function()
  it("writes out what moves a terminal's cursor", function()
    assert.equal("a\\x1b[2Jb\\x07\\x7f\\x0d", visible.safe "a\27[2Jb\7\127\r")
    assert.equal("\\u{9b}2J", visible.safe "\u{9b}2J") -- CSI in one character
  end)

  it("writes out what turns the direction of writing, and ends of lines that are no line feed", function()
    for _, code in ipairs { 0x61C, 0x200E, 0x200F, 0x2028, 0x2029, 0x202A, 0x202E, 0x2066, 0x2069, 0x85 } do
      local shown = ("\\u{%x}"):format(code)
      assert.equal("a" .. shown .. "b", visible.safe("a" .. utf8.char(code) .. "b"))
      assert.equal("a" .. shown .. "b", visible.plain("a" .. utf8.char(code) .. "b"))
    end
  end)

  it("writes out what cannot be seen only where every character counts", function()
    for _, code in ipairs { 0xAD, 0x34F, 0x115F, 0x180E, 0x200B, 0x200D, 0x2060, 0x3164, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0x1D173, 0xE0041, 0xE0100 } do
      local text = "a" .. utf8.char(code) .. "b"
      assert.equal(text, visible.safe(text))
      assert.equal(("a\\u{%x}b"):format(code), visible.plain(text))
    end
  end)

  it("leaves text of any language as it is", function()
    local text = "Zoë, Ёлка, ẞ, 日本語, العربية, עברית, हिन्दी, ไทย, 한국어, €, “x”, …, 😀, 𝄞"
    assert.equal(text, visible.safe(text))
    assert.equal(text, visible.plain(text))
  end)

  it("keeps tabs and lines apart from one line", function()
    assert.equal("a\tb\nc", visible.safe "a\tb\nc")
    assert.equal("a\\x09b\\x0ac", visible.plain "a\tb\nc")
  end)

  it("makes question marks of bytes that are no UTF-8", function()
    assert.equal("bad ??", visible.safe "bad \255\254")
    assert.equal("?\\x1b", visible.plain "\xC2\27")
  end)

  it("writes out bytes that are no UTF-8, and nothing else", function()
    for given, expected in pairs { [""] = "", ["a\0\27é😀"] = "a\0\27é😀", ["\255"] = "\\xff", ["a\255é\254b"] = "a\\xffé\\xfeb",
      ["é\195"] = "é\\xc3", ["\237\160\128"] = "\\xed\\xa0\\x80", ["\192\128"] = "\\xc0\\x80" } do
      assert.equal(expected, visible.utf8(given))
    end
    local bytes = ("\255"):rep(100000)
    assert.equal(4 * #bytes, #visible.utf8(bytes))
  end)

  it("cuts between characters", function()
    assert.equal("aé", visible.head("aé", 3))
    assert.equal("a", visible.head("aé", 2))
    assert.equal("", visible.head("日本", 2))
    assert.equal("日", visible.head("日本", 5))
  end)
end)

local unicode = require "weir.text.unicode"

local function kind(char)
  return unicode.kind(utf8.codepoint(char))
end

describe("text.unicode", function()
  it("tells letters, digits and marks of many scripts apart", function()
    for _, char in ipairs({ "a", "Z", "é", "ß", "Ω", "ж", "ש", "ع", "ह", "한", "ა", "ñ" }) do
      assert.equal("letter", kind(char), char)
    end
    for _, char in ipairs({ "7", "٣", "३", "５" }) do assert.equal("digit", kind(char), char) end
    for _, char in ipairs({ "\u{301}", "\u{94D}", "\u{64E}" }) do assert.equal("mark", kind(char)) end
  end)

  it("takes Han, kana and Thai characters for words of their own", function()
    for _, char in ipairs({ "自", "の", "カ", "ส", "\u{20000}" }) do assert.equal("ideograph", kind(char), char) end
  end)

  it("knows what ends a sentence", function()
    for _, char in ipairs({ ".", "!", "?", "…", "؟", "۔" }) do assert.equal("stop", kind(char), char) end
    for _, char in ipairs({ "。", "！", "？", "।", "።" }) do assert.equal("full_stop", kind(char), char) end
  end)

  it("counts punctuation, symbols and emoji as nothing", function()
    for _, char in ipairs({ ",", "-", "×", "€", "→", "、", "😀", "\u{FFFD}" }) do
      assert.equal("other", kind(char), char)
    end
    assert.equal("other", unicode.kind(-1))
  end)

  it("decodes every code point and steps over bytes that are none", function()
    for _, code in ipairs({ 0x24, 0xE9, 0x20AC, 0x1F600, 0x10FFFF }) do
      local char = utf8.char(code)
      local read, after = unicode.decode(char .. "x", 1)
      assert.equal(code, read)
      assert.equal(#char + 1, after)
    end
    for _, bytes in ipairs({ "\xFF", "\xC3", "\xC3x", "\x80", "\xED\xA0\x80", "\xF8\x88\x80\x80" }) do
      local code, after = unicode.decode(bytes, 1)
      assert.equal(-1, code)
      assert.equal(2, after)
    end
  end)

  it("never ends a cut inside a character", function()
    local text = "a€b"
    assert.equal(1, unicode.char_end(text, 1))
    assert.equal(4, unicode.char_end(text, 2))
    assert.equal(4, unicode.char_end(text, 4))
    assert.equal(5, unicode.char_end(text, 5))
  end)

  it("lowers Latin, Greek, Cyrillic and Armenian and leaves the rest", function()
    assert.equal("äöüß ñandú łódź", unicode.lower("ÄÖÜß ÑANDÚ ŁÓDŹ"))
    assert.equal("αθήνα", unicode.lower("ΑΘΉΝΑ"))
    assert.equal("москва ёж", unicode.lower("МОСКВА ЁЖ"))
    assert.equal("երևան", unicode.lower("Երևան"))
    assert.equal("自然 العربية × ÷", unicode.lower("自然 العربية × ÷"))
  end)

  it("tells upper from lower case beyond ASCII", function()
    assert.is_true(unicode.is_upper(0xC9))
    assert.is_false(unicode.is_upper(0xE9))
    assert.is_true(unicode.is_lower(0x436))
    assert.is_false(unicode.is_lower(0x81EA))
  end)
end)

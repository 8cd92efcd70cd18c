local markdown = require "weir.text.markdown"

local function blocks(text, options)
  local list = {}
  markdown.scan(text, options or { markdown = true }, function(kind, first, last, line, level, title)
    local shown = text:sub(first, last):gsub("%s+$", "")
    list[#list + 1] = ("%d %s%s %s"):format(line, kind, level or "", title or shown)
  end)
  return list
end

describe("text.markdown", function()
  it("finds headings by number signs and by underlines", function()
    assert.same({ "1 heading1 One", "2 heading3 Two", "4 heading2 Three", "7 heading1 Four" },
      blocks("# One\n### Two ###\n\nThree\n-----\n\nFour\n====\n"))
  end)

  it("takes a number sign without a space, or seven of them, for text", function()
    assert.same({ "1 text #tag\n####### no" }, blocks("#tag\n####### no"))
  end)

  it("ends a fence only at one as long, of the same kind", function()
    assert.same({ "1 code ````\n```\n# no\n~~~\n````", "6 text after" }, blocks("````\n```\n# no\n~~~\n````\nafter"))
  end)

  it("tells which fence is open at the end", function()
    assert.equal("~~~", markdown.scan("a\n~~~ lua\ncode", { markdown = true }, function() end))
    assert.is_nil(markdown.scan("a\n~~~\ncode\n~~~", { markdown = true }, function() end))
  end)

  it("tells tables, HTML, comments and link definitions from prose", function()
    assert.same({ "1 table | a |\n|---|", "4 html <table>\n<tr>", "7 html <!-- x\n\ny -->", "11 meta [a]: http://b" },
      blocks("| a |\n|---|\n\n<table>\n<tr>\n\n<!-- x\n\ny -->\n\n[a]: http://b\n"))
    assert.same({ "1 text <b>Bold</b> prose" }, blocks("<b>Bold</b> prose"))
  end)

  it("reads front matter at the start of a file only", function()
    assert.same({ "1 meta ---\na: b\n---", "4 text x" }, blocks("---\na: b\n---\nx"))
    assert.same({ "1 meta ---", "2 text no end" }, blocks("---\nno end"))
    local continued = blocks("---\na: b\n---\nx", { markdown = true, continued = true })
    assert.equal("1 meta ---", continued[1])
  end)

  it("makes each list item a block and keeps its continuation", function()
    assert.same({ "1 text one\n  more", "3 text two", "5 text in two", "6 text three" },
      blocks("- one\n  more\n* two\n\n  in two\n1. three"))
  end)

  it("reads Windows line ends", function()
    assert.same({ "1 heading1 One", "3 text two" }, blocks("# One\r\n\r\ntwo\r\n"))
  end)

  it("reads no Markdown in plain text but underlined headings and items", function()
    assert.same({ "1 text # one\n```\n| a |", "5 heading1 Two", "8 text three" },
      blocks("# one\n```\n| a |\n\nTwo\n===\n\n - three\n", {}))
  end)

  it("knows Markdown by the name of its file", function()
    assert.is_true(markdown.is_markdown("docs/A.MD"))
    assert.is_true(markdown.is_markdown("a.b.markdown"))
    assert.is_false(markdown.is_markdown("md"))
    assert.is_false(markdown.is_markdown("a.txt"))
    assert.is_false(markdown.is_markdown(nil))
  end)

  it("strips inline marks", function()
    assert.equal("see the guide and code_x, bold", markdown.plain("see [the guide](a.md) and `code_x`,\n**bold**"))
    assert.equal("a b", markdown.plain("![image](x.png)a\n> b"))
    assert.equal("ref and http://x.y *", markdown.plain("[ref][1] and <http://x.y> \\*"))
    assert.equal("bold line", markdown.plain("<b>bold</b>\tline[^2]"))
  end)

  it("escapes text so that nothing in it is a mark", function()
    assert.equal("\\[x\\](javascript:y) \\<script\\> \\*a\\* \\`b\\`",
      markdown.escape("[x](javascript:y) <script> *a* `b`"))
    assert.equal("\\# no heading", markdown.escape("# no\nheading"))
    assert.equal("1\\. no item", markdown.escape("1. no item"))
  end)

  it("escapes paths in links", function()
    assert.equal("docs/a%20b%29.md", markdown.link_target("docs/a b).md"))
    assert.equal("%C3%BC.md", markdown.link_target("ü.md"))
  end)
end)

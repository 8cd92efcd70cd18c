local testing = require "weir.testing"
local weir = require "weir"
local page = testing.module("agents/digest_page")

local function write(input, options)
  return page.execute(testing.context(page, { options = options }), input)
end

local SENTENCES = {
  { text = "Use the `weir` [guide](x.md),\nit is short.", source = "docs/a b.md", from = 1, to = 9, line = 12 },
  { text = "Second *one*.", source = "docs/a b.md", from = 20, to = 30, line = 15 },
  { text = "Not [a](link) <b>here</b>.", source = "docs/c.txt", from = 1, to = 9, line = 1 },
}

describe("agent digest_page", function()
  it("links each sentence to its line", function()
    local output = write({ sentences = SENTENCES, title = "Digest of docs", out = "digest.md" })
    assert.equal(3, output.links)
    assert.equal([[
# Digest of docs

3 sentences from 2 files.

## [docs/a b.md](docs/a%20b.md)

- [Use the weir guide, it is short.](docs/a%20b.md#L12)
- [Second one.](docs/a%20b.md#L15)

## [docs/c.txt](docs/c.txt)

- [Not \[a\](link) \<b\>here\</b\>.](docs/c.txt#L1)
]], output.text)
  end)

  it("writes links relative to the page", function()
    local function link(out, source)
      local text = write({ sentences = { { text = "x", source = source, line = 1 } }, out = out }).text
      return text:match("%- %[x%]%((.-)%)")
    end
    assert.equal("../docs/a.md#L1", link("out/page.md", "docs/a.md"))
    assert.equal("a.md#L1", link("docs/page.md", "docs/a.md"))
    assert.equal("a.md#L1", link("./docs/page.md", "docs//./a.md"))
    assert.equal("../a.md#L1", link("page.md", "../a.md"))
    assert.equal("/srv/a.md#L1", link("page.md", "/srv/a.md"))
    assert.equal("../b/a.md#L1", link("/srv/x/page.md", "/srv/b/a.md"))
  end)

  it("leaves the line out where it is told to", function()
    local text = write({ sentences = SENTENCES, out = "d.md" }, { lines = false }).text
    assert.is_nil(text:find("#L", 1, true))
  end)

  it("names the files that could not be read", function()
    local files = { "docs/a b.md", "docs/bad_one.txt" }
    local text = write({ sentences = SENTENCES, files = files, read = { {}, weir.null } }).text
    assert.is_truthy(text:find("3 sentences from 2 files, of 1 read.", 1, true))
    assert.is_truthy(text:find("## Not read\n\n- docs/bad\\_one.txt\n", 1, true))
  end)

  it("writes sentences without a source unlinked", function()
    local output = write({ sentences = { { text = "Alone." } } })
    assert.equal("# Digest\n\n1 sentence from 1 file.\n\n- Alone.\n", output.text)
    assert.equal(0, output.links)
  end)

  it("refuses input without sentences", function()
    local _, _, code = write({})
    assert.equal("invalid", code)
  end)
end)

local uri = require "weir.schema.uri"

describe("uri", function()
  it("resolves as RFC 3986 section 5.4 says", function()
    local base = "http://a/b/c/d;p?q"
    local cases = {
      { "g:h", "g:h" }, { "g", "http://a/b/c/g" }, { "./g", "http://a/b/c/g" }, { "g/", "http://a/b/c/g/" }, { "/g", "http://a/g" },
      { "//g", "http://g" }, { "?y", "http://a/b/c/d;p?y" }, { "g?y", "http://a/b/c/g?y" }, { "", "http://a/b/c/d;p?q" },
      { ".", "http://a/b/c/" }, { "./", "http://a/b/c/" }, { "..", "http://a/b/" }, { "../", "http://a/b/" }, { "../g", "http://a/b/g" },
      { "../..", "http://a/" }, { "../../g", "http://a/g" }, { "../../../g", "http://a/g" }, { "/./g", "http://a/g" },
      { "/../g", "http://a/g" }, { "g.", "http://a/b/c/g." }, { ".g", "http://a/b/c/.g" }, { "./g/.", "http://a/b/c/g/" },
      { "g/./h", "http://a/b/c/g/h" }, { "g/../h", "http://a/b/c/h" },
    }
    for _, case in ipairs(cases) do assert.equal(case[2], (uri.resolve(base, case[1])), case[1]) end
  end)

  it("gives the fragment apart, decoded", function()
    local address, fragment = uri.resolve("http://x.test/s", "#/$defs/a%25b")
    assert.equal("http://x.test/s", address)
    assert.equal("/$defs/a%b", fragment)
    assert.equal("", select(2, uri.resolve("http://x.test/s", "t")))
  end)

  it("resolves without a base, and against a name that is no place", function()
    assert.equal("item", (uri.resolve("", "item")))
    assert.equal("urn:x:1", (uri.resolve("urn:x:0", "urn:x:1")))
    assert.equal("urn:x:0", (uri.resolve("urn:x:0", "#a")))
  end)
end)

local excerpt = require "weir.registry.excerpt"

describe("an excerpt", function()
  it("shows two lines before and after, numbered, with a mark", function()
    local lines = {}
    for number = 1, 12 do lines[number] = "line " .. number end
    local text = table.concat(lines, "\n") .. "\n"
    assert.equal("   7 | line 7\n   8 | line 8\n>  9 | line 9\n  10 | line 10\n  11 | line 11", excerpt.of(text, 9))
    assert.equal("> 1 | line 1\n  2 | line 2\n  3 | line 3", excerpt.of(text, 1))
    assert.equal("  10 | line 10\n  11 | line 11\n> 12 | line 12", excerpt.of(text, 12))
  end)

  it("is cut where a line is long, and is nothing where there is no such line", function()
    assert.equal("> 1 | " .. ("x"):rep(160), excerpt.of(("x"):rep(1000), 1))
    assert.is_nil(excerpt.of("one", 2))
    assert.is_nil(excerpt.of_file("/no/such/file", 1))
    assert.is_nil(excerpt.of_file(nil, nil))
  end)
end)

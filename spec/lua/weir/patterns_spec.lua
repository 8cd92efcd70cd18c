-- docs/patterns.md: each point of each pattern has a spec of that title, each pattern an example and a guide.

local docstrings = dofile ".ci/docstrings.lua"
local points = dofile "spec/lua/weir/points.lua"

local GOOD = [[
| pattern | example | guide |
| --- | --- | --- |
| [Tides](#tides) | [tide](../pipelines/tide.lua) | [tides](tides.md) |

## Tides

| point | guide | spec |
| --- | --- | --- |
| they come | [tides](tides.md#coming) | [tide](../spec/tide_spec.lua) comes twice a day |
| they go | [tides](tides.md) | [tide](../spec/tide_spec.lua) goes after … hours<br>[moon](../spec/moon_spec.lua) pulls |

## Not there

- **Tides**: spring tides; wait for the moon.
]]

local FILES = {
  ["pipelines/tide.lua"] = "return {}", ["docs/tides.md"] = "# Tides",
  ["spec/tide_spec.lua"] = 'describe("a tide", function()\n  it("comes twice a day", body)\n  it(("goes after %d hours"):format(6), body)\nend)',
  ["spec/moon_spec.lua"] = 'describe("the moon", function()\n  it("pulls", body)\nend)',
}

local function findings(text) return points.findings(text, function(path) return FILES[path] end) end

local function changed(from, to)
  local text, count = GOOD:gsub(from, to)
  assert.is_true(count > 0, from)
  return findings(text)
end

describe("a table of points", function()
  it("is right where each point has a guide and a spec of its title", function()
    assert.same({}, findings(GOOD))
    assert.equal(2, #points.points(GOOD))
  end)

  it("is wrong where a point's spec is not there: the row is named", function()
    assert.same({ "line 9, they come: 'spec/tide_spec.lua' has no spec 'comes three times a day'" },
      changed("comes twice a day", "comes three times a day"))
    assert.same({ "line 10, they go: there is no file 'spec/sun_spec.lua'" }, changed("spec/moon_spec", "spec/sun_spec"))
    assert.same({ "line 10, they go: 'spec/moon_spec.lua' has no spec 'the moon'" }, changed("pulls", "the moon"))
    assert.same({ "line 9, they come: no title stands behind 'spec/tide_spec.lua'" }, changed(" comes twice a day", ""))
    assert.same({ "line 9, they come: no spec shows it" }, changed("%[tide%]%(%.%./spec/tide_spec%.lua%) comes", "comes"))
  end)

  it("is wrong where a point has no guide, or stands below no pattern", function()
    assert.same({ "line 9, they come: no guide explains it" }, changed("tides%.md#coming", "ebbs.md"))
    assert.same({ "line 3, Waves: it has no points", "line 9, they come: 'Tides' is no pattern",
      "line 10, they go: 'Tides' is no pattern", "line 14, Tides: is no pattern" }, changed("%[Tides%]", "[Waves]"))
  end)

  it("is wrong where a pattern has no example or no guide, or what is left out is not said", function()
    assert.same({ "line 3, Tides: it has no example" }, changed("pipelines/tide", "pipelines/ebb"))
    assert.same({ "line 3, Tides: it has no guide" }, changed("%(tides%.md%) |\n\n", "(ebbs.md) |\n\n"))
    assert.same({ "line 14, Tides: says nothing of what is left out" }, changed("spring tides; wait for the moon%.", ""))
  end)
end)

describe("the titles of a spec", function()
  it("are those of it, and of what calls it, with an ellipsis for what is computed", function()
    local source = [[
local function virtual(title, body)
  it(title, function() run(body) end)
end
local function other(title)
  print(title)
end
describe("no title", function()
  it("plain, with (all) that", function() end)
  it('of "single" quotes', body)
  it("of a part: " .. name .. ", and more", function() end)
  it(("%s of '%s' is 5 %% at %d"):format(one(x), two["a"], 3), function() end)
  it(name .. " fails", function() end)
  it("killed " .. point:gsub("_", " "), body)
  virtual("through another", function() end)
  other("not this")
  -- it("is no title", body)
end)]]
    local titles = {}
    for title in pairs(points.titles(source)) do titles[#titles + 1] = title end
    table.sort(titles)
    assert.same({ 'killed …', 'of "single" quotes', 'of a part: …, and more', 'plain, with (all) that', 'through another', '… fails',
      "… of '…' is 5 % at …" }, titles)
  end)
end)

describe("docs/patterns.md", function()
  local text = docstrings.read "docs/patterns.md"

  it("names for each point a spec that is there, and for each pattern an example and a guide", function()
    assert.same({}, points.findings(text, docstrings.read))
  end)

  it("has sixteen patterns", function()
    assert.equal(16, #points.patterns(text))
  end)
end)

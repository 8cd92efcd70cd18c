local find = require "weir.skill.find"
local support = dofile "spec/lua/weir/skill/support.lua"

local mcp = dofile "spec/lua/weir/mcp/support.lua"

local function names(list)
  local result = {}
  for index, candidate in ipairs(list) do result[index] = candidate.name end
  return result
end

describe("the search for skills", function()
  local place
  before_each(function() place = support.place() end)
  after_each(function() place:close() end)

  it("ranks by what names, tags and descriptions say of the need", function()
    place:add { name = "read_csv", description = "Turns rows of a table into objects", tags = { "csv" } }
    place:add { name = "parse_table", description = "Reads CSV and other tables", tags = require("weir.json").list {} }
    place:add { name = "weather", description = "Tells the weather of tomorrow", tags = require("weir.json").list {} }
    assert.same({ "read_csv", "parse_table" }, names(place.scout:find("read CSV").candidates))
    assert.same({ "weather" }, names(place.scout:find("tell me the weather").candidates))
    assert.same({}, names(place.scout:find("translate from Finnish").candidates))
  end)

  it("puts the missing name first, whatever the words", function()
    place:add { name = "read_csv", description = "Turns rows of a table into objects", tags = { "csv" } }
    place:add { name = "csv_read", description = "Reads CSV: read csv as read", tags = { "csv", "read" } }
    assert.equal("csv_read", names(place.scout:find({ text = "read CSV", name = "csv_read" }).candidates)[1])
  end)

  it("leaves out what does not give the fields that are needed", function()
    place:add { name = "read_csv", description = "Turns a table in CSV into rows", gives = { rows = "object[]" } }
    place:add { name = "count_csv", description = "Reads CSV and counts the lines", gives = { count = "integer" } }
    assert.same({ "read_csv" }, names(place.scout:find({ text = "read CSV", gives = { "rows" } }).candidates))
  end)

  it("prefers the later of two versions", function()
    place:add({}, nil, "a")
    place:add({ version = "1.10.0" }, nil, "b")
    place:add({ version = "1.9.0" }, nil, "c")
    assert.equal("1.10.0", place.scout:find("double a number").candidates[1].version)
  end)

  it("goes on past what cannot be read, and tells of it", function()
    place:add()
    support.write(place.folder .. "/skills/broken/skill.json", "{")
    support.write(place.folder .. "/skills/empty/skill.json", "{}")
    place.scout.settings.indexes = { "http://127.0.0.1:1/index.json", "no url" }
    local findings = place.scout:find "double a number"
    assert.same({ "double" }, names(findings.candidates))
    assert.equal(4, #findings.problems)
  end)

  it("finds the skills that came with weir", function()
    place.scout.settings.folders = { "modules/skills" }
    assert.same({ "read_csv" }, names(place.scout:find("read CSV").candidates))
  end)

  it("finds tools of an MCP server, as skills that want to be let use them", function()
    local missing = mcp.missing()
    if missing then return pending(missing) end
    place:close()
    place = support.place { folders = {}, mcp = { "tools" } }
    place.project.settings.mcp = { tools = mcp.settings("legacy", { cwd = require("luv").cwd() }) }
    local tools = assert(require("weir.run.tooling").house(place.engine):tools "tools")
    local findings = place.scout:find(tools[1].name:gsub("_", " "))
    local candidate = assert(findings.candidates[1])
    assert.same({ kind = "mcp", place = "tools", at = tools[1].name }, candidate.origin)
    local tried = assert(place.scout:try(candidate))
    assert.same({ "use the tool mcp/tools/" .. tools[1].name }, { table.unpack(tried.added) })
    assert.is_not_nil(tried.asks)
    place.engine.mcp:close()
  end)

  it("refuses a need that says nothing", function()
    local ok, err = pcall(place.scout.find, place.scout, {})
    assert.is_false(ok)
    assert.equal("invalid", err.code)
    assert.same({}, names(find.candidates(place.scout, { text = "" })))
  end)

  it("asks for a store", function()
    local ok, err = pcall(require("weir.skill").of, { project = place.project })
    assert.is_false(ok)
    assert.equal("unavailable", err.code)
  end)
end)

-- docs/fields.md: each field of the normal form once, in Lua and in YAML, and pipelines drawn of them.

local check = require "weir.definition.check"
local definition = require "weir.definition.load"
local fields = dofile "spec/lua/weir/definition/fields.lua"
local form = require "weir.definition.form"
local printer = require "weir.definition.print"
local uv = require "luv"
local value_of = require "weir.value"

local ROWS = fields.rows()
local HEAD = 'local weir = require "weir"\n'

local function told(errors)
  local lines = {}
  for index, entry in ipairs(errors or {}) do lines[index] = check.format(entry) end
  return table.concat(lines, "\n")
end

local function read(file, text)
  local loaded, errors = definition.load(file, { text = text })
  assert.truthy(loaded, told(errors) .. "\n" .. text)
  return loaded
end

local function same(one, other, what)
  assert.is_true(value_of.equal(one.normal, other.normal), what)
  assert.equal(one.version, other.version, what)
end

-- Lua, normal form, YAML, normal form; and JSON, and once more the text.
local function round_trips(loaded, what)
  for _, format in ipairs { "yaml", "json" } do
    local text = printer.print(loaded.normal, format)
    local again = read("p." .. format, text)
    same(loaded, again, what .. "\n" .. text)
    assert.equal(text, printer.print(again.normal, format), what)
  end
end

describe("the table of fields", function()
  it("has each field once, and no other", function()
    assert.same({}, fields.findings(ROWS, form.order))
  end)

  it("is found wanting when a field has no row, or two, or a row no field", function()
    local order = { tide = { "ebb", "flow" }, gate = { "title", "slack" }, approval = { "title" } }
    local text = "| field of `tide` | Lua | YAML | says |\n| --- | --- | --- | --- |\n| `ebb` | `ebb = 1` | `ebb: 1` | goes |\n"
    assert.same({ "approval.title has no row", "gate.slack has no row", "gate.title has no row", "tide.flow has no row" },
      fields.findings(fields.rows(text), order))
    text = text .. "| `ebb` | `ebb = 2` | `ebb: 2` |  |\n| `moon` | `moon = 1` | `moon: 1` | pulls |\n"
    assert.same({ "tide.ebb has two rows", "tide.ebb is not explained", "tide.flow has no row", "tide.moon is no field" },
      fields.findings(fields.rows(text), { tide = order.tide }))
  end)

  it("says the same in Lua and in YAML, and has in it what it explains", function()
    for _, row in ipairs(ROWS) do
      local name = row.def .. "." .. row.field
      local lua, yaml = fields.alone(row)
      local from_lua, from_yaml = read("p.lua", HEAD .. lua), read("p.yaml", yaml)
      same(from_lua, from_yaml, name .. "\n" .. printer.print(from_lua.normal, "yaml") .. "\n" .. printer.print(from_yaml.normal, "yaml"))
      round_trips(from_lua, name)
      assert.is_true(fields.fields_in(from_lua.normal)[name], name .. " is not in its own row")
    end
  end)
end)

-- Drawing ---------------------------------------------------------------------------------------------------

-- xorshift (Marsaglia, "Xorshift RNGs", 2003), so that the pipelines are the same everywhere.
local seed = 20261126
local function random(limit)
  seed = seed ~ (seed << 13)
  seed = seed ~ (seed >> 7)
  seed = seed ~ (seed << 17)
  return (seed >> 1) % limit + 1
end

local BY_PLACE = {}
for _, row in ipairs(ROWS) do
  BY_PLACE[row.place] = BY_PLACE[row.place] or {}
  table.insert(BY_PLACE[row.place], row)
end

-- The field that a piece sets; no two of a draw set the same.
local function sets(row) return row.yaml:match "^[%w_]+" end

local function draw(place, most)
  local drawn, taken = {}, {}
  for _ = 1, random(most + 1) - 1 do
    local row = BY_PLACE[place][random(#BY_PLACE[place])]
    if not taken[sets(row)] then
      taken[sets(row)] = true
      drawn[#drawn + 1] = row
    end
  end
  return drawn
end

local function drawn_pipeline()
  local of = { pipeline = draw("pipeline", 4), group = draw("group", 2), step = draw("step", 4), trigger = draw("trigger", 3) }
  for index, row in ipairs(of.pipeline) do
    if sets(row) == "on" then table.remove(of.pipeline, index) break end
  end
  of.entry = BY_PLACE.entry[random(#BY_PLACE.entry)]
  return of
end

describe("definitions drawn of all fields", function()
  it("come out of Lua, of YAML and of what is printed of either as one normal form, with each field in some of them", function()
    local seen, accepted, refused, tries = {}, 0, 0, 0
    local function left()
      for _, row in ipairs(ROWS) do
        if row.place ~= "whole" and not seen[row.def .. "." .. row.field] then return row.def .. "." .. row.field end
      end
    end
    while accepted < 300 or left() do
      tries = tries + 1
      assert.is_true(tries < 5000, left())
      local lua, yaml = fields.pipeline(drawn_pipeline())
      local from_lua, errors = definition.load("p.lua", { text = HEAD .. lua })
      local from_yaml, others = definition.load("p.yaml", { text = yaml })
      if from_lua and from_yaml then
        accepted = accepted + 1
        same(from_lua, from_yaml, lua .. "\n" .. yaml)
        round_trips(from_lua, lua)
        for name in pairs(fields.fields_in(from_lua.normal)) do seen[name] = true end
      else
        refused = refused + 1
        assert.equal(from_lua == nil, from_yaml == nil, told(errors) .. told(others) .. "\n" .. lua .. "\n" .. yaml)
      end
    end
    assert.is_true(refused < accepted * 4, ("%d accepted, %d refused"):format(accepted, refused))
  end)
end)

describe("the pipelines of weir", function()
  local names = {}
  for name, kind in uv.fs_scandir_next, assert(uv.fs_scandir "pipelines") do
    if kind ~= "directory" then names[#names + 1] = name end -- their data stands in folders
  end
  for _, name in ipairs(names) do
    it("read back equal from what is printed of them: " .. name, function()
      local loaded, errors = definition.load("pipelines/" .. name)
      assert.truthy(loaded, told(errors))
      if loaded.kind ~= "flow" then round_trips(loaded, name) end
    end)
  end
end)

--- For specs of definitions: the rows of docs/fields.md as pieces of Lua and YAML, and pipelines made of them.

local docstrings = dofile ".ci/docstrings.lua"
local form = require "weir.definition.form"
local json = require "weir.native.json"
local points = dofile "spec/lua/weir/points.lua"

local M = {}

-- Where the fields of an object are written; those of all others stand in a step.
local PLACES = { pipeline = "pipeline", queue = "pipeline", budget = "pipeline", use = "pipeline", reflect = "pipeline",
  reflect_limits = "pipeline", trigger = "trigger", dedupe = "trigger", debounce = "trigger", throttle = "trigger", batch = "trigger",
  group = "group", at_least = "group", by_deadline = "group", branch = "group", gate = "group" }

local function code(cell) return cell:match "^`(.*)`$" end

-- `weir.pipeline` is all of it, `weir.` an entry of the groups; the rest is a field.
local function place_of(def, lua)
  if lua:find "^weir%.pipeline" then return "whole" end
  if lua:find "^weir%." then return "entry" end
  return PLACES[def] or "step"
end

--- The rows of a text, in their order.
---@param text string|nil  docs/fields.md by default
---@return { def: string, field: string, lua: string, yaml: string, place: string, says: string, line: integer }[]
function M.rows(text)
  local rows, def = {}, nil
  for line, _, cells in points.lines(text or docstrings.read "docs/fields.md") do
    if not cells then
      def = nil
    elseif not def then
      def = cells[1]:match "^field of `([%w_]+)`$"
    elseif not cells[1]:find "^%-+$" then
      local lua, yaml = assert(code(cells[2]), cells[2]), assert(code(cells[3]), cells[3])
      rows[#rows + 1] = { def = def, field = code(cells[1]), lua = lua, yaml = yaml, place = place_of(def, lua), says = cells[4], line = line }
    end
  end
  return rows
end

--- What is wrong with rows, a line each: fields without a row, rows without a field, fields with two rows.
---@param rows table[]
---@param order table<string, string[]>  as weir.definition.form has it
---@return string[]
function M.findings(rows, order)
  local count, known, found = {}, {}, {}
  for _, row in ipairs(rows) do
    local name = row.def .. "." .. row.field
    count[name] = (count[name] or 0) + 1
    if count[name] == 2 then found[#found + 1] = name .. " has two rows" end
    if row.says == "" then found[#found + 1] = name .. " is not explained" end
  end
  for def, fields in pairs(order) do
    for _, field in ipairs(fields) do
      local name = def .. "." .. field
      local is_of_approval = def == "gate" and count["approval." .. field] -- a gate has the fields of an approval
      if not count[name] and not is_of_approval then found[#found + 1] = name .. " has no row" end
      known[name] = true
    end
  end
  for name in pairs(count) do
    if not known[name] then found[#found + 1] = name .. " is no field" end
  end
  table.sort(found)
  return found
end

-- Making pipelines -------------------------------------------------------------------------------------------

local function indented(text, by) return (by .. text:gsub("\n", "\n" .. by)) end

local function joined(parts, separator) return table.concat(parts, separator) end

local function pieces_of(rows, which)
  local pieces = {}
  for index, row in ipairs(rows) do pieces[index] = row[which] end
  return pieces
end

local function has_kind(pieces, mark)
  for _, piece in ipairs(pieces) do
    for _, kind in ipairs { "agent", "pipeline", "sleep" } do
      if piece:find("^" .. kind .. " ?" .. mark) then return true end
    end
  end
  return false
end

-- A step with fields; one that has no kind is of the agent `echo`.
local function step_of(name, rows)
  local lua, yaml = pieces_of(rows, "lua"), pieces_of(rows, "yaml")
  if not has_kind(lua, "=") then table.insert(lua, 1, 'agent = "echo"') end
  if not has_kind(yaml, ":") then table.insert(yaml, 1, "agent: echo") end
  return ('weir.step "%s" { %s }'):format(name, joined(lua, ", ")), ("name: %s\n%s"):format(name, joined(yaml, "\n"))
end

local function trigger_of(rows)
  local lua, yaml = pieces_of(rows, "lua"), pieces_of(rows, "yaml")
  return ('on = { { feed = { url = "u" }, %s } }'):format(joined(lua, ", ")),
    "on:\n- feed: {url: u}\n" .. indented(joined(yaml, "\n"), "  ")
end

--- A pipeline in both languages that has a row in its place.
---@param row table
---@return string lua, string yaml
function M.alone(row)
  local is_single = row.place == "entry" or row.place == "whole"
  return M.pipeline { [row.place] = is_single and row or { row } }
end

--- A pipeline in both languages that has rows in their places: the fields of a group `g`, of a step `a` in it (beside a step
--- `b`), of a trigger, of the pipeline, and an entry of its groups.
---@param of { pipeline: table[]|nil, trigger: table[]|nil, group: table[]|nil, step: table[]|nil, entry: table|nil, whole: table|nil }
---@return string lua
---@return string yaml
function M.pipeline(of)
  if of.whole then return "return " .. of.whole.lua, of.whole.yaml end
  local top_lua, top_yaml = pieces_of(of.pipeline or {}, "lua"), pieces_of(of.pipeline or {}, "yaml")
  if of.trigger then
    local lua, yaml = trigger_of(of.trigger)
    top_lua[#top_lua + 1], top_yaml[#top_yaml + 1] = lua, yaml
  end
  local step_lua, step_yaml = step_of("a", of.step or {})
  local group_lua, group_yaml = pieces_of(of.group or {}, "lua"), pieces_of(of.group or {}, "yaml")
  top_lua[#top_lua + 1] = 'weir.step "x" { agent = "echo" }'
  table.insert(group_lua, 1, step_lua)
  table.insert(group_lua, 1, 'weir.step "b" { agent = "echo" }')
  top_lua[#top_lua + 1] = ('weir.group "g" { %s }'):format(joined(group_lua, ", "))
  table.insert(group_yaml, 1, "steps:\n- {name: b, agent: echo}\n- " .. indented(step_yaml, "  "):sub(3))
  local groups = "groups:\n- {name: x, agent: echo}\n- name: g\n" .. indented(joined(group_yaml, "\n"), "  ")
  if of.entry then
    top_lua[#top_lua + 1] = of.entry.lua
    groups = groups .. "\n- " .. of.entry.yaml
  end
  table.insert(top_yaml, 1, "name: p")
  top_yaml[#top_yaml + 1] = groups
  return ('return weir.pipeline "p" { %s }'):format(joined(top_lua, ",\n  ")), joined(top_yaml, "\n")
end

-- Which fields stand in a normal form ---------------------------------------------------------------------

local function object_at(def, value)
  if def == "at_least" and value.deadline ~= nil then return "by_deadline" end -- a join is either
  return def
end

local function mark(def, value, seen)
  if type(value) ~= "table" or not def then return end
  if json.is_list(value) then
    for _, inner in ipairs(value) do mark(def, inner, seen) end
    return
  end
  def = object_at(def, value)
  for field, inner in pairs(value) do
    seen[def .. "." .. field] = true
    mark(form.child(def, field), inner, seen)
  end
end

--- The fields that a normal form has.
---@param normal table
---@return table<string, true>  by "DEF.FIELD"
function M.fields_in(normal)
  local seen = {}
  mark("pipeline", normal, seen)
  return seen
end

return M

--- Which schedules a project has, and how people name them: an id, the beginning of one, PIPELINE/NAME, or PIPELINE where it
--- has one. Waits for files that are loaded for the first time.

local failure = require "weir.failure"
local rule_of = require "weir.schedule.rule"
local suggest = require "weir.suggest"

local M = {}

---@class weir.Scheduled
---@field rule weir.Rule
---@field definition weir.Definition

local function note_broken(broken, name, err)
  broken[#broken + 1] = { pipeline = name, code = err.code, message = err.message }
end

local function add(found, broken, definition, calendars)
  local ok, rules = pcall(rule_of.of, definition, calendars)
  if not ok then return note_broken(broken, definition.name, failure.of(rules)) end
  for _, rule in ipairs(rules) do
    if found[rule.id] then
      note_broken(broken, definition.name, failure.new("conflict", "two schedules are called '%s'; give them a 'name'", rule.name))
    else
      found[rule.id] = { rule = rule, definition = definition }
    end
  end
end

-- What weir brings with it starts by itself only where weir itself is the project.
local function is_own(project, name)
  local file = project:pipeline_file(name)
  return file ~= nil and file:sub(1, #project.root + 1) == project.root .. "/"
end

--- The schedules of a project's own pipelines, as they serve now.
---@param project weir.Project
---@return table<string, weir.Scheduled> by id
---@return { pipeline: string, code: string, message: string }[] broken what could not be read
function M.of(project)
  local found, broken = {}, {}
  for _, name in ipairs(project:pipeline_names()) do
    if is_own(project, name) then
      local definition, err = project:pipeline(name)
      if definition then
        add(found, broken, definition, project.settings.calendars or {})
      else
        note_broken(broken, name, err)
      end
    end
  end
  return found, broken
end

--- Those of a list in the order of their names.
---@param found table<string, weir.Scheduled>
---@return weir.Scheduled[]
function M.sorted(found)
  local list = {}
  for _, one in pairs(found) do list[#list + 1] = one end
  table.sort(list, function(a, b) return a.rule.name < b.rule.name end)
  return list
end

local function of_pipeline(list, name)
  local only
  for _, one in ipairs(list) do
    if one.rule.pipeline == name then
      if only then return nil end
      only = one
    end
  end
  return only
end

--- The schedule that people mean. Raises `not_found`, `conflict` (several).
---@param found table<string, weir.Scheduled>
---@param given string
---@return weir.Scheduled
function M.find(found, given)
  if found[given] then return found[given] end
  local list, names, beginning = M.sorted(found), {}, {}
  for index, one in ipairs(list) do
    names[index] = one.rule.name
    if one.rule.name == given then return one end
    if given:find "^s_%w+$" and one.rule.id:sub(1, #given) == given then beginning[#beginning + 1] = one end
  end
  local only = #beginning == 1 and beginning[1] or of_pipeline(list, given)
  if only then return only end
  if #beginning > 1 then failure.raise("conflict", "several schedules begin with '%s'; `weir schedule list` shows them", given) end
  local hint = suggest.hint(given, names)
  failure.raise("not_found", "there is no schedule '%s'%s `weir schedule list` shows them", given:sub(1, 80), hint == "" and ";" or hint)
end

return M

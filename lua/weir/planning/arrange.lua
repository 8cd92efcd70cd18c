--- Steps that say only what they read become groups, one after the other: each step stands in the first group behind all
--- those that it reads from, so that what does not depend on one another runs side by side. Source: the longest-path layering
--- of Kahn, "Topological Sorting of Large Networks", CACM 1962. Pure; never yields.

local json = require "weir.native.json"
local path = require "weir.path"

local M = {}

local function note_roots(value, roots)
  if value == nil then return end
  local evaluate, references = path.compile_value(value)
  for _, reference in ipairs(evaluate and references or {}) do
    if reference.root then roots[reference.root] = true end
  end
end

-- Names outside of the step that a body of it reads are read by the step.
local function note_step(step, roots)
  note_roots(step.input, roots)
  note_roots(step.output, roots)
  if step.map then
    note_roots(step.map.over, roots)
    if type(step.map.each) == "table" then note_step(step.map.each, roots) end
  end
  for _, group in ipairs(step.groups or {}) do
    for _, inner in ipairs(group.steps or { group }) do note_step(inner, roots) end
  end
end

-- What each step waits for, in order of their names.
local function sources_of(steps)
  local known, sources = {}, {}
  for _, step in ipairs(steps) do known[step.name] = true end
  for _, step in ipairs(steps) do
    local roots, list = {}, {}
    note_step(step, roots)
    for root in pairs(roots) do
      if known[root] then list[#list + 1] = root end
    end
    table.sort(list)
    sources[step.name] = list
  end
  return sources
end

-- The steps of a circle, the first one again at the end.
local function circle_among(steps, sources, level)
  local seen, trail, name = {}, {}, nil
  for _, step in ipairs(steps) do
    if not level[step.name] then name = step.name break end
  end
  repeat
    seen[name] = #trail + 1
    trail[#trail + 1] = name
    for _, source in ipairs(sources[name]) do
      if not level[source] then name = source break end
    end
  until seen[name]
  trail[#trail + 1] = name
  return table.move(trail, seen[name], #trail, 1, {})
end

local function level_of(step, sources, level)
  local deepest = 0
  for _, source in ipairs(sources[step.name]) do
    if not level[source] then return nil end
    deepest = math.max(deepest, level[source])
  end
  return deepest + 1
end

local function levels_of(steps, sources)
  local level, deepest, left = {}, 0, #steps
  while left > 0 do
    local before = left
    for _, step in ipairs(steps) do
      local own = not level[step.name] and level_of(step, sources, level)
      if own then level[step.name], deepest, left = own, math.max(deepest, own), left - 1 end
    end
    if left == before then return nil, circle_among(steps, sources, level) end
  end
  return level, deepest
end

local function duplicate(steps)
  local seen = {}
  for _, step in ipairs(steps) do
    if seen[step.name] then return step.name end
    seen[step.name] = true
  end
end

local function free_name(taken, number)
  local name = "part_" .. number
  while taken[name] do name = name .. "_" end
  return name
end

--- Groups in normal form of steps in any order.
---@param steps table[] in normal form, with different names
---@return table[]|nil groups
---@return string|nil message  a name that is taken twice, or steps that wait for one another in a circle
function M.groups(steps)
  local twice = duplicate(steps)
  if twice then return nil, ("two steps are called '%s'"):format(twice) end
  local level, deepest = levels_of(steps, sources_of(steps))
  if not level then
    return nil, ("the steps wait for one another in a circle: %s"):format(table.concat(deepest, " <- "))
  end
  local groups, taken = json.list {}, {}
  for _, step in ipairs(steps) do taken[step.name] = true end
  for number = 1, deepest do groups[number] = { name = free_name(taken, number), steps = json.list {} } end
  for _, step in ipairs(steps) do
    local own = groups[level[step.name]].steps
    own[#own + 1] = step
  end
  for _, group in ipairs(groups) do
    if #group.steps == 1 then group.name = group.steps[1].name end
  end
  return groups
end

return M

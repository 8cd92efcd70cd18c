--- Plans as people read them: a line for each step, what an estimate says, what another plan changes. Pure.

local json = require "weir.native.json"
local estimates = require "weir.planning.estimate"
local patches = require "weir.planning.patch"
local value_of = require "weir.value"

local M = {}

local VALUE_MAX = 60 -- bytes of a value in a line

local function short(value)
  local text = type(value) == "string" and value or json.encode(value) or "?"
  return #text > VALUE_MAX and text:sub(1, VALUE_MAX - 3) .. "..." or text
end

local function given(input)
  if type(input) ~= "table" or json.is_list(input) then return input ~= nil and short(input) or "" end
  local parts = {}
  for index, name in ipairs(value_of.names(input)) do parts[index] = ("%s = %s"):format(name, short(input[name])) end
  return table.concat(parts, ", ")
end

local add_groups

local function add_step(lines, step, indent)
  local sign = indent .. step.name
  if step.agent then
    lines[#lines + 1] = ("%s: %s(%s)"):format(sign, step.agent, given(step.input))
  elseif step.map then
    local reduce = step.map.reduce and (", then %s"):format(step.map.reduce.agent) or ""
    lines[#lines + 1] = ("%s: for each of %s%s"):format(sign, short(step.map.over), reduce)
    add_step(lines, step.map.each, indent .. "  ")
  else
    lines[#lines + 1] = sign .. ":"
    add_groups(lines, step.groups, indent .. "  ")
  end
end

function add_groups(lines, groups, indent)
  for _, group in ipairs(groups) do
    local inner = indent
    if #group.steps > 1 then
      lines[#lines + 1] = indent .. "side by side:"
      inner = indent .. "  "
    end
    for _, step in ipairs(group.steps) do add_step(lines, step, inner) end
  end
end

--- The steps of a plan.
---@param normal table
---@return string[] lines
function M.steps(normal)
  local lines = json.list {}
  add_groups(lines, normal.groups, "")
  return lines
end

local SIGNS = { add = "+", remove = "-", replace = "~" }

--- What another plan changes.
---@param before table|nil the normal form that is changed; it is shown what is taken out of it
---@param patch table[] as `weir.planning.patch` gives it
---@return string[] lines
function M.changes(before, patch)
  local lines = json.list {}
  for index, one in ipairs(patch) do
    local value = one.op == "remove" and before and patches.get(before, one.path) or one.value
    lines[index] = ("%s %s%s"):format(SIGNS[one.op] or "?", one.path, value ~= nil and "  " .. short(value) or "")
    before = before and patches.apply(before, { one })
  end
  return lines
end

--- What a person who signs a plan off sees.
---@param goal weir.Goal
---@param plan weir.planning.Plan
---@param about { estimate: weir.Estimate, before: table?, patch: table[]?, problem: string?, reused: string? } before: what the
---   patch is of
---@return table
function M.question(goal, plan, about)
  return { goal = goal.text ~= "" and goal.text or nil, wanted = next(goal.want) and json.list(value_of.names(goal.want)) or nil,
    plan = M.steps(plan.normal), estimate = estimates.show(about.estimate), version = plan.version,
    changes = about.patch and M.changes(about.before, about.patch) or nil, problem = about.problem, used_before = about.reused }
end

return M

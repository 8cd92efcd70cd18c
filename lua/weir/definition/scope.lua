--- Which names a path may use where, within one sequence of groups: the steps of every group that can
--- have run before, found by following the order of the groups and their branches. Pure.

local M = {}

--- Names that are always there; no step may bear them.
M.reserved = { input = true, event = true, run = true, error = true, workspace = true, item = true, index = true }

--- The roots that stand in StepData besides the steps.
M.roots = { "input", "event", "run", "error", "workspace" }

local function positions(groups)
  local by_name = {}
  for position, group in ipairs(groups) do by_name[group.name] = by_name[group.name] or position end
  return by_name
end

local function add(targets, position)
  if position then targets[position] = true end
end

-- Where the run may go after a group.
local function targets_of(groups, position, by_name)
  local branch, targets = groups[position].branch, {}
  local next_position = groups[position + 1] and position + 1
  if not branch then
    add(targets, next_position)
    return targets
  end
  for _, name in pairs(branch.cases or {}) do add(targets, by_name[name]) end
  add(targets, by_name[branch.failed])
  add(targets, by_name[branch.default])
  if not branch.default then add(targets, next_position) end
  if not branch.cases then -- the label names the group, and labels are only known when the run is there
    for other = 1, #groups do targets[other] = true end
  end
  return targets
end

local function spread(reached, position, targets)
  for target in pairs(targets[position]) do
    if not reached[target] then
      reached[target] = true
      spread(reached, target, targets)
    end
  end
  return reached
end

--- For each group, the set of positions of the groups that can have run before it.
---@param groups table[]  in normal form
---@return table<integer, table<integer, true>>
function M.before(groups)
  local by_name, targets, before = positions(groups), {}, {}
  for position = 1, #groups do
    targets[position] = targets_of(groups, position, by_name)
    before[position] = {}
  end
  local reached = spread({ [1] = true }, 1, targets)
  for position = 1, #groups do
    if reached[position] then
      for later in pairs(spread({}, position, targets)) do before[later][position] = true end
    end
  end
  return before
end

--- A set with the entries of several sets.
---@param ... table<string, any>
---@return table<string, any>
function M.union(...)
  local result = {}
  for _, set in ipairs { ... } do
    for name, value in pairs(set) do result[name] = value end
  end
  return result
end

--- The names of the steps of some groups.
---@param groups table[]
---@param chosen? table<integer, true>  positions; all if left out
---@return table<string, true>
function M.steps(groups, chosen)
  local names = {}
  for position, group in ipairs(groups) do
    if not chosen or chosen[position] then
      for _, step in ipairs(group.steps) do names[step.name] = true end
    end
  end
  return names
end

local function has_branch(groups)
  for _, group in ipairs(groups) do
    if group.branch then return true end
  end
  return false
end

--- What each group sees. Without branches the set grows from group to group, so ask in order, and use
--- a set before asking for the next.
---@param groups table[]
---@param outer table<string, true>  what is seen around them
---@return fun(position: integer): table<string, true>
function M.seen(groups, outer)
  if has_branch(groups) then
    local before = M.before(groups)
    return function(position) return M.union(outer, M.steps(groups, before[position])) end
  end
  local seen = M.union(outer)
  return function(position)
    for _, step in ipairs(position > 1 and groups[position - 1].steps or {}) do seen[step.name] = true end
    return seen
  end
end

--- A circle among the `from` of a group's steps.
---@param steps table[]
---@return string[]|nil  the names along the circle, the first one again at the end
function M.circle(steps)
  local from, state, trail = {}, {}, {}
  for _, step in ipairs(steps) do
    from[step.name] = step.from and (step.from.steps or step.from) or {}
  end
  local function visit(name)
    if state[name] == "done" or not from[name] then return nil end
    trail[#trail + 1] = name
    if state[name] == "open" then return trail end
    state[name] = "open"
    for _, source in ipairs(from[name]) do
      if visit(source) then return trail end
    end
    state[name] = "done"
    trail[#trail] = nil
  end
  for _, step in ipairs(steps) do
    if visit(step.name) then
      local first = trail[#trail]
      while trail[1] ~= first do table.remove(trail, 1) end
      return trail
    end
  end
end

return M

--- The plan that a step would make, found without a run: what `weir run --dry-run` shows. Only a planner that says that it is
--- pure is asked, since one that asks a model costs money, and only for a goal that the run's input already tells.

local agents_of = require "weir.planning.agents"
local check = require "weir.planning.check"
local failure = require "weir.failure"
local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
local memory = require "weir.planning.memory"
local native = require "weir.native.scheduler"
local path = require "weir.path"

local M = {}

-- What there is of a context where nothing runs.
local Context = {}
Context.__index = function(_, name)
  failure.raise("unavailable", "a planner that says it is pure has used ctx.%s", tostring(name))
end

local function evaluated(value, data)
  local evaluate, message = path.compile_value(value)
  if not evaluate then failure.raise("invalid", "%s", message) end
  local result, why, code = evaluate(data)
  if result == nil and why then failure.raise(code or "invalid", "%s", why) end
  return result
end

local function agents_for(registry, names, known)
  local list, by_name = {}, {}
  for _, name in ipairs(names or agents_of.found(registry)) do
    local entry, err = registry:get("agents/" .. name)
    if not entry then error(err, 0) end
    list[#list + 1] = agents_of.declared(name, entry, known[name])
    by_name[name] = list[#list]
  end
  return list, by_name
end

-- A plan that was made for the same goal before, and what failed; as a run would look it up.
local function remembered(store, step, goal, list)
  local reuse, versions = step.plan.reuse or "similar", {}
  if not store or reuse == "never" then return nil, {} end
  for _, agent in ipairs(list) do versions[agent.name] = agent.version end
  local found = memory.recall(store, goal)
  if found and reuse == "same" and not found.is_same then found = nil end
  return found and found.plan.normal, memory.failed(store, goal, versions)
end

local function is_tried(tried, plan)
  for _, one in ipairs(tried) do
    if one.version == plan.version then return true end
  end
  return false
end

local function preview(project, step, data, known, store)
  local use = step.plan.planner or { use = "rules" }
  local full = "planners/" .. use.use
  local entry, err = project.registry:get(full)
  if not entry then error(err, 0) end
  local goal = goal_of.of(evaluated(step.plan.goal, data), evaluated(step.input == nil and {} or step.input, data))
  local list, by_name = agents_for(project.registry, step.plan.agents, known)
  local options_of_check = { name = step.name, limits = step.plan.limits }
  local before, tried = remembered(store, step, goal, list)
  local same = before and check.check(before, goal, by_name, options_of_check)
  if same and not is_tried(tried, same) then return same end
  if not entry.module.is_pure then failure.raise("unavailable", "planner '%s' is asked when the run is there", use.use) end
  local options = project.registry:options(entry, project:options_of(full), use.options)
  local ctx = setmetatable({ options = options, tried = tried, limits = step.plan.limits or {}, problems = json.list {} }, Context)
  local made, message, code = entry.module.plan(ctx, goal, list)
  if made == nil then failure.raise(failure.codes[code] and code or "invalid", "%s", message or "the planner returned nothing") end
  local plan, problems, why = check.check(made, goal, by_name, options_of_check)
  if not plan then failure.raise(why, "%s", table.concat(problems, "; ")) end
  return plan
end

--- The plan of a step.
---@param project weir.Project
---@param step table in normal form, with `plan`
---@param data table StepData as far as it is known: {input}
---@param known table<string, weir.planning.Known> what is recorded of agents
---@param store weir.Store|nil where goals are remembered
---@return weir.planning.Plan|nil
---@return string|nil message why it cannot be said, or that there is none
---@return string|nil code not_found (no plan), unavailable (it is known only when the run is there), invalid, limit
function M.of(project, step, data, known, store)
  local ok, result = pcall(preview, project, step, data, known, store)
  if ok then return result end
  native.recover()
  local err = failure.of(result)
  if err.code == "cancelled" then error(result, 0) end
  return nil, err.message, err.code
end

return M

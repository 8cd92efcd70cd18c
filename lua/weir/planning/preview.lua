--- The plan that a step would make, found without a run: what `weir run --dry-run` shows. Only a planner that says that it is
--- pure is asked, since one that asks a model costs money, and only for a goal that the run's input already tells.

local agents_of = require "weir.planning.agents"
local check = require "weir.planning.check"
local failure = require "weir.failure"
local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
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

local function preview(project, step, data, known)
  local use = step.plan.planner or { use = "rules" }
  local full = "planners/" .. use.use
  local entry, err = project.registry:get(full)
  if not entry then error(err, 0) end
  if not entry.module.is_pure then failure.raise("unavailable", "planner '%s' is asked when the run is there", use.use) end
  local goal = goal_of.of(evaluated(step.plan.goal, data), evaluated(step.input == nil and {} or step.input, data))
  local list, by_name = agents_for(project.registry, step.plan.agents, known)
  local options = project.registry:options(entry, project:options_of(full), use.options)
  local ctx = setmetatable({ options = options, tried = {}, limits = step.plan.limits or {}, problems = json.list {} }, Context)
  local made, message, code = entry.module.plan(ctx, goal, list)
  if made == nil then failure.raise(failure.codes[code] and code or "invalid", "%s", message or "the planner returned nothing") end
  local plan, problems, why = check.check(made, goal, by_name, { name = step.name, limits = step.plan.limits })
  if not plan then failure.raise(why, "%s", table.concat(problems, "; ")) end
  return plan
end

--- The plan of a step.
---@param project weir.Project
---@param step table in normal form, with `plan`
---@param data table StepData as far as it is known: {input}
---@param known table<string, weir.planning.Known> what is recorded of agents
---@return weir.planning.Plan|nil
---@return string|nil message why it cannot be said, or that there is none
---@return string|nil code not_found (no plan), unavailable (it is known only when the run is there), invalid, limit
function M.of(project, step, data, known)
  local ok, result = pcall(preview, project, step, data, known)
  if ok then return result end
  native.recover()
  local err = failure.of(result)
  if err.code == "cancelled" then error(result, 0) end
  return nil, err.message, err.code
end

return M

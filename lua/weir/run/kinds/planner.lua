--- What a planner says: one call of its module. Its answer is kept as it is; whether it can be carried out is looked at by
--- whoever asked.

local build = require "weir.definition.build"
local context = require "weir.run.context"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local normal = require "weir.definition.normal"
local plain = require "weir.run.plain"
local value_of = require "weir.value"

local M = { name = "planner" }

-- What the constructors build is data once it is in normal form.
local function as_data(value)
  if not build.is_node(value) then return value end
  local data, errors = normal.pipeline(value)
  if not data then failure.raise("invalid", "the planner built no pipeline: %s", errors[1].message) end
  return data
end

local function answer_of(step, value, message, code)
  if value == nil then
    if type(message) == "string" then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
    failure.raise("invalid", "planner '%s' returned nothing; it returns a pipeline, or nil, a message and a code", step.planner)
  end
  value = as_data(value)
  local refusal = type(value) ~= "table" and value_of.show(value) or plain.refusal(value)
  if refusal then failure.raise("invalid", "planner '%s' returned %s; it returns a pipeline in normal form", step.planner, refusal) end
  return value
end

--- Asks once.
function M.execute(frame, step, key, input)
  local work = step.work
  local ctx = context.new(frame, step, key, input, 1)
  ctx.tried, ctx.problems, ctx.limits = value_of.copy(work.tried), step.problems, value_of.copy(work.step.limits)
  if work.feedback then ctx.feedback = work.feedback end
  local module = work.shared.held.modules[step.module]
  local goal, agents = value_of.copy(work.goal), value_of.copy(work.list)
  if module.atomic then return answer_of(step, native.atomic(module.plan, ctx, goal, agents)) end
  return answer_of(step, module.plan(ctx, goal, agents))
end

return M

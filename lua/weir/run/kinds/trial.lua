--- A step that an agent does in a trial of another version of a pipeline. What was done before, in the run that is reflected on
--- or in another trial, by the same version with the same options and the same input, is not done again.

local agent = require "weir.run.kinds.agent"
local memo_of = require "weir.reflection.memo"
local value_of = require "weir.value"

local M = { name = "agent" }

---@class weir.reflection.Trial what the steps of a trial share
---@field is_trial true
---@field held weir.Binding
---@field memo table<string, weir.reflection.Done>
---@field steps integer   that were asked for in this life
---@field reused integer  of these, that had been done before
---@field child fun(self, name: string): table the plan of a child pipeline

local function content_of(frame, step, input)
  local run, held = frame.run, frame.held
  return memo_of.content(step.module, held.pins[step.module], run:options_of(step, held), step.model,
    run.journal:ask("agent", step.module, input))
end

--- Makes one attempt.
function M.execute(frame, step, key, input, attempt, feedback)
  local shared = frame.planned
  frame.held = shared.held
  if feedback or not frame.run.journal or not memo_of.is_plain(step) then
    return agent.execute(frame, step, key, input, attempt, feedback)
  end
  local content = content_of(frame, step, input)
  frame.content, shared.steps = content, shared.steps + 1
  local done = shared.memo[content]
  if done then
    frame.reused, shared.reused = done.key, shared.reused + 1
    return value_of.copy(done.output), done.label
  end
  local output, label = agent.execute(frame, step, key, input, attempt, feedback)
  shared.memo[content] = { key = key, output = value_of.copy(output), label = label }
  return output, label
end

return M

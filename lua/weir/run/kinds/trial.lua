--- A step that an agent does in a trial of another version of a pipeline. What was done before, in the run that is reflected on
--- or in another trial, by the same version with the same options and the same input, is not done again.

local agent = require "weir.run.kinds.agent"
local failure = require "weir.failure"
local memo_of = require "weir.reflection.memo"
local value_of = require "weir.value"

local M = { name = "agent" }

---@class weir.reflection.Trial what the steps of a trial share
---@field is_trial true
---@field held weir.Binding
---@field memo table<string, weir.reflection.Done>
---@field steps integer   that were asked for in this life
---@field reused integer  of these, that had been done before
---@field saved { tokens: number, usd: number } what those took when they were done
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
    shared.saved.tokens, shared.saved.usd = shared.saved.tokens + done.usage.tokens, shared.saved.usd + done.usage.usd
    return value_of.copy(done.output), done.label
  end
  local meter = frame.run:meter(key)
  local ok, output, label = xpcall(agent.execute, failure.explain, frame, step, key, input, attempt, feedback)
  frame.run:unmeter(meter)
  if not ok then error(output, 0) end
  shared.memo[content] = { key = key, output = value_of.copy(output), label = label,
    usage = { tokens = meter.usage.tokens or 0, usd = meter.usage.usd or 0 } }
  return output, label
end

return M

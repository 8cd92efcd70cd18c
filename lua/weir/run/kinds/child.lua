--- A step that is a run of another pipeline. The child sees only its input; its steps stand in the
--- journal of its parent, under the step's key.

local failure = require "weir.failure"
local frames = require "weir.run.frame"
local group = require "weir.run.group"

local M = { name = "pipeline", has_steps = true }

local function check_input(plan, input, key)
  local ok, checked = plan.check_input(input)
  if ok then return checked end
  failure.raise("invalid", "step '%s': pipeline '%s': %s", key, plan.name, checked)
end

function M.execute(frame, step, key, input)
  local shared = frame.planned
  local plan = shared and shared.child and shared:child(step.pipeline) or frame.run:pipeline_of(step.pipeline)
  local data = { input = check_input(plan, input, key), run = frame.data.run, workspace = frame.data.workspace }
  local inner = frames.inner(frame, key .. "/", data)
  inner.pipeline = { plan = plan, prefix = key .. "/" }
  if plan.supervise then frame.run.is_supervised = true end -- a flow finds out as it goes
  inner.depth = (frame.depth or 0) + 1
  if inner.depth > 32 then failure.raise("limit", "step '%s': pipelines call each other more than 32 levels deep", key) end
  if plan.flow then return frame.run.run_flow(frames.leave_trial(inner), plan, data.input) end
  return group.output_of(inner, plan.body)
end

return M

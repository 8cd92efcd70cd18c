--- The whole of a run as programs read it: its record, and what was known at a step.

local json = require "weir.native.json"
local record_of = require "weir.view.record"
local shape = require "weir.view.shape"

local M = {}

local or_null = require("weir.value").or_null

local function attempts_of(step)
  local list = json.list {}
  for index, one in ipairs(step.attempts) do
    list[index] = { attempt = one.attempt, started_at = shape.time(one.from_ms), ended_at = shape.time(one.to_ms),
      error = shape.failure(one.error), delay = one.delay }
  end
  return list
end

--- A step; `attempts` are those that failed, `winner` is the branch of a speculation that counted, `why` is why its model was
--- asked, `timing` how the answer came, `items` what came of those of a large map, which are no steps.
---@param step weir.view.Step
---@return table
function M.step(step)
  local model = step.model or {}
  return { key = step.key, step = step.name, group = or_null(step.group), visit = step.visit, attempt = step.attempt,
    agent = or_null(step.by), version = or_null(step.version), status = step.status, started_at = shape.time(step.from_ms),
    ended_at = shape.time(step.to_ms), error = shape.failure(step.error), verdict = or_null(step.verdict), kept = or_null(step.kept),
    plan = or_null(step.plan), reused = or_null(step.reused),
    stopped = step.stopped or json.list {}, model = or_null(model.name), why = or_null(model.why), timing = or_null(model.timing),
    winner = or_null(step.decision and step.decision.winner), usage = or_null(step.usage),
    items = or_null(step.items), attempts = attempts_of(step) }
end

local function plans_of(record)
  local list = json.list {}
  for index, plan in ipairs(record.plans) do
    list[index] = { step = plan.step, prefix = plan.prefix, version = plan.version, planner = plan.planner, normal = or_null(plan.normal),
      estimate = or_null(plan.estimate), reused = or_null(plan.reused), edited_by = or_null(plan.edited_by), patch = or_null(plan.patch),
      error = shape.failure(plan.error) }
  end
  return list
end

--- A run with its input, StepData and steps, the plans that steps have made, and what was proposed after it, if anything was.
---@param record weir.view.Record
---@return table
function M.whole(record)
  local line = shape.run(record)
  line.started_at, line.ended_at = shape.time(record.started_ms), shape.time(record.ended_ms)
  line.input, line.data, line.parent = or_null(record.input), record_of.data(record), json.null
  line.of = shape.of(record.of)
  line.plans, line.steps = plans_of(record), json.list {}
  for index, step in ipairs(record.steps) do line.steps[index] = M.step(step) end
  if record.candidates and #record.candidates > 0 then
    line.candidates = json.list {}
    for index, one in ipairs(record.candidates) do line.candidates[index] = require("weir.view.candidates").shape(one) end
  end
  return line
end

--- StepData right after a step, and what came later.
---@param view table as `weir.run.history`, `at`, gives it
---@return table
function M.moment(view)
  local later = json.list {}
  for index, step in ipairs(view.later) do later[index] = { key = step.key, status = step.status } end
  return { run = view.run, pipeline = view.pipeline, version = view.version, step = or_null(view.key), entry = view.n,
    status = or_null(view.status), at = shape.time(view.at_ms), data = view.data, later = later }
end

return M

--- Goals as programs and people see them: what was planned for, by which plans, and what came of them.

local estimates = require "weir.planning.estimate"
local goal_of = require "weir.planning.goal"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local memory = require "weir.planning.memory"
local planned = require "weir.planning.show"
local shape = require "weir.view.shape"
local value_of = require "weir.value"

local M = {}

local or_null = value_of.or_null

--- What has become of a goal: one whose run was cancelled, or is gone, is no longer pursued. Does not wait.
---@param store weir.Store
---@param record weir.GoalRecord
---@return string "running", "finished", "failed", "rejected", "cancelled", "damaged"
function M.status(store, record)
  if record.status ~= "running" then return record.status end
  local row = store:row(record.run)
  if not row then return "cancelled" end
  return keeping.HAS_ENDED[row.status] and row.status ~= "finished" and row.status or "running"
end

local function plan_shape(plan)
  return { version = plan.version, status = plan.status, at = shape.time(plan.at_ms), seconds = or_null(plan.seconds),
    usd = or_null(plan.usd), estimate = or_null(plan.estimate), says = plan.estimate and estimates.show(plan.estimate) or json.null,
    reused = or_null(plan.reused), error = shape.failure(plan.error), agents = json.list(value_of.names(plan.pins or {})),
    steps = plan.normal and planned.steps(plan.normal) or json.list {}, normal = or_null(plan.normal) }
end

--- A goal with its plans.
---@param store weir.Store
---@param id string
---@param record weir.GoalRecord
---@return table
function M.shape(store, id, record)
  local plans = json.list {}
  for index, plan in ipairs(record.plans) do plans[index] = plan_shape(plan) end
  return { goal = id, text = or_null(record.text), want = json.list(value_of.names(record.want or {})), says = M.says(record),
    status = M.status(store, record), score = or_null(record.score), error = shape.failure(record.error),
    pipeline = or_null(record.pipeline), run = or_null(record.run), step = or_null(record.step), planner = or_null(record.planner),
    at = shape.time(record.at_ms), plans = plans }
end

--- A goal in few words; of one that cannot be read, that.
---@param record weir.GoalRecord
---@return string
function M.says(record)
  return record.status == "damaged" and "(cannot be read)" or goal_of.show(record)
end

--- Goals in short, the newest first: without their plans.
---@param store weir.Store
---@param limit integer
---@param before string|nil the id of the last one of the page before
---@return table[] items
---@return string|nil next what the next page stands before
function M.page(store, limit, before)
  local items, last = json.list {}, nil
  for found in memory.newest(store, limit, before) do
    local item = M.shape(store, found.key, found.value)
    item.plans = #item.plans
    items[#items + 1], last = item, found.key
  end
  return items, #items == limit and last or nil
end

return M

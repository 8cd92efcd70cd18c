--- A step that a person decides. Its output is the decision: {decision, by, comment, answer, at}.

local approval = require "weir.approval"
local failure = require "weir.failure"
local question = require "weir.run.question"
local sleep = require "weir.run.kinds.sleep"

local M = { name = "approval", is_durable = true }

local function value_of(evaluate, frame, key, field)
  if not evaluate then return nil end
  local value, message, code = evaluate(frame.data)
  if value == nil and message then failure.raise(code or "invalid", "step '%s': %s: %s", key, field, message) end
  return value
end

--- Asks as the fields of an approval say; gives the record of the decision. Waits durably.
---@param frame table
---@param step { name: string, approval: table, timeout: number? }
---@param key string
---@param input any what the person lets through; nil for a step that only asks
---@param attempt integer|nil each asks anew
---@return table record
function M.ask(frame, step, key, input, attempt)
  local fields = step.approval
  local title = value_of(fields.title, frame, key, "title")
  return question.ask(frame, key, { kind = "approval", title = title or ("%s: %s"):format(frame.run.plan.name, step.name),
    show = value_of(fields.show, frame, key, "show"), input = input, form = fields.form, who = fields.who,
    not_initiator = fields.not_initiator, quorum = fields.quorum, on_timeout = fields.on_timeout,
    occurrence = attempt,
    due_ms = step.timeout and sleep.after(step.timeout, frame.attempt_ms or frame.began_ms) or nil })
end

local function rejected(key, result)
  failure.raise("rejected", "step '%s': %s rejected it%s", key, result.by or "its time limit",
    result.comment and (", saying '%s'"):format(result.comment) or "")
end

--- The decision as an output. Raises `rejected` unless a rejection is to go on, and `timeout` when nobody decided and
--- the approval does not say what then.
---@param step table
---@param key string
---@param record table
---@return table
function M.result(step, key, record)
  local result, message, code = approval.result(record)
  if not result then failure.raise(code, "step '%s': %s", key, message) end
  if result.decision == "timeout" then failure.raise("timeout", "step '%s': nobody decided within %g s", key, step.timeout) end
  if result.decision == "reject" and step.approval.on_reject ~= "continue" then rejected(key, result) end
  return result
end

function M.execute(frame, step, key, _, attempt)
  local result = M.result(step, key, M.ask(frame, step, key, nil, attempt))
  return result, result.decision
end

return M

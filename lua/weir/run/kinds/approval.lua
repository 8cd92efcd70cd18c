--- A step that a person decides. Its output is the decision: {decision, by, comment, answer, at}.

local approval = require "weir.approval"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local ladder = require "weir.approval.ladder"
local question = require "weir.run.question"
local working = require "weir.schedule.working"

local M = { name = "approval", is_durable = true }

local function value_of(evaluate, frame, key, field)
  if not evaluate then return nil end
  local value, message, code = evaluate(frame.data)
  if value == nil and message then failure.raise(code or "invalid", "step '%s': %s: %s", key, field, message) end
  return value
end

-- When it is due, and what happens until then: of a question that is asked now, whose step began before.
local function times_of(frame, fields, from_ms)
  return function(asked_ms)
    local kept = fields.working and working.resolved(fields.working, frame.run.engine.project.settings.calendars or {})
    local hours = kept and working.read(kept) or working.always
    local due_ms = fields.limit and hours:after(from_ms or asked_ms, fields.limit)
    return due_ms, ladder.new({ remind = fields.remind, escalate = fields.escalate, working = kept }, asked_ms, hours)
  end
end

local ROUNDS = 20 -- in which the world may have changed while people thought about it

-- What has to be so: the output of an agent, asked for each time as a step of its own.
local function world_of(frame, step, key)
  local wanted = step.approval.precondition
  if not wanted then return function() return nil end end
  local handle = require("weir.run.context").new(frame, step, key, nil, 1)
  return function()
    return handle:step "precondition" { agent = wanted.agent, options = wanted.options,
      input = wanted.input and value_of(wanted.input, frame, key, "precondition") or nil }
  end
end

local function digest(value)
  local text, message, code = json.encode(value, { canonical = true })
  if not text then failure.raise(code or "invalid", "its precondition: %s", message) end
  return hash.sha256(text)
end

local function lets_through(record)
  local result = approval.result(record)
  return result ~= nil and result.decision == "approve"
end

--- Asks as the fields of an approval say; gives the record of the decision. Where a precondition is given it has to be as
--- it was shown when the run goes on; if it has changed, the question is another one and is asked anew. Waits durably.
---@param frame table
---@param step { name: string, approval: table }
---@param key string
---@param input any what the person lets through; nil for a step that only asks
---@param attempt integer|nil each asks anew
---@return table record
function M.ask(frame, step, key, input, attempt)
  local fields, look, from_ms = step.approval, world_of(frame, step, key), frame.attempt_ms or frame.began_ms
  local title = value_of(fields.title, frame, key, "title")
  local world = look()
  for round = 0, ROUNDS do
    local record = question.ask(frame, key, { kind = "approval", title = title or ("%s: %s"):format(frame.run.plan.name, step.name),
      show = value_of(fields.show, frame, key, "show"), input = input, form = fields.form, who = fields.who,
      not_initiator = fields.not_initiator, quorum = fields.quorum, weights = fields.weights, on_timeout = fields.on_timeout,
      occurrence = attempt, times = times_of(frame, fields, round == 0 and from_ms or nil), world = world,
      again = round > 0 and round or nil })
    if world == nil or not lets_through(record) then return record end
    local now = look()
    if digest(now) == digest(world) then return record end
    world = now
  end
  failure.raise("limit", "step '%s': %d times what it was asked about had changed when it was answered", key, ROUNDS)
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
  if result.decision == "timeout" then failure.raise("timeout", "step '%s': nobody decided within %g s", key, step.approval.limit) end
  if result.decision == "reject" and step.approval.on_reject ~= "continue" then rejected(key, result) end
  return result
end

function M.execute(frame, step, key, _, attempt)
  local result = M.result(step, key, M.ask(frame, step, key, nil, attempt))
  return result, result.decision
end

return M

--- A step that may be started only once and was under way when the process ended: nobody here knows
--- whether it was done, so a person is asked. Approved: it was done, and the answer is its output. Rejected:
--- it was not done, and is started again.

local clock = require "weir.port.clock"
local question = require "weir.run.question"

local M = {}

--- Asks whether the step was carried out. Waits durably.
---@param frame table
---@param step table of the plan
---@param key string
---@param input any
---@return boolean done
---@return any output
function M.settle(frame, step, key, input)
  local journal = frame.run.journal
  local record = question.ask(frame, key, { kind = "in_doubt", occurrence = journal.begun[key],
    title = ("was step '%s' carried out before the host ended?"):format(key),
    show = { agent = step.agent, input = input, began_at = clock.rfc3339(journal.began[key]),
      idempotency_key = frame.run.id .. "/" .. key } })
  if record.decision == "reject" then return false end
  if record.answer == nil then return true, true end
  return true, record.answer
end

return M

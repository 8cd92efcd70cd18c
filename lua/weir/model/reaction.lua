--- What is done when a model refuses, by the class of the refusal. Pure.
---
---   retry      the same model again after a pause, as often as it may be asked
---   fall_back  the next model
---   resume     as retry and fall_back; once something was given out only if the one that ran the call says how to go on
---   fail       nobody else is asked: the request itself is at fault, or somebody has to do something

local M = {}

-- In the order in which they are tried.
local ACTIONS = {
  auth = { "fail" }, invalid_request = { "fail" }, redirect = { "fail" }, refusal = { "fail" }, cancelled = { "fail" },
  not_found = { "fall_back" }, context_length = { "fall_back" }, too_large = { "fall_back" },
  conflict = { "retry" }, -- another model would not help
  rate_limit = { "retry", "fall_back" }, overloaded = { "retry", "fall_back" }, server = { "retry", "fall_back" },
  timeout = { "retry", "fall_back" }, connection = { "retry", "fall_back" }, protocol = { "retry", "fall_back" },
  cut = { "resume", "fall_back" },
}

--- The classes, sorted.
---@type string[]
M.classes = require("weir.value").names(ACTIONS)

--- What is done about a refusal, in order.
---@param detail { class: string?, at_once: boolean? } at_once: asking the same model again is of no use
---@param given table<string, string|string[]>|nil actions by class, in the place of the table's
---@return string[]
function M.actions(detail, given)
  local chosen = given and given[detail.class] or ACTIONS[detail.class] or { "fail" }
  if type(chosen) == "string" then chosen = { chosen } end
  if detail.at_once and chosen[1] ~= "fail" then return { "fall_back" } end
  return chosen
end

--- Seconds until the next attempt at the same model: what the server asked for, and a little of its own so that not all come
--- back at once; else drawn from 0 to backoff * 2^(attempt - 1), at most `backoff_max`. Source of the drawing: "full jitter",
--- Brooker, "Exponential Backoff And Jitter", 2015.
---@param attempt integer the one that failed, from 1
---@param retry_after number|nil seconds
---@param options { backoff: number, backoff_max: number }
---@param draw fun(): number in [0, 1)
---@return number
function M.delay(attempt, retry_after, options, draw)
  if retry_after and retry_after > 0 then return retry_after + draw() * math.min(1, retry_after / 10) end
  return draw() * math.min(options.backoff_max, options.backoff * 2 ^ (attempt - 1))
end

return M

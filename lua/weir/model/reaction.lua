--- What is done when a model refuses, by the class of the refusal. Pure.
---
---   retry      the same model again after a pause, and when it has had all its attempts, the next one
---   fall_back  the next model at once
---   resume     as retry, if the one that ran the call says how to go on; else as retry while nothing was given out
---   fail       nobody else is asked: the request itself is at fault, or somebody has to do something

local M = {}

local ACTIONS = {
  auth = "fail", invalid_request = "fail", redirect = "fail", refusal = "fail", cancelled = "fail",
  not_found = "fall_back", context_length = "fall_back", too_large = "fall_back",
  conflict = "retry", rate_limit = "retry", overloaded = "retry", server = "retry", timeout = "retry", connection = "retry",
  protocol = "retry", cut = "resume",
}

local SAME_ONLY = { conflict = true } -- another model would not help

--- The classes, sorted.
---@type string[]
M.classes = require("weir.value").names(ACTIONS)

--- What to do about a refusal.
---@param detail { class: string?, fall_back: boolean? }|nil fall_back: a retry could not help, such as when a name cannot
---  be resolved
---@param given table<string, string>|nil actions by class, in the place of the table's
---@return "retry"|"fall_back"|"resume"|"fail"
function M.to(detail, given)
  local class = detail and detail.class
  local action = given and given[class] or ACTIONS[class] or "fail"
  if action == "retry" and detail.fall_back then return "fall_back" end
  return action
end

--- Whether another model is asked once this one has had all its attempts.
---@param class string|nil
---@return boolean
function M.goes_on(class)
  return not SAME_ONLY[class]
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

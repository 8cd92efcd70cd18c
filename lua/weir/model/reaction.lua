--- What is done when a model refuses, by the class of the refusal. Pure.
---
---   retry      the same model again after a pause, and when it has had all its attempts, the next one
---   fall_back  the next model at once
---   resume     as retry, if the one that ran the call says how to go on; else as retry while nothing was given out
---   fail       nobody else is asked: the request itself is at fault, or somebody has to do something

local errors = require "weir.model.errors"

local M = {}

--- The classes, sorted.
---@type string[]
M.classes = require("weir.value").names(errors.classes)

--- What to do about a refusal.
---@param detail weir.model.Detail|nil
---@param given table<string, string>|nil actions by class, in the place of the table's
---@return "retry"|"fall_back"|"resume"|"fail"
function M.to(detail, given)
  local class = detail and detail.class
  return given and given[class] or errors.actions(detail or {})[1]
end

--- Whether another model is asked once this one has had all its attempts.
---@param class string|nil
---@return boolean
function M.goes_on(class)
  local known = errors.classes[class]
  return known ~= nil and (known.actions[1] == "resume" or known.actions[2] == "fall_back" or known.actions[1] == "fall_back")
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

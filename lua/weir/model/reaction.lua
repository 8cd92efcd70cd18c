--- What is done when a model refuses, by the class of the refusal. Pure.
---
---   retry      the same model again after a pause, as often as it may be asked
---   fall_back  the next model
---   resume     as retry and fall_back; once something was given out only if the one that ran the call says how to go on
---   fail       nobody else is asked: the request itself is at fault, or somebody has to do something

local errors = require "weir.model.errors"

local M = {}

--- The classes, sorted.
---@type string[]
M.classes = require("weir.value").names(errors.classes)

-- What has not been given out yet may as well be asked of another model.
local RESUME = { "resume", "fall_back" }

--- What is done about a refusal, in order.
---@param detail weir.model.Detail
---@param given table<string, string|string[]>|nil actions by class, in the place of those of `weir.model.errors`
---@return string[]
function M.actions(detail, given)
  local chosen = given and given[detail.class] or errors.actions(detail)
  if type(chosen) == "string" then chosen = { chosen } end
  if detail.at_once and chosen[1] ~= "fail" then return { "fall_back" } end
  return chosen[1] == "resume" and RESUME or chosen
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

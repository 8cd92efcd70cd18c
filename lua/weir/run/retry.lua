--- When a failed attempt is followed by another, and after how long. The delay is drawn, and kept in the
--- journal: the run's own generator is not touched, since a replay does not wait again.

local random = require "weir.port.random"

local M = {}

local NEVER_AGAIN = { cancelled = true, conflict = true, invalid = true, denied = true, rejected = true }

--- The policy a step gets from its `retry` field.
---@param fields table|nil {attempts, backoff, factor, max, jitter, on, not_on}; seconds
---@return table
function M.policy(fields)
  fields = fields or {}
  local function set(list)
    if not list then return nil end
    local codes = {}
    for _, code in ipairs(list) do codes[code] = true end
    return codes
  end
  return { attempts = fields.attempts or 1, backoff = fields.backoff or 1, factor = fields.factor or 2,
    max = fields.max or 60, jitter = fields.jitter or 0.1, on = set(fields.on), not_on = set(fields.not_on) }
end

--- Whether another attempt follows.
---@param policy table
---@param attempt integer the one that failed, from 1
---@param code string
---@return boolean
function M.again(policy, attempt, code)
  if attempt >= policy.attempts then return false end
  if policy.not_on and policy.not_on[code] then return false end
  if policy.on then return policy.on[code] == true end
  return not NEVER_AGAIN[code]
end

--- Seconds to wait before the next attempt: backoff * factor^(attempt - 1), at most max, spread by jitter.
---@param policy table
---@param attempt integer the one that failed
---@return number
function M.delay(policy, attempt)
  if policy.backoff == 0 then return 0 end -- however often: the factor may have grown out of bounds
  local delay = math.min(policy.max, policy.backoff * policy.factor ^ (attempt - 1))
  return delay * (1 + policy.jitter * (2 * random.float() - 1))
end

return M

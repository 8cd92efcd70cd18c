--- A version on trial as programs read it.

local canary = require "weir.healing.canary"
local clock = require "weir.port.clock"
local or_null = require("weir.value").or_null

local M = {}

--- One trial, with what came of it so far.
---@param store weir.Store
---@param one weir.Canary
---@return table
function M.shape(store, one)
  local counts = one.counts or { old = canary.counts(store, one.name, one.old), new = canary.counts(store, one.name, one.new) }
  return { name = one.name, state = one.state, percent = one.percent, policy = one.policy, by = one.by, at = clock.rfc3339(one.at_ms),
    ended_at = or_null(one.ended_ms and clock.rfc3339(one.ended_ms)), reason = or_null(one.reason),
    old = { version = one.old, ok = counts.old.ok, failed = counts.old.failed },
    new = { version = one.new, ok = counts.new.ok, failed = counts.new.failed } }
end

return M

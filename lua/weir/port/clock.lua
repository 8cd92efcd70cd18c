--- The one place that asks what time it is. Under a seed the clock is virtual.

local native = require "weir.native.scheduler"

local M = { now = native.now, wall = native.wall, wall_ms = native.wall_ms, sleep = native.sleep }

--- A time as programs read it: RFC 3339, UTC, with milliseconds.
---@param ms integer since 1970
---@return string
function M.rfc3339(ms)
  return os.date("!%Y-%m-%dT%H:%M:%S", ms // 1000) .. (".%03dZ"):format(ms % 1000)
end

return M

--- The one place that asks what time it is. Under a seed the clock is virtual.

local native = require "weir.native.scheduler"

local M = { now = native.now, wall = native.wall, wall_ms = native.wall_ms, sleep = native.sleep }

local last_second, last_text

--- A time as programs read it: RFC 3339, UTC, with milliseconds.
---@param ms integer since 1970
---@return string
function M.rfc3339(ms)
  local second = ms // 1000
  if second ~= last_second then last_second, last_text = second, os.date("!%Y-%m-%dT%H:%M:%S", second) end
  return ("%s.%03dZ"):format(last_text, ms % 1000)
end

return M

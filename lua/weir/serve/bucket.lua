--- A token bucket for whoever calls `take`: so many at once, then so many a second, in the order of the calls.

local clock = require "weir.port.clock"

local M = {}

---@class weir.Bucket
local Bucket = {}
Bucket.__index = Bucket

--- Takes a token. Waits until there is one.
function Bucket:take()
  local now = clock.now()
  self.tokens, self.at = math.min(self.burst, self.tokens + (now - self.at) * self.per_second), now
  self.tokens = self.tokens - 1 -- below zero: those who wait have theirs already
  if self.tokens < 0 then clock.sleep(-self.tokens / self.per_second) end
end

--- A bucket that is full.
---@param per_second number
---@param burst number tokens that it holds
---@return weir.Bucket
function M.new(per_second, burst)
  return setmetatable({ per_second = per_second, burst = burst, tokens = burst, at = clock.now() }, Bucket)
end

return M

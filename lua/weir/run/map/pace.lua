--- How many items of a map run at once. A fixed number; or between two limits, as what is asked can take it: doubled, then
--- one more for each round that went well, halved when somebody says `full` or items take much longer than they did
--- (additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the Increase and Decrease Algorithms for
--- Congestion Avoidance in Computer Networks", 1989). Never waits.

local clock = require "weir.port.clock"

local M = {}

local SLOWER = 2 -- times the best round, above which the items are too many

---@class weir.Pace
---@field target integer how many may run at once
local Pace = {}
Pace.__index = Pace

--- @param concurrency integer|{ min: integer, max: integer }
function M.new(concurrency)
  if type(concurrency) == "number" then return setmetatable({ target = concurrency, max = concurrency }, Pace) end
  return setmetatable({ target = concurrency.min, min = concurrency.min, max = concurrency.max, is_starting = true, done = 0,
    seconds = 0, eased_s = -math.huge, decreases = 0 }, Pace)
end

local function ease(self)
  local now = clock.now()
  if now - self.eased_s < (self.best_s or 0) then return end -- what began before it was halved says nothing new
  self.target = math.max(self.min, self.target // 2)
  self.is_starting, self.eased_s, self.done, self.seconds = false, now, 0, 0
  self.decreases = self.decreases + 1
end

--- Has no more than so many run at once from now on, whatever was asked for.
---@param limit integer
function Pace:cap(limit)
  self.max = math.min(self.max, limit)
  self.min = self.min and math.min(self.min, limit)
  self.target = math.min(self.target, limit)
end

--- Somebody said that it is too much.
function Pace:full()
  if self.min then ease(self) end
end

--- An item has finished.
---@param seconds number that it took
function Pace:finished(seconds)
  if not self.min then return end
  self.done, self.seconds = self.done + 1, self.seconds + seconds
  if self.done < self.target then return end
  local mean = self.seconds / self.done
  self.done, self.seconds = 0, 0
  self.best_s = math.min(self.best_s or mean, mean)
  if mean > SLOWER * self.best_s and mean > 0.001 then return ease(self) end
  self.target = math.min(self.max, self.is_starting and self.target * 2 or self.target + 1)
end

return M

--- How fast a queue drains, as far as it was measured, and when whoever found it full should come again.

local clock = require "weir.port.clock"

local M = {}

local WINDOW = 5 -- seconds over which the rate is measured at least
local SHORTEST, LONGEST, UNKNOWN = 1, 3600, 60 -- seconds of Retry-After
local ROOM = 0.01 -- of the queue that has to be free when the sender comes again

---@class weir.Drain
---@field rate number|nil items a second that left lately
---@field left integer    items that left since `at`
local Drain = {}
Drain.__index = Drain

--- A measure that begins now.
---@return weir.Drain
function M.new()
  return setmetatable({ at = clock.now(), left = 0 }, Drain)
end

-- What is not over yet counts as soon as it says anything.
local function measure(self)
  local seconds = clock.now() - self.at
  if seconds < WINDOW then return self.rate or (self.left > 0 and self.left / math.max(seconds, 0.001) or nil) end
  self.rate = self.left / seconds
  self.at, self.left = clock.now(), 0
  return self.rate
end

--- Says that items have left the queue.
---@param count integer|nil default 1
function Drain:note(count)
  measure(self)
  self.left = self.left + (count or 1)
end

--- In how many seconds there will be room, at the rate at which items left lately; 60 when none did.
---@param limit integer of the queue
---@return integer from 1 to 3600
function Drain:retry_after(limit)
  local rate = measure(self)
  if not rate or rate <= 0 then return UNKNOWN end
  return math.tointeger(math.max(SHORTEST, math.min(LONGEST, math.ceil(math.max(1, limit * ROOM) / rate))))
end

return M

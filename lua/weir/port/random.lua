--- The one place that asks for randomness. Under a virtual clock it is drawn from the seed.

local hash = require "weir.native.hash"
local native = require "weir.native.scheduler"

local M = {}

local POOL_BYTES = 4096 -- asked for at once: a call of the system costs as much as a step

local pool, at = "", 1

local function draw()
  if at > #pool then pool, at = hash.random(POOL_BYTES), 1 end
  local number
  number, at = string.unpack("<I8", pool, at)
  return number
end

--- A float in [0, 1).
---@return number
function M.float()
  if native.is_virtual() then return native.random() end
  return (draw() >> 11) * 0x1p-53
end

--- An integer in [0, 2^62).
---@return integer
function M.integer()
  if native.is_virtual() then return (math.floor(native.random() * 2^31) << 31) | math.floor(native.random() * 2^31) end
  return draw() >> 2
end

return M

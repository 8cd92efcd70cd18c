--- The one place that asks for randomness. Under a virtual clock it is drawn from the seed.

local hash = require "weir.native.hash"
local native = require "weir.native.scheduler"

local M = {}

--- A float in [0, 1).
---@return number
function M.float()
  if native.is_virtual() then return native.random() end
  return (string.unpack("<I8", hash.random(8)) >> 11) * 0x1p-53
end

--- An integer in [0, 2^62).
---@return integer
function M.integer()
  if native.is_virtual() then return (math.floor(native.random() * 2^31) << 31) | math.floor(native.random() * 2^31) end
  return string.unpack("<I8", hash.random(8)) >> 2
end

return M

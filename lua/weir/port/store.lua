--- The one place that opens stores.

local checkpoint = require "weir.native.checkpoint"

local M = { encode = checkpoint.encode, decode = checkpoint.decode, fingerprint = require "weir.native.fingerprint" }

--- Opens the store of a folder, or one in memory (":memory:").
---@param path string
---@param options table|nil see docs/store.md
---@return userdata|nil store
---@return string? message
---@return string? code conflict, invalid, denied, full, corrupt, unavailable
function M.open(path, options)
  return checkpoint.open(path, options)
end

return M

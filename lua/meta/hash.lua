---@meta weir.native.hash
-- luacheck: ignore 212 241

--- SHA-256 and random bytes for what must not load libcrypto. Nothing here waits.
local M = {}

---@param bytes string
---@param form "hex"|"raw"|nil 64 hexadecimal digits (default), or 32 bytes
---@return string
function M.sha256(bytes, form) end

---@param count integer 1..1048576
---@return string|nil bytes
---@return string|nil message
---@return string|nil code `unavailable`
function M.random(count) end

return M

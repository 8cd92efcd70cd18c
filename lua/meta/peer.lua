---@meta weir.native.peer
-- luacheck: ignore 212 241

--- Who stands at the other end of a Unix socket.
local M = {}

--- The user and the process that connected. Does not wait.
---@param descriptor integer of a connected Unix socket
---@return integer|nil user_id
---@return integer|string process_id or the message
---@return string|nil code `invalid`
function M.credentials(descriptor) end

return M

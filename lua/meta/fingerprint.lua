---@meta weir.native.fingerprint
-- luacheck: ignore 212 241

--- A number for plain data, the same for equal data. No defence against somebody who looks for two values with
--- one fingerprint. Raises `invalid` for what is no plain data. Does not wait.
---@param ... any
---@return integer
local function fingerprint(...) end

return fingerprint

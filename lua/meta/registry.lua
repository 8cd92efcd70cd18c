---@meta weir.native.registry
-- luacheck: ignore 212 241

--- Names to versions, each known by a content hash; one of them is active. Nothing here waits.
local M = {}

---@class weir.native.Registry
local Registry = {}

---@return weir.native.Registry
function M.new() end

--- Keeps a value as a version of a name; it is not active yet.
---@param name string
---@param hash string
---@param value any
---@return true
function Registry:register(name, hash, value) end

--- The active version, or the one with that hash.
---@param name string
---@param hash string|nil
---@return any value
---@return string hash or message
---@return string|nil code `not_found`
function Registry:lookup(name, hash) end

--- Makes a version the active one.
---@param name string
---@param hash string
---@return string|nil before the hash that was active, if any; or nil, message, `not_found`
function Registry:activate(name, hash) end

--- Says that somebody still needs a version.
---@param name string
---@param hash string
---@return integer|nil pins or nil, message, `not_found`
function Registry:pin(name, hash) end

--- Takes one pin back. Raises when there is none.
---@param name string
---@param hash string
---@return integer|nil pins or nil, message, `not_found`
function Registry:unpin(name, hash) end

--- Forgets a version.
---@param name string
---@param hash string
---@return true|nil
---@return string|nil message
---@return string|nil code `conflict` while it is active or pinned, `not_found`
function Registry:retire(name, hash) end

---@return { name: string, version: string, active: boolean, pins: integer }[]
function Registry:list() end

return M

---@meta weir.native.secret
-- luacheck: ignore 212 241

--- Secrets of the host: handles of them, where their values come from, texts without them. Nothing here gives a value to
--- Lua. Programs use `weir.secret`.
local M = {}

--- Names a secret; its tostring is `secret://NAME`, and those of one name are equal.
---@class weir.SecretHandle

--- What a command prints, kept in the host; wiped when it is closed.
---@class weir.SecretCollector
local Collector = {}

--- Takes values out of one text that comes in pieces.
---@class weir.SecretFilter
local Filter = {}

--- A handle. Raises when the name is none. Does not wait.
---@param name string 1 to 128 letters, digits or any of _-./
---@return weir.SecretHandle
function M.handle(name) end

---@param value any
---@return boolean
function M.is_handle(value) end

---@param handle weir.SecretHandle
---@return string
function M.name(handle) end

---@param handle weir.SecretHandle
---@return boolean
function M.is_loaded(handle) end

--- It has no value until one is loaded again; the old one is still found in texts.
---@param handle weir.SecretHandle
function M.forget(handle) end

--- Takes the value of a variable of the environment. Does not wait.
---@param handle weir.SecretHandle
---@param variable string
---@return true|nil
---@return string|nil message
---@return string|nil code `not_found`, `invalid` (empty), `limit` (more than 65,536 bytes)
function M.from_environment(handle, variable) end

--- Takes what a file holds, without the end of its last line. Blocks as the disk.
---@param handle weir.SecretHandle
---@param path string
---@return true|nil
---@return string|nil message
---@return string|nil code `not_found`, `denied` (others may read it, it belongs to somebody else), `invalid`, `limit`
function M.from_file(handle, path) end

--- A collector of the output of one command.
---@return weir.SecretCollector
function M.collector() end

--- Takes what a descriptor has to read. Does not wait where the descriptor does not.
---@param descriptor integer
---@return integer|nil bytes 0: none now; nil at the end
function Collector:take(descriptor) end

--- Takes the first line of what was collected.
---@param handle weir.SecretHandle
---@param collector weir.SecretCollector
---@param where string for messages
---@return true|nil
---@return string|nil message
---@return string|nil code `invalid`, `limit`
function M.from_collector(handle, collector, where) end

--- The names of the environment's variables.
---@return string[]
function M.variables() end

--- A filter for one text.
---@return weir.SecretFilter
function M.filter() end

--- Takes the next piece. What may be the beginning of a value is held back until the next one.
---@param piece string
---@return string text what may go on by now
function Filter:feed(piece) end

--- What was held back. From here on it is a new text.
---@return string
function Filter:finish() end

--- Whether any value was loaded that is long enough to be looked for.
---@return boolean
function M.any() end

--- A text with `[secret NAME]` in the place of every loaded value of 8 bytes and more; the same text when none stands in it.
---@param text string
---@return string
function M.redact(text) end

return M

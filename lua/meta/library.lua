---@meta weir.native.library
-- luacheck: ignore 212 241

--- The files of the library, as the build has compiled them.
local M = {}

---@class weir.native.Library
local Library = {}

--- Loads a file, without parsing it where the build has compiled its very text. Does not wait. Raises what is wrong with it.
---@param path string
---@param name string of the chunk, such as `=weir/task.lua`
---@return function|nil  nil: there is no such file
function Library:load(path, name) end

--- What the build has compiled; a file that is missing or damaged has nothing in it. Does not wait.
---@param path string
---@return weir.native.Library
function M.open(path) end

return M

---@meta weir.native.coroutine
-- luacheck: ignore 212 241

--- The `coroutine` library of the host: as the manual of Lua 5.4 has it, and a task may lose the processor or
--- wait inside a coroutine that Lua code made itself. It is the global `coroutine` everywhere.
local M = {}

---@param body fun(...): ...
---@return thread
function M.create(body) end

---@param body fun(...): ...
---@return fun(...): ...
function M.wrap(body) end

---@param co thread
---@param ... any
---@return boolean ok
---@return any ...
function M.resume(co, ...) end

--- Raises outside of a coroutine: a task's own function is none.
---@param ... any
---@return any ...
function M.yield(...) end

--- A coroutine below which a task waits is `normal`: it cannot be resumed or closed.
---@param co thread
---@return "suspended"|"running"|"normal"|"dead"
function M.status(co) end

---@return thread
---@return boolean is_main true in a task's own function too
function M.running() end

---@param co thread|nil
---@return boolean
function M.isyieldable(co) end

--- What it has to close may not wait.
---@param co thread
---@return boolean ok
---@return any err
function M.close(co) end

return M

--- How far something has come: one value by name that only moves from what was seen to what follows. Of all who
--- would move it from the same place one does; so a nominal time of a schedule is claimed exactly once, in one
--- transaction with what it starts.

local place = require "weir.queue.place"

local M = {}

local SPACE = "watermarks"

--- How far it has come. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param name string such as "schedule/nightly"
---@return any value nil: nowhere yet
---@return integer version 0: nowhere yet
function M.get(store, name)
  return place.read(store, SPACE, name)
end

--- The operations that move it, for a batch that is refused with `conflict` when another was faster. Does not wait.
---@param name string
---@param expected_version integer as `get` gave it
---@param value any plain data, not nil
---@return table[] operations
function M.operations(name, expected_version, value)
  return { { op = "cas", space = SPACE, key = name, version = expected_version, value = value } }
end

return M

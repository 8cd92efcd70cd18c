--- Removes rows that are over from a space of a store, many in one transaction. One that was written anew since it was read
--- stays, and with it those of its transaction: the next sweep meets them again.

local failure = require "weir.failure"

local M = {}

local TOGETHER = 100

--- Waits for the disk. Raises what the store refuses with.
---@param store weir.Store
---@param space string
---@param rows fun(): { key: string, value: any, version: integer, damaged: true|nil }|nil as `weir.pages` gives them
---@param is_over fun(row: table): boolean not asked of what is damaged, which stays
---@param options { together: integer?, on_removed: fun(operations: table[])? }|nil together: rows of one transaction, default
---  100; on_removed: called with each transaction that has been committed
---@return integer removed
function M.rows(store, space, rows, is_over, options)
  local together, on_removed = options and options.together or TOGETHER, options and options.on_removed
  local operations, removed = {}, 0
  local function flush()
    if #operations == 0 then return end
    local done, message, code = store:batch(operations)
    if not done and code ~= "conflict" then failure.raise(code or "failed", "%s", message) end
    if done then
      removed = removed + #operations
      if on_removed then on_removed(operations) end
    end
    operations = {}
  end
  for row in rows do
    if not row.damaged and is_over(row) then
      operations[#operations + 1] = { op = "delete", space = space, key = row.key, version = row.version }
    end
    if #operations == together then flush() end
  end
  flush()
  return removed
end

return M

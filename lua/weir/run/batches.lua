--- Many operations on the store, in as few transactions as hold them. What takes one is done whole or not at all; what
--- takes more is `is_long`, and whoever writes it sees to it that a half is told from the whole.

local failure = require "weir.failure"

local M = {}

local OPERATIONS, BYTES = 8000, 64 << 20 -- of one transaction

---@class weir.Batches
---@field has_begun boolean whether some of it is on disk
local Batches = {}
Batches.__index = Batches

--- Whether so much takes more than one transaction.
---@param count integer operations
---@param bytes integer
---@return boolean
function M.is_long(count, bytes)
  return count > OPERATIONS or bytes > BYTES
end

--- Collects operations for a store.
---@param store userdata
---@return weir.Batches
function M.new(store)
  return setmetatable({ store = store, operations = {}, bytes = 0, has_begun = false }, Batches)
end

--- Writes what was collected. Waits for the disk. Raises {code, message} as `store:batch` refuses.
function Batches:commit()
  if #self.operations == 0 then return end
  local done, message, code, position = self.store:batch(self.operations)
  if done then
    self.operations, self.bytes, self.has_begun = {}, 0, true
    return
  end
  local operation = self.operations[position or 0]
  if code == "conflict" and operation and operation.key then
    message = ("'%s' of space '%s' is in the store already"):format(operation.key, operation.space)
  end
  failure.raise(code or "failed", "%s", message)
end

--- Adds an operation; writes those before it when they are enough for a transaction.
---@param operation table as of `store:batch`
---@param size integer bytes, about
function Batches:add(operation, size)
  if M.is_long(#self.operations + 1, self.bytes + size) then self:commit() end
  self.operations[#self.operations + 1], self.bytes = operation, self.bytes + size
end

return M

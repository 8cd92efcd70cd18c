--- A gate: any number of tasks wait until it is opened, which happens once.

local native = require "weir.native.scheduler"

local M = {}

---@class weir.Gate
---@field is_open boolean
local Gate = {}
Gate.__index = Gate

--- A closed gate.
---@return weir.Gate
function M.new()
  return setmetatable({ is_open = false, waiters = {} }, Gate)
end

local function forget(self, waiter)
  for index, other in ipairs(self.waiters) do
    if other == waiter then return table.remove(self.waiters, index) end
  end
end

--- Waits until the gate is open.
---@param what string for those who ask what a task waits for
---@param timeout number|nil seconds
---@return true|nil is_open nil, message, "timeout"
function Gate:wait(what, timeout)
  if self.is_open then return true end
  local waiter = native.waiter()
  self.waiters[#self.waiters + 1] = waiter
  local results = table.pack(pcall(waiter.wait, waiter, what, timeout))
  forget(self, waiter)
  if not results[1] then error(results[2], 0) end
  if self.is_open then return true end
  return table.unpack(results, 2, results.n)
end

--- Has a waiter woken when the gate opens, for those who wait for something else beside.
---@param waiter userdata of `weir.native.scheduler.waiter`
function Gate:tell(waiter)
  if self.is_open then return waiter:wake() end
  self.waiters[#self.waiters + 1] = waiter
end

--- Lets everybody through, now and from now on.
function Gate:open()
  if self.is_open then return end
  self.is_open = true
  local waiters = self.waiters
  self.waiters = {}
  for _, waiter in ipairs(waiters) do waiter:wake() end
end

return M

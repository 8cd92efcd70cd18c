--- A lock: what it protects is done by one task at a time, in the order in which they came.

local native = require "weir.native.scheduler"

local M = {}

---@class weir.Lock
---@field is_held boolean
---@field what string for those who ask what a task waits for
---@field turns { waiter: userdata, has_it: boolean }[] of those who wait, the first one first
local Lock = {}
Lock.__index = Lock

--- A lock that nobody holds.
---@param what string such as "a reload"
---@return weir.Lock
function M.new(what)
  return setmetatable({ is_held = false, what = what, turns = {} }, Lock)
end

-- Whoever is next has the lock before it runs again, so that nobody comes in between.
local function release(self)
  local turn = table.remove(self.turns, 1)
  if not turn then
    self.is_held = false
    return
  end
  turn.has_it = true
  turn.waiter:wake()
end

local function forget(self, turn)
  for index, other in ipairs(self.turns) do
    if other == turn then return table.remove(self.turns, index) end
  end
end

local function acquire(self)
  if not self.is_held then
    self.is_held = true
    return
  end
  local turn = { waiter = native.waiter(), has_it = false }
  self.turns[#self.turns + 1] = turn
  local ok, err = pcall(turn.waiter.wait, turn.waiter, self.what)
  if ok then return end
  if turn.has_it then release(self) else forget(self, turn) end
  error(err, 0)
end

--- Calls a function while nobody else holds the lock, and gives what it returns. Waits for those who came before. Raises what
--- the function raises. It may not ask for the same lock.
---@param body fun(...): ...
---@param ... any its arguments
---@return any ...
function Lock:hold(body, ...)
  acquire(self)
  local results = table.pack(pcall(body, ...))
  release(self)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return M

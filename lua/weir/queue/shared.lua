--- What all who use a queue in this process share: who waits, what is being taken, until when, by a clock that is never
--- set, the leases last that were given out here, and the latest moment that was seen. Host loop only.

local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"

local M = {}

local STEP_BACK = 60000 -- ms by which the wall clock may be set back without anybody noticing

---@class weir.QueueShared
---@field taking table<string, true>  ids of items of which it is not known yet whether they were taken or moved
---@field lanes table<string, true>   ordering keys of those
local Shared = {}
Shared.__index = Shared

local all_shared = setmetatable({}, { __mode = "k" })

--- What is shared of a queue.
---@param store weir.Store
---@param name string
---@return weir.QueueShared
function M.of(store, name)
  local by_name = all_shared[store]
  if not by_name then
    by_name = {}
    all_shared[store] = by_name
  end
  by_name[name] = by_name[name] or setmetatable({ waiters = {}, taking = {}, lanes = {}, held = {}, last_ms = 0 }, Shared)
  return by_name[name]
end

--- The wall clock, kept from going back a little.
---@return integer ms since 1970
function Shared:now_ms()
  local now = clock.wall_ms()
  if now < self.last_ms and self.last_ms - now < STEP_BACK then return self.last_ms end
  self.last_ms = now
  return now
end

-- Waking --------------------------------------------------------------------------------------------

--- One who waits looks again; if it finds something it wakes the next one.
function Shared:nudge()
  local first = table.remove(self.waiters, 1)
  if not first then return end
  first.is_woken = true
  first.waiter:wake()
end

local function forget_waiter(self, entry)
  for index, other in ipairs(self.waiters) do
    if other == entry then return table.remove(self.waiters, index) end
  end
end

--- Waits until somebody nudges. Raises `cancelled`.
---@param name string of the queue
---@param seconds number at the most
function Shared:rest(name, seconds)
  local entry = { waiter = native.waiter() }
  self.waiters[#self.waiters + 1] = entry
  local ok, err = pcall(entry.waiter.wait, entry.waiter, ("an item of queue '%s'"):format(name), seconds)
  forget_waiter(self, entry)
  if entry.is_woken and native.cancelled() then self:nudge() end -- it was woken for something, and does not look
  if not ok then error(err, 0) end
end

-- What is handed out --------------------------------------------------------------------------------

--- Says that a lease given out here lasts from now.
---@param id string
---@param seconds number
function Shared:hold(id, seconds)
  self.held[id] = clock.now() + seconds
end

--- Seconds that a lease given out here lasts still.
---@param id string
---@return number 0 or less: none does
function Shared:held_for(id)
  return (self.held[id] or 0) - clock.now()
end

--- Whether a lease given out here lasts still.
---@param id string
---@return boolean
function Shared:is_held(id)
  local held = self.held[id]
  if held and held > clock.now() then return true end
  self.held[id] = nil
  return false
end

--- An item that was handed out is so no more.
---@param id string
function Shared:let_go(id)
  self.held[id] = nil
  self:nudge()
end

--- Nobody else of this process takes or moves these until it is known whether it was done. Waits as `body` does.
---@param marks { id: string, key: string? }[]
---@param body fun(): ...
---@return ... what it gives
function Shared:while_taking(marks, body)
  local function mark(value)
    for _, one in ipairs(marks) do
      self.taking[one.id] = value
      if one.key then self.lanes[one.key] = value end
    end
  end
  mark(true)
  local results = table.pack(pcall(body))
  mark(nil)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

return M

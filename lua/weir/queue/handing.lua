--- What a queue hands out next, and that it is taken: in one transaction with that, what stands before it and has to wait
--- for others of its key moves behind them.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local place = require "weir.queue.place"
local task = require "weir.task"

local M = {}

local spaces = place.spaces
local BLOCKED_AT_ONCE = 200 -- items that one transaction moves behind the one in front of their key
local OFFERED = 200 -- items among which whoever claims picks
local LOOKED_AT = 500 -- items that one look meets at most, when others are just being taken or moved
local LONGEST = 60 -- seconds of a rest; another host of the process does not wake who waits here

--- Seconds of a rest, at the least.
M.SHORTEST = 0.01

-- A lease that has run out, the oldest first.
local function run_out(self, now)
  local name = self.name
  for row in place.each(self.store, spaces.expiries, { prefix = name .. "/", to = place.of(name, place.moment(now) .. "/~") }) do
    local _, id = place.parse(row.key)
    if not self.shared.taking[id] and not self.shared:is_held(id) then
      local lease, version = place.read(self.store, spaces.leases, place.of(name, id))
      if lease then return { id = id, lease = lease, version = version } end
    end
  end
end

-- Whether an item that is due may be handed out as far as its key goes; else its lock, if it is in the store.
local function is_open(self, id, key, locks)
  if not key then return true end
  if self.shared.lanes[key] then return false end
  local lock = locks[key]
  if not lock then
    local front, version = place.read(self.store, spaces.locks, place.lane(self.name, key))
    lock = { front = front, version = version }
    locks[key] = lock
  end
  return lock.front == nil or lock.front == id, lock
end

local function ready_item(found, lock)
  return { id = found.id, row = found.row, has_lock = lock ~= nil and lock.front == found.id }
end

-- The one that whoever claims picks of those that are due; of an ordering key only the first one is offered.
local function picked(offered, pick)
  if #offered == 0 then return nil end
  local candidates = {}
  for index, one in ipairs(offered) do
    local slot = one.row.value
    candidates[index] = { id = one.id, key = slot.key, due_ms = slot.due_ms, about = slot.about }
  end
  local index = pick(candidates)
  local one = index and offered[index]
  return one and ready_item(one, one.lock) or nil
end

-- What may be handed out, for whoever picks, and what has to wait for others.
local function pick_ready(self, now, pick)
  local blocked, locks, offered, met = {}, {}, {}, {}
  local name = self.name
  for row in place.each(self.store, spaces.ready, { prefix = name .. "/", to = place.of(name, place.moment(now) .. "/~") }) do
    local _, id = place.parse(row.key)
    local key = row.value.key
    if not self.shared.taking[id] and not (key and met[key]) then
      local open, lock = is_open(self, id, key, locks)
      if open then
        offered[#offered + 1] = { id = id, row = row, lock = lock }
        if key then met[key] = true end
      elseif lock then
        blocked[#blocked + 1] = { id = id, row = row, lock = lock }
      end
    end
    if #offered == OFFERED or #blocked == BLOCKED_AT_ONCE then break end
  end
  return picked(offered, pick), blocked
end

-- The first item that is due and may be handed out, and what stands before it and has to wait for others. The third
-- result: there is more to be looked at, once it is known what becomes of what others are taking.
local function first_ready(self, now, pick)
  if pick then return pick_ready(self, now, pick) end
  local blocked, locks = {}, {}
  local name, looked_at = self.name, 0
  for row in place.each(self.store, spaces.ready, { prefix = name .. "/", to = place.of(name, place.moment(now) .. "/~") }) do
    local _, id = place.parse(row.key)
    looked_at = looked_at + 1
    if looked_at > LOOKED_AT then return nil, blocked, true end
    if not self.shared.taking[id] then
      local open, lock = is_open(self, id, row.value.key, locks)
      if open then return { id = id, row = row, has_lock = lock ~= nil and lock.front == id }, blocked end
      if lock then blocked[#blocked + 1] = { id = id, row = row, lock = lock } end
      if #blocked == BLOCKED_AT_ONCE then break end
    end
  end
  return nil, blocked
end

local function block(self, operations, blocked)
  local is_held_by = {}
  for _, one in ipairs(blocked) do
    local key = one.row.value.key
    if not is_held_by[key] then
      is_held_by[key] = true
      place.hold_lock(operations, self.name, key, one.lock.front, one.lock.version)
    end
    place.block(operations, self.name, one.row, one.id)
  end
end

local function marks_of(found, blocked)
  local marks = {}
  if found then marks[1] = { id = found.id, key = (found.lease or found.row.value).key } end
  for _, one in ipairs(blocked) do marks[#marks + 1] = { id = one.id, key = one.row.value.key } end
  return marks
end

-- A cancellation does not leave in doubt whether an item was handed out: who is cancelled gives it back.
local function commit(self, operations)
  local _, results, message, code = task.within({ shield = true }, function() return self.store:batch(operations) end)
  return results, message, code
end

local function too_often(lease)
  return failure.new("failed", "its lease ran out, the last of %d times that it was handed out", lease.attempt)
end

-- Takes what was found. Gives the new lease, or nothing: another was faster, or it is dead.
local function take(self, found, blocked, options)
  local operations, lease = {}, nil
  if found and found.lease and found.lease.attempt >= self.attempts then
    operations = place.bury(self.store, self.name, found.id, found.lease, found.version, self.shared:now_ms(), too_often(found.lease))
  elseif found then
    local until_ms = self.shared:now_ms() + math.ceil((options.lease_s or self.lease_s) * 1000)
    if found.lease then
      lease = place.lease_again(operations, self.name, found.id, found.lease, found.version, until_ms, options.owner)
    else
      lease = place.lease(operations, self.name, found.row, found.id, until_ms, options.owner, found.has_lock)
    end
  end
  block(self, operations, blocked)
  local results, message, code = self.shared:while_taking(marks_of(found, blocked), function() return commit(self, operations) end)
  if not results and code ~= "conflict" then failure.raise(code or "failed", "queue '%s': %s", self.name, message) end
  return results and lease
end

--- An item as its holder is given it.
---@param id string
---@param value any
---@param lease table
---@return weir.QueueItem
function M.item_of(id, value, lease)
  return { id = id, value = value, key = lease.key, due_ms = lease.due_ms, attempt = lease.attempt, until_ms = lease.until_ms,
    grant = lease.grant, about = lease.about, round = lease.round or 0 }
end

-- What the store cannot read is nobody's to work on.
local function read_item(self, id, lease)
  local value, message, code = self.store:get(spaces.items, place.of(self.name, id))
  if value ~= nil then return M.item_of(id, value, lease) end
  self:release(M.item_of(id, nil, lease), 0, { error = failure.new(code, "%s", message), is_last = true })
end

local function handed_out(self, id, lease, options)
  self.shared:hold(id, options.lease_s or self.lease_s)
  if native.cancelled() then
    task.within({ shield = true }, function() self:release(M.item_of(id, nil, lease), self.shared:now_ms(), { is_uncounted = true }) end)
    native.check()
  end
  self.shared:nudge()
  return read_item(self, id, lease)
end

--- Takes the next item, if there is one to be had now. Between what is read and the transaction that it leads to nothing
--- waits, so of a key it is always the first one. Waits for the disk. Raises what `claim` refuses with, and `cancelled`.
---@param self weir.Queue
---@param options table of `claim`
---@return weir.QueueItem|nil
---@return boolean|nil is_more nothing yet, but look again soon
function M.next(self, options)
  while true do
    native.check()
    local now = self.shared:now_ms()
    local found, blocked, is_more = run_out(self, now), {}, false
    if not found then found, blocked, is_more = first_ready(self, now, options.pick) end
    if not found and #blocked == 0 then return nil, is_more end
    local lease = take(self, found, blocked, options)
    local item = lease and handed_out(self, found.id, lease, options)
    if item then return item end
  end
end

--- Seconds until something may be handed out by the passing of time. Does not wait.
---@param self weir.Queue
---@return number
function M.until_due(self)
  local now, name = self.shared:now_ms(), self.name
  local left = LONGEST
  local row = place.each(self.store, spaces.ready, { prefix = name .. "/", after = place.of(name, place.moment(now) .. "/~") })()
  if row then left = math.min(left, (place.parse(row.key) - now) / 1000) end
  row = place.each(self.store, spaces.expiries, { prefix = name .. "/" })()
  if row then
    local ms, id = place.parse(row.key)
    local by_store, by_hold = (ms - now) / 1000, self.shared:held_for(id)
    left = math.min(left, math.max(by_store, by_hold))
  end
  return math.max(left, M.SHORTEST)
end

return M

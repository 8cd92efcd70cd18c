--- Durable queues: what was put in is handed out, to one at a time and again if need be, until somebody says that
--- it is done.
---
--- Each change is one transaction of the store, and may be part of the caller's: an event, the key that tells a
--- second delivery of it, and its place in a queue are one; so are its end and what its consumer writes. Items are
--- handed out in order of their due times, then as they came; those with an ordering key one at a time for each key,
--- and the next one only when the one in front is finished or dead. Who is handed an item has it for the time of a
--- lease. When that runs out it is handed out again, since its holder may have died; so what consumers do may happen
--- twice, and `finish` tells which of them was the one. After so many times an item goes to the dead letters.
--- Nothing is scanned that is over: the cost does not depend on how many there are or were. Where items stand in the
--- store is told in weir.queue.place.
---
--- The moments of items are those of the wall clock, kept from going back by less than a minute; a lease that this
--- process has given out is not cut short by a clock that is set forward.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local ids = require "weir.id"
local native = require "weir.native.scheduler"
local place = require "weir.queue.place"
local seen = require "weir.queue.seen"
local task = require "weir.task"
local watermark = require "weir.queue.watermark"

local M = {}

local spaces = place.spaces
local STEP_BACK = 60000   -- ms by which the wall clock may be set back without anybody noticing
local BLOCKED_AT_ONCE = 200 -- items that one transaction moves behind the one in front of their key
local OFFERED = 200       -- items among which whoever claims picks
local LOOKED_AT = 500     -- items that one look meets at most, when others are just being taken or moved
local SHORTEST, LONGEST = 0.01, 60 -- seconds of a rest; another host of the process does not wake who waits here
local ATTEMPTS, LEASE = 5, 60
local MOMENT_MAX = 9999999999999

M.watermark, M.watermark_operations = watermark.get, watermark.operations
M.expire = seen.expire

---@class weir.Queue
---@field name string
---@field attempts integer
---@field lease_s number
---@field limit integer|nil
local Queue = {}
Queue.__index = Queue

---@class weir.QueueItem an item that has been handed out
---@field id string
---@field value any
---@field key string|nil
---@field due_ms integer    as it was put in
---@field attempt integer   which time it is handed out, from 1
---@field until_ms integer  when the lease runs out
---@field grant integer     tells this lease from the others of the item
---@field about table|nil   as it was put in
---@field round integer     how often it was dead and put in again, from 0

-- What all who use a queue in this process share: who waits, what is being taken, and until when, by a clock that is
-- never set, the leases last that were given out here.
local all_shared = setmetatable({}, { __mode = "k" })

local function shared_of(store, name)
  local by_name = all_shared[store]
  if not by_name then
    by_name = {}
    all_shared[store] = by_name
  end
  by_name[name] = by_name[name] or { waiters = {}, taking = {}, lanes = {}, held = {}, last_ms = 0 }
  return by_name[name]
end

--- A queue of a store; it need not be made. Does not wait.
---@param store weir.Store
---@param name string 1 to 64 letters, digits, '.', '_' or '-'
---@param options { attempts: integer?, lease_s: number?, limit: integer? }|nil attempts: after so many an item goes to the
---   dead letters, default 5; lease_s: seconds, default 60; limit: of items that wait or are handed out
---@return weir.Queue
function M.open(store, name, options)
  if type(name) ~= "string" or #name > 64 or not name:find "^[%w._-]+$" then
    error(("name: 1 to 64 letters, digits, '.', '_' or '-' expected, got '%s'"):format(tostring(name)), 2)
  end
  options = options or {}
  return setmetatable({ store = store, name = name, attempts = options.attempts or ATTEMPTS, lease_s = options.lease_s or LEASE,
    limit = options.limit, shared = shared_of(store, name) }, Queue)
end

local function now_ms(self)
  local shared, now = self.shared, clock.wall_ms()
  if now < shared.last_ms and shared.last_ms - now < STEP_BACK then return shared.last_ms end
  shared.last_ms = now
  return now
end

-- Waking --------------------------------------------------------------------------------------------

-- One who waits looks again; if it finds something it wakes the next one.
local function nudge(shared)
  local first = table.remove(shared.waiters, 1)
  if not first then return end
  first.is_woken = true
  first.waiter:wake()
end

local function forget_waiter(shared, entry)
  for index, other in ipairs(shared.waiters) do
    if other == entry then return table.remove(shared.waiters, index) end
  end
end

local function rest(self, seconds)
  local shared, entry = self.shared, { waiter = native.waiter() }
  shared.waiters[#shared.waiters + 1] = entry
  local ok, err = pcall(entry.waiter.wait, entry.waiter, ("an item of queue '%s'"):format(self.name), seconds)
  forget_waiter(shared, entry)
  if entry.is_woken and native.cancelled() then nudge(shared) end -- it was woken for something, and does not look
  if not ok then error(err, 0) end
end

--- To be called when operations of `enqueue_operations` have been committed: who waits looks again. Does not wait.
function Queue:committed()
  nudge(self.shared)
end

-- Putting in ----------------------------------------------------------------------------------------

local function check_text(options, name)
  local text = options[name]
  if text ~= nil and (type(text) ~= "string" or text == "") then
    error(("%s: a text that is not empty expected, got '%s'"):format(name, tostring(text)), 3)
  end
end

local function check_due(due_ms)
  if due_ms == nil then return end
  if math.type(due_ms) ~= "integer" or due_ms < 0 or due_ms > MOMENT_MAX then error("due_ms: milliseconds since 1970 expected", 3) end
end

--- The operations that put an item in, for a batch of the caller's, which has to be told of with `committed`. The batch
--- may be refused: with `full` at the limit; with `conflict` when an item of the same `dedupe` was put in
--- meanwhile: then ask for the operations again. Does not wait; raises `corrupt`, `unavailable`.
---@param item any plain data, not nil
---@param options { key: string?, due_ms: integer?, dedupe: string?, dedupe_s: number?, limit: integer?, about: table? }|nil key:
---   ordering key; due_ms: not handed out before, default now; dedupe: an id, such as that of a delivery, of which no second item
---   is put in for `dedupe_s` seconds, default 604800; limit: instead of the queue's; about: small plain data for whoever picks
---   which item is next
---@return table[] operations none when there is an item of this `dedupe` already
---@return string id of the item, or of the one before
---@return boolean is_new
function Queue:enqueue_operations(item, options)
  if item == nil then error("item: a value other than nil expected", 2) end
  options = options or {}
  check_due(options.due_ms)
  check_text(options, "key")
  check_text(options, "dedupe")
  local now, name = now_ms(self), self.name
  local due_ms, id = options.due_ms or now, ids.in_a_row "q"
  local operations = {}
  place.count(operations, name, 1, options.limit or self.limit)
  if options.dedupe then
    local first = seen.add(self.store, operations, name, options.dedupe, id, now, options.dedupe_s)
    if first then return {}, first, false end
  end
  operations[#operations + 1] = { op = "put", space = spaces.items, key = place.of(name, id), value = item }
  place.make_ready(operations, name, id, { key = options.key, due_ms = due_ms, about = options.about }, due_ms)
  return operations, id, true
end

--- The operations that give an item that waits, and was not handed out yet, another value and another due time. Their batch
--- is refused with `conflict` when it is handed out meanwhile. Does not wait; raises `corrupt`, `unavailable`.
---@param id string
---@param due_ms integer when it is due now
---@param item any its new value
---@param new_due_ms integer
---@return table[]|nil operations nil: it does not wait there any more
function Queue:revise_operations(id, due_ms, item, new_due_ms)
  local key = place.at(self.name, due_ms, id)
  local slot, version = place.read(self.store, spaces.ready, key)
  if not slot then return nil end
  slot.due_ms = new_due_ms
  local operations = { { op = "put", space = spaces.items, key = place.of(self.name, id), value = item } }
  if new_due_ms == due_ms then
    operations[2] = { op = "cas", space = spaces.ready, key = key, version = version, value = slot }
    return operations
  end
  operations[2] = { op = "delete", space = spaces.ready, key = key, version = version }
  place.make_ready(operations, self.name, id, slot, new_due_ms)
  return operations
end

--- The operations that throw away the item that is due first of those that nobody has. Does not wait; raises as `depth`.
---@param but table<string, boolean>|nil ids of those that are thrown away already
---@return table[]|nil operations nil: there is none
---@return string|nil id
---@return any value
function Queue:drop_oldest_operations(but)
  for row in place.each(self.store, spaces.ready, { prefix = self.name .. "/" }) do
    local _, id = place.parse(row.key)
    if not self.shared.taking[id] and not (but and but[id]) then
      local value = place.read(self.store, spaces.items, place.of(self.name, id))
      local operations = { { op = "delete", space = spaces.ready, key = row.key, version = row.version },
        { op = "delete", space = spaces.items, key = place.of(self.name, id) } }
      place.count(operations, self.name, -1)
      return operations, id, value
    end
  end
end

--- Puts an item in. Waits until it is on disk.
---@param item any plain data, not nil
---@param options table|nil as `enqueue_operations`
---@return string|nil id of the item, or of the one with the same `dedupe`
---@return boolean|string is_new false: there was one; or the message
---@return string|nil code `full` (the queue is at its limit, or the disk is full), `invalid`, `limit`, `corrupt`, `unavailable`
function Queue:enqueue(item, options)
  while true do
    local operations, id, is_new = self:enqueue_operations(item, options)
    if not is_new then return id, false end
    local results, message, code, at = self.store:batch(operations)
    if results then
      self:committed()
      return id, true
    end
    if code == "full" and at == 1 then
      message = ("queue '%s' is full: it holds %d items"):format(self.name, (options and options.limit) or self.limit or 0)
    end
    if code ~= "conflict" then return nil, message, code end
  end
end

-- Handing out ---------------------------------------------------------------------------------------

local function is_held(self, id)
  local held = self.shared.held[id]
  if held and held > clock.now() then return true end
  self.shared.held[id] = nil
  return false
end

-- A lease that has run out, the oldest first.
local function run_out(self, now)
  local name = self.name
  for row in place.each(self.store, spaces.expiries, { prefix = name .. "/", to = place.of(name, place.moment(now) .. "/~") }) do
    local _, id = place.parse(row.key)
    if not self.shared.taking[id] and not is_held(self, id) then
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

-- Nobody else of this process takes or moves these until it is known whether it was done.
local function taking(self, ids_and_keys, body)
  local shared = self.shared
  local function mark(value)
    for _, one in ipairs(ids_and_keys) do
      shared.taking[one.id] = value
      if one.key then shared.lanes[one.key] = value end
    end
  end
  mark(true)
  local results = table.pack(pcall(body))
  mark(nil)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
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

local function kept_error(err)
  if err == nil then return nil end
  local found = failure.of(err)
  return { code = found.code, message = found.message }
end

-- The end of a lease, and of the item's turn: operations, and whether another may be handed out because of it.
local function end_turn(self, id, lease, version)
  local operations = {}
  place.end_lease(operations, self.name, id, lease, version)
  local is_followed = place.unlock(self.store, operations, self.name, lease, id)
  return operations, is_followed
end

local function bury(self, id, lease, version, err)
  local operations, letter = end_turn(self, id, lease, version), place.kept(lease)
  letter.at_ms, letter.error = now_ms(self), kept_error(err)
  operations[#operations + 1] = { op = "put", space = spaces.dead, key = place.of(self.name, id),
    value = letter }
  place.count(operations, self.name, -1)
  place.count(operations, self.name .. "/dead", 1)
  return operations
end

local function too_often(lease)
  return failure.new("failed", "its lease ran out, the last of %d times that it was handed out", lease.attempt)
end

-- Takes what was found. Gives the new lease, or nothing: another was faster, or it is dead.
local function take(self, found, blocked, options)
  local operations, lease = {}, nil
  if found and found.lease and found.lease.attempt >= self.attempts then
    operations = bury(self, found.id, found.lease, found.version, too_often(found.lease))
  elseif found then
    local until_ms = now_ms(self) + math.ceil((options.lease_s or self.lease_s) * 1000)
    if found.lease then
      lease = place.lease_again(operations, self.name, found.id, found.lease, found.version, until_ms, options.owner)
    else
      lease = place.lease(operations, self.name, found.row, found.id, until_ms, options.owner, found.has_lock)
    end
  end
  block(self, operations, blocked)
  local results, message, code = taking(self, marks_of(found, blocked), function() return commit(self, operations) end)
  if not results and code ~= "conflict" then failure.raise(code or "failed", "queue '%s': %s", self.name, message) end
  return results and lease
end

local function item_of(id, value, lease)
  return { id = id, value = value, key = lease.key, due_ms = lease.due_ms, attempt = lease.attempt, until_ms = lease.until_ms,
    grant = lease.grant, about = lease.about, round = lease.round or 0 }
end

-- What the store cannot read is nobody's to work on.
local function read_item(self, id, lease)
  local value, message, code = self.store:get(spaces.items, place.of(self.name, id))
  if value ~= nil then return item_of(id, value, lease) end
  self:release(item_of(id, nil, lease), 0, { error = failure.new(code, "%s", message), is_last = true })
end

local function handed_out(self, id, lease, options)
  self.shared.held[id] = clock.now() + (options.lease_s or self.lease_s)
  if native.cancelled() then
    task.within({ shield = true }, function() self:release(item_of(id, nil, lease), now_ms(self), { is_uncounted = true }) end)
    native.check()
  end
  nudge(self.shared)
  return read_item(self, id, lease)
end

-- An item, if there is one to be had now. Between what is read and the transaction that it leads to nothing waits, so
-- of a key it is always the first one. The second result: nothing yet, but look again soon.
local function try(self, options)
  while true do
    native.check()
    local now = now_ms(self)
    local found, blocked, is_more = run_out(self, now), {}, false
    if not found then found, blocked, is_more = first_ready(self, now, options.pick) end
    if not found and #blocked == 0 then return nil, is_more end
    local lease = take(self, found, blocked, options)
    local item = lease and handed_out(self, found.id, lease, options)
    if item then return item end
  end
end

-- Seconds until something may be handed out by the passing of time.
local function until_due(self)
  local now, name = now_ms(self), self.name
  local left = LONGEST
  local row = place.each(self.store, spaces.ready, { prefix = name .. "/", after = place.of(name, place.moment(now) .. "/~") })()
  if row then left = math.min(left, (place.parse(row.key) - now) / 1000) end
  row = place.each(self.store, spaces.expiries, { prefix = name .. "/" })()
  if row then
    local ms, id = place.parse(row.key)
    local by_store, by_hold = (ms - now) / 1000, (self.shared.held[id] or 0) - clock.now()
    left = math.min(left, math.max(by_store, by_hold))
  end
  return math.max(left, SHORTEST)
end

--- Hands out the next item, for the time of a lease: nobody else is given it until then. Waits for the disk, and for
--- an item as long as `timeout` says. Raises `cancelled`: then no item is lost to a lease.
---@param options { lease_s: number?, owner: string?, timeout: number?, pick: nil|fun(candidates: table[]): integer? }|nil
---   lease_s: seconds, default the queue's; owner: is kept with the lease; timeout: seconds to wait for an item, default 0;
---   pick: which of the candidates {id, key, due_ms, about} is handed out, the first 200 that are due; nil: none of them now.
---   It may not wait
---@return weir.QueueItem|nil
---@return string|nil message
---@return string|nil code `empty` (there was none in time), `corrupt`, `full` (the disk), `unavailable`
function Queue:claim(options)
  options = options or {}
  local deadline = clock.now() + (options.timeout or 0)
  local ok, item = pcall(function()
    while true do
      local item, is_more = try(self, options)
      if item then return item end
      local left = deadline - clock.now()
      if left <= 0 and not is_more then return nil end
      rest(self, is_more and SHORTEST or math.min(left, until_due(self)))
    end
  end)
  if ok and item then return item end
  if ok then return nil, ("queue '%s' has nothing to hand out now"):format(self.name), "empty" end
  if native.cancelled() then error(item, 0) end
  local err = failure.of(item)
  return nil, err.message, err.code
end

-- What becomes of what was handed out -------------------------------------------------------------------

local function lost(self, item)
  return nil, ("item %s of queue '%s' is not yours any more: its lease has run out and it was handed out again or is done")
    :format(item.id, self.name), "conflict"
end

-- Does with a lease what `make` says, unless it is another's by now. `make` gives operations, of which the first one
-- names the lease's version; those after `own` of them are the caller's.
local function change(self, item, make)
  while true do
    local lease, version = place.read(self.store, spaces.leases, place.of(self.name, item.id))
    if not lease or lease.grant ~= item.grant then return lost(self, item) end
    local operations, own = make(lease, version)
    local results, message, code, at = self.store:batch(operations)
    if results then return lease end
    if code ~= "conflict" or (own and at > own) then return nil, message, code, own and at > own and at - own or nil end
  end
end

--- Gives the holder of an item more time, from now. Waits until that is on disk.
---@param item weir.QueueItem
---@param seconds number|nil default the queue's lease
---@return integer|nil until_ms
---@return string|nil message
---@return string|nil code `conflict` (the lease had run out, and the item was handed out again), `full`, `unavailable`
function Queue:extend(item, seconds)
  seconds = seconds or self.lease_s
  local until_ms
  local lease, message, code = change(self, item, function(lease, version)
    until_ms = now_ms(self) + math.ceil(seconds * 1000)
    local operations, new = {}, place.kept(lease)
    new.owner, new.until_ms = lease.owner, until_ms
    place.renew(operations, self.name, item.id, lease, version, new)
    return operations
  end)
  if not lease then return nil, message, code end
  self.shared.held[item.id], item.until_ms = clock.now() + seconds, until_ms
  return until_ms
end

local function done(self, item)
  self.shared.held[item.id] = nil
  nudge(self.shared)
end

--- Says that an item is done: it leaves the queue, in one transaction with what its consumer writes. Waits until that
--- is on disk.
---@param item weir.QueueItem
---@param operations table[]|nil of a batch; none may be of this queue's item
---@return true|nil
---@return string|nil message
---@return string|nil code `conflict` (without a position: the lease had run out and the item is another's), and what the
---   operations are refused with; nothing was done then
---@return integer|nil position of the operation that was refused
function Queue:finish(item, operations)
  local lease, message, code, at = change(self, item, function(lease, version)
    local all = end_turn(self, item.id, lease, version)
    all[#all + 1] = { op = "delete", space = spaces.items, key = place.of(self.name, item.id) }
    place.count(all, self.name, -1)
    local own = #all
    table.move(operations or {}, 1, #(operations or {}), own + 1, all)
    return all, own
  end)
  if not lease then return nil, message, code, at end
  done(self, item)
  return true
end

--- Gives an item back, to be handed out again; of its key nothing else is until then. After the last attempt it goes
--- to the dead letters. Waits until that is on disk.
---@param item weir.QueueItem
---@param due_ms integer|nil not before, since 1970; default now
---@param options { error: any, is_last: boolean?, is_uncounted: boolean?, operations: table[]? }|nil error: why, kept with a dead
---   letter; is_last: no further attempt; is_uncounted: it was no attempt; operations: of a batch, done with it if it dies
---@return "ready"|"dead"|nil
---@return string|nil message
---@return string|nil code `conflict` (as for `finish`), `full`, `unavailable`
function Queue:release(item, due_ms, options)
  check_due(due_ms)
  options = options or {}
  local is_dead
  local lease, message, code = change(self, item, function(lease, version)
    is_dead = options.is_last or (lease.attempt >= self.attempts and not options.is_uncounted)
    if is_dead then
      local all = bury(self, item.id, lease, version, options.error)
      return table.move(options.operations or {}, 1, #(options.operations or {}), #all + 1, all)
    end
    local operations = {}
    place.end_lease(operations, self.name, item.id, lease, version)
    if options.is_uncounted then lease.attempt = lease.attempt - 1 end
    place.make_ready(operations, self.name, item.id, lease, due_ms or now_ms(self))
    return operations
  end)
  if not lease then return nil, message, code end
  done(self, item)
  return is_dead and "dead" or "ready"
end

--- Takes back what was handed out in an earlier life of the process that owns the store: it is due at once, and that was
--- no attempt. Only before anything is claimed. Waits until that is on disk. Raises `corrupt`, `full`, `unavailable`.
---@return integer count
function Queue:take_back()
  local count = 0
  for row in place.each(self.store, spaces.leases, { prefix = self.name .. "/" }) do
    local id = row.key:match "[^/]+$"
    if not is_held(self, id) then
      local where, message, code = self:release(item_of(id, nil, row.value), nil, { is_uncounted = true })
      if not where and code ~= "conflict" then failure.raise(code or "failed", "%s", message) end
      count = count + 1
    end
  end
  return count
end

-- Looking -------------------------------------------------------------------------------------------

--- How many items wait or are handed out; dead letters are not among them. Does not wait; raises `corrupt`,
--- `unavailable`.
---@return integer
function Queue:depth()
  return (place.read(self.store, spaces.counts, self.name)) or 0
end

--- How many dead letters there are. Does not wait; raises as `depth`.
---@return integer
function Queue:dead_count()
  return (place.read(self.store, spaces.counts, self.name .. "/dead")) or 0
end

--- What would be handed out next, also what is not due yet, without handing it out; what waits behind another of its
--- key is left out. Does not wait; raises as `depth`.
---@param limit integer|nil default 10
---@return { id: string, value: any, key: string?, due_ms: integer, attempt: integer }[] due_ms: when it is handed out; attempt:
---   how often it was
function Queue:peek(limit)
  local found, fronts = {}, {}
  for row in place.each(self.store, spaces.ready, { prefix = self.name .. "/" }) do
    if #found == (limit or 10) then break end
    local due_ms, id = place.parse(row.key)
    local key = row.value.key
    local front = key and (fronts[key] or place.read(self.store, spaces.locks, place.lane(self.name, key)))
    if key then fronts[key] = front or id end
    if not front or front == id then
      found[#found + 1] = { id = id, value = place.read(self.store, spaces.items, place.of(self.name, id)), key = key, due_ms = due_ms,
        attempt = row.value.attempt or 0 }
    end
  end
  return found
end

-- Dead letters --------------------------------------------------------------------------------------

--- Items that were handed out too often, in the order in which they were put in. Does not wait; raises as `depth`.
---@param query { after: string?, limit: integer? }|nil after: the last id of the page before; limit: 1..1000, default 100
---@return { id: string, value: any, key: string?, due_ms: integer, attempt: integer, at_ms: integer, error: table? }[] value: nil
---   when the store cannot read it; error: {code, message}
function Queue:dead_letters(query)
  query = query or {}
  local rows, message, code = self.store:scan(spaces.dead, { prefix = self.name .. "/",
    after = query.after and place.of(self.name, query.after), limit = query.limit })
  if not rows then failure.raise(code, "%s", message) end
  for index, row in ipairs(rows) do
    local letter = row.value
    letter.id, letter.grant = row.key:match "[^/]+$", nil
    letter.value = self.store:get(spaces.items, row.key)
    rows[index] = letter
  end
  return rows
end

local function take_letter(self, id, make)
  local key = place.of(self.name, id)
  local letter, version = place.read(self.store, spaces.dead, key)
  if not letter then return nil, ("queue '%s' has no dead letter '%s'"):format(self.name, id), "not_found" end
  local operations = { { op = "delete", space = spaces.dead, key = key, version = version } }
  place.count(operations, self.name .. "/dead", -1)
  make(operations, letter)
  local results, message, code = self.store:batch(operations)
  if not results then return nil, message, code end
  nudge(self.shared)
  return true
end

--- Puts a dead letter in again, due now, with all its attempts. Waits until that is on disk.
---@param id string
---@return true|nil
---@return string|nil message
---@return string|nil code `not_found`, `conflict` (another did something with it), `full`, `unavailable`
function Queue:replay(id)
  return take_letter(self, id, function(operations, letter)
    letter.attempt, letter.round = nil, (letter.round or 0) + 1
    place.make_ready(operations, self.name, id, letter, now_ms(self))
    place.count(operations, self.name, 1)
  end)
end

--- Throws a dead letter away. Waits until that is on disk.
---@param id string
---@return true|nil
---@return string|nil message
---@return string|nil code as `replay`
function Queue:discard(id)
  return take_letter(self, id, function(operations)
    operations[#operations + 1] = { op = "delete", space = spaces.items, key = place.of(self.name, id) }
  end)
end

return M

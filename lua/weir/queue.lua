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
local handing = require "weir.queue.handing"
local ids = require "weir.id"
local native = require "weir.native.scheduler"
local place = require "weir.queue.place"
local seen = require "weir.queue.seen"
local shared = require "weir.queue.shared"
local watermark = require "weir.queue.watermark"

local M = {}

local spaces = place.spaces
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
    limit = options.limit, shared = shared.of(store, name) }, Queue)
end

--- To be called when operations of `enqueue_operations` have been committed: who waits looks again. Does not wait.
function Queue:committed()
  self.shared:nudge()
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
  local now, name = self.shared:now_ms(), self.name
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
      local item, is_more = handing.next(self, options)
      if item then return item end
      local left = deadline - clock.now()
      if left <= 0 and not is_more then return nil end
      self.shared:rest(self.name, is_more and handing.SHORTEST or math.min(left, handing.until_due(self)))
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
    until_ms = self.shared:now_ms() + math.ceil(seconds * 1000)
    local operations, new = {}, place.kept(lease)
    new.owner, new.until_ms = lease.owner, until_ms
    place.renew(operations, self.name, item.id, lease, version, new)
    return operations
  end)
  if not lease then return nil, message, code end
  self.shared:hold(item.id, seconds)
  item.until_ms = until_ms
  return until_ms
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
    local all = place.end_turn(self.store, self.name, item.id, lease, version)
    all[#all + 1] = { op = "delete", space = spaces.items, key = place.of(self.name, item.id) }
    place.count(all, self.name, -1)
    local own = #all
    table.move(operations or {}, 1, #(operations or {}), own + 1, all)
    return all, own
  end)
  if not lease then return nil, message, code, at end
  self.shared:let_go(item.id)
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
      local all = place.bury(self.store, self.name, item.id, lease, version, self.shared:now_ms(), options.error)
      return table.move(options.operations or {}, 1, #(options.operations or {}), #all + 1, all)
    end
    local operations = {}
    place.end_lease(operations, self.name, item.id, lease, version)
    if options.is_uncounted then lease.attempt = lease.attempt - 1 end
    place.make_ready(operations, self.name, item.id, lease, due_ms or self.shared:now_ms())
    return operations
  end)
  if not lease then return nil, message, code end
  self.shared:let_go(item.id)
  return is_dead and "dead" or "ready"
end

--- Takes back what was handed out in an earlier life of the process that owns the store: it is due at once, and that was
--- no attempt. Only before anything is claimed. Waits until that is on disk. Raises `corrupt`, `full`, `unavailable`.
---@return integer count
function Queue:take_back()
  local count = 0
  for row in place.each(self.store, spaces.leases, { prefix = self.name .. "/" }) do
    local id = row.key:match "[^/]+$"
    if not self.shared:is_held(id) then
      local where, message, code = self:release(handing.item_of(id, nil, row.value), nil, { is_uncounted = true })
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
  self.shared:nudge()
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
    place.make_ready(operations, self.name, id, letter, self.shared:now_ms())
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

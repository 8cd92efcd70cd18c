--- Where the items of queues stand in the store, and the operations that move one from place to place. Pure but
--- for reads; nothing here waits.
---
--- An item is written once, in `queue.items`; what moves is a small slot, and each is in one place at a time:
---   queue.ready     NAME/DUE/ID      may be handed out from DUE on (13 digits of milliseconds): slot
---   queue.blocked   NAME/KEY/DUE/ID  waits behind another of its ordering key: slot
---   queue.leases    NAME/ID          somebody has it: slot, with {grant, until_ms, owner}
---   queue.dead      NAME/ID          was handed out too often: slot, with {at_ms, error}
--- Beside them stand
---   queue.expiries  NAME/UNTIL/ID    when leases run out
---   queue.locks     NAME/KEY         the id that is in front of an ordering key: handed out, and not finished yet
---   queue.counts    NAME, NAME/dead  how many items there are in the first three places, and in the last
---   queue.seen      NAME/DEDUPE      the id that was put in first: {id, until_ms}
---   queue.forgets   UNTIL/NAME/DEDUPE
--- An item with a key is put among those that are ready without a look at the others; whoever meets it there while
--- its key is locked moves it to those that are blocked, once, and the end of the one in front brings the next
--- one back. So while any of a key is blocked, its key is locked or one of its items is ready, and all that
--- changes this changes the lock as well.

local failure = require "weir.failure"
local hash = require "weir.native.hash"

local M = {}

M.spaces = { items = "queue.items", ready = "queue.ready", blocked = "queue.blocked", leases = "queue.leases", dead = "queue.dead",
  expiries = "queue.expiries", locks = "queue.locks", counts = "queue.counts", seen = "queue.seen", forgets = "queue.forgets" }

local spaces = M.spaces
local KEY_MAX = 64 -- bytes of an ordering key that stand as they are; a longer one stands as its hash
local FIRST_PAGE, PAGE = 8, 64 -- mostly the first row is wanted

---@class weir.QueueSlot
---@field key string|nil       ordering key
---@field due_ms integer       as it was put in
---@field attempt integer|nil  how often it has been handed out, as far as that counts; nil: never
---@field grant integer|nil    how often in all
---@field about table|nil      what whoever put it in says of it, for whoever picks: plain data, small
---@field round integer|nil    how often it was put in again after it was dead

--- A moment as part of a key.
---@param ms integer since 1970
---@return string
function M.moment(ms)
  return ("%013d"):format(ms)
end

function M.at(name, ms, id) return ("%s/%013d/%s"):format(name, ms, id) end
function M.of(name, id) return name .. "/" .. id end

--- The key of what belongs to an ordering key.
function M.lane(name, key)
  if #key > KEY_MAX then return name .. "/#" .. hash.sha256(key) end
  return name .. "/" .. key:gsub("[^%w._-]", function(char) return ("%%%02X"):format(char:byte()) end)
end

local function blocked_key(name, slot, id)
  return M.at(M.lane(name, slot.key), slot.due_ms, id)
end

--- The moment and the id that stand at the end of a key.
---@return integer ms
---@return string id
function M.parse(key)
  local ms, id = key:match "(%d+)/([^/]+)$"
  return math.tointeger(ms), id
end

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

--- What stands under a key, with its version; nil and 0 when there is nothing. Raises `corrupt`, `unavailable`.
---@return any value
---@return integer version
function M.read(store, space, key)
  local value, version, code = store:get(space, key)
  if value ~= nil then return value, version end
  if code ~= "not_found" then failure.raise(code, "%s", version) end
  return nil, 0
end

--- The rows of a part of a space, page by page. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param space string
---@param query { prefix: string?, to: string?, after: string? }
---@return fun(): table|nil {key, value, version}
function M.each(store, space, query)
  local rows, place, last, limit = nil, 0, query.after, FIRST_PAGE
  return function()
    place = place + 1
    if not rows or (place > #rows and #rows == limit) then
      limit = rows and PAGE or FIRST_PAGE
      rows = must(store:scan(space, { prefix = query.prefix, to = query.to, after = last, limit = limit }))
      place = 1
    end
    local row = rows[place]
    last = row and row.key or last
    return row
  end
end

-- Operations ----------------------------------------------------------------------------------------

local function put(operations, space, key, value)
  operations[#operations + 1] = { op = "put", space = space, key = key, value = value }
end

local function cas(operations, space, key, version, value)
  operations[#operations + 1] = { op = "cas", space = space, key = key, version = version, value = value }
end

local function delete(operations, space, key, version)
  operations[#operations + 1] = { op = "delete", space = space, key = key, version = version }
end

--- Counts items in (1) or out (-1).
---@param max integer|nil
function M.count(operations, key, by, max)
  operations[#operations + 1] = { op = "add", space = spaces.counts, key = key, by = by, max = max }
end

--- What a slot takes along from place to place.
---@param slot weir.QueueSlot
---@return weir.QueueSlot
function M.kept(slot)
  return { key = slot.key, due_ms = slot.due_ms, attempt = slot.attempt, grant = slot.grant, about = slot.about, round = slot.round }
end

local function lease_of(slot, grant, until_ms, owner)
  local lease = M.kept(slot)
  lease.attempt, lease.grant, lease.until_ms, lease.owner = (slot.attempt or 0) + 1, grant, until_ms, owner
  return lease
end

--- From ready to leased. The key is locked, unless it is already for this very item.
function M.lease(operations, name, row, id, until_ms, owner, has_lock)
  local slot = row.value
  local lease = lease_of(slot, (slot.grant or 0) + 1, until_ms, owner)
  delete(operations, spaces.ready, row.key, row.version)
  put(operations, spaces.leases, M.of(name, id), lease)
  put(operations, spaces.expiries, M.at(name, until_ms, id), true)
  if slot.key and not has_lock then cas(operations, spaces.locks, M.lane(name, slot.key), 0, id) end
  return lease
end

--- From one lease to the next one.
function M.lease_again(operations, name, id, lease, version, until_ms, owner)
  local new = lease_of(lease, lease.grant + 1, until_ms, owner)
  M.renew(operations, name, id, lease, version, new)
  return new
end

--- Another lease in the place of one.
function M.renew(operations, name, id, lease, version, new)
  cas(operations, spaces.leases, M.of(name, id), version, new)
  if new.until_ms == lease.until_ms then return end
  delete(operations, spaces.expiries, M.at(name, lease.until_ms, id))
  put(operations, spaces.expiries, M.at(name, new.until_ms, id), true)
end

--- From leased to nowhere. The version stands first, and says whether the lease was still there.
function M.end_lease(operations, name, id, lease, version)
  delete(operations, spaces.leases, M.of(name, id), version)
  delete(operations, spaces.expiries, M.at(name, lease.until_ms, id))
end

--- To ready, from elsewhere.
function M.make_ready(operations, name, id, slot, due_ms)
  put(operations, spaces.ready, M.at(name, due_ms, id), M.kept(slot))
end

--- Says that who stands in front of a key is still there when this is done.
function M.hold_lock(operations, name, key, front, version)
  cas(operations, spaces.locks, M.lane(name, key), version, front)
end

--- From ready to blocked, behind the lock of its key.
function M.block(operations, name, row, id)
  delete(operations, spaces.ready, row.key, row.version)
  put(operations, spaces.blocked, blocked_key(name, row.value, id), row.value)
end

--- Unlocks an ordering key when the item in front of it is done, and brings the next one back.
---@return boolean any one was brought back
function M.unlock(store, operations, name, slot, id)
  if not slot.key then return false end
  local lane = M.lane(name, slot.key)
  local front, version = M.read(store, spaces.locks, lane)
  if front ~= id then return false end
  delete(operations, spaces.locks, lane, version)
  local following = M.each(store, spaces.blocked, { prefix = lane .. "/" })()
  if not following then return false end
  local due_ms, next_id = M.parse(following.key)
  delete(operations, spaces.blocked, following.key, following.version)
  put(operations, spaces.ready, M.at(name, due_ms, next_id), following.value)
  return true
end

--- From leased to nowhere, at the end of the item's turn: another of its key may be handed out.
---@return table[] operations the first one names the lease's version
function M.end_turn(store, name, id, lease, version)
  local operations = {}
  M.end_lease(operations, name, id, lease, version)
  M.unlock(store, operations, name, lease, id)
  return operations
end

local function kept_error(err)
  if err == nil then return nil end
  local found = failure.of(err)
  return { code = found.code, message = found.message }
end

--- From leased to the dead letters.
---@param err any why
---@return table[] operations as of `end_turn`
function M.bury(store, name, id, lease, version, at_ms, err)
  local operations, letter = M.end_turn(store, name, id, lease, version), M.kept(lease)
  letter.at_ms, letter.error = at_ms, kept_error(err)
  put(operations, spaces.dead, M.of(name, id), letter)
  M.count(operations, name, -1)
  M.count(operations, name .. "/dead", 1)
  return operations
end

return M

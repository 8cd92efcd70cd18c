--- What was put into a queue already, by the ids that its senders give: a second delivery is told by it for as long
--- as it is kept. The key is written in the transaction that puts the item in.

local duration = require "weir.duration"
local place = require "weir.queue.place"

local M = {}

local spaces = place.spaces
local KEPT = 604800 -- seconds, 7 days
local BUDGET, BATCH = 1000, 250 -- keys that one call and one transaction look at

local function expiry_key(name, dedupe, until_ms)
  return place.moment(until_ms) .. "/" .. place.of(name, dedupe)
end

--- Adds what tells a second delivery. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param operations table[]
---@param name string of the queue
---@param dedupe string
---@param id string of the item
---@param now_ms integer
---@param seconds number|nil default 604800
---@return string|nil first the id of the item of the first delivery: there is to be no second one
function M.add(store, operations, name, dedupe, id, now_ms, seconds)
  local key = place.of(name, dedupe)
  local before, version = place.read(store, spaces.seen, key)
  if before and before.until_ms > now_ms then return before.id end
  local until_ms = duration.after(now_ms, seconds or KEPT)
  operations[#operations + 1] = { op = "cas", space = spaces.seen, key = key, version = version, value = { id = id, until_ms = until_ms } }
  operations[#operations + 1] = { op = "put", space = spaces.forgets, key = expiry_key(name, dedupe, until_ms), value = true }
end

-- The key that is over, unless it was written anew since.
local function forget(store, operations, row)
  local until_ms, key = row.key:match "^(%d+)/(.+)$"
  operations[#operations + 1] = { op = "delete", space = spaces.forgets, key = row.key }
  local kept, version = place.read(store, spaces.seen, key)
  if not kept or kept.until_ms ~= math.tointeger(until_ms) then return end
  operations[#operations + 1] = { op = "delete", space = spaces.seen, key = key, version = version }
end

--- Removes what told second deliveries, when its time is over, in small transactions. Waits.
---@param store weir.Store
---@param now_ms integer
---@param budget integer|nil keys to look at, default 1000; what is left is for the next call
---@return integer|nil removed
---@return string|nil message
---@return string|nil code `full`, `unavailable`
function M.expire(store, now_ms, budget)
  local left, removed = budget or BUDGET, 0
  while left > 0 do
    local rows, message, code = store:scan(spaces.forgets, { before = place.moment(now_ms + 1), limit = math.min(left, BATCH) })
    if not rows then return nil, message, code end
    if #rows == 0 then break end
    local operations = {}
    for _, row in ipairs(rows) do forget(store, operations, row) end
    local results
    results, message, code = store:batch(operations)
    if results then removed = removed + #rows
    elseif code ~= "conflict" then return nil, message, code end -- one was written anew: look again
    left = left - #rows
  end
  return removed
end

return M

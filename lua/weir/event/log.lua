--- The log of events: whatever came in, in the order in which it came, each at an offset that sorts so. It is written in
--- the transaction that takes the event in; who reads it goes on behind the offset that it has seen last, so nothing is
--- missed between two looks. Events are kept for a week, unless weir.lua says otherwise.
---
--- Space `events`: by offset, {event, from, at_ms, dedupe}.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local ids = require "weir.id"
local pages = require "weir.pages"

local M = {}

M.SPACE = "events"
M.KEPT = 7 * 86400 -- seconds

local PAGE, PAGE_MAX = 100, 1000
local BUDGET, BATCH = 5000, 500 -- events that one call and one transaction remove

---@class weir.LogEntry
---@field offset string
---@field event weir.Event
---@field from string    "api", "hook", "cli", "run", "approval", or the id of a source
---@field at_ms integer  when it was taken in
---@field dedupe string|nil

--- A new offset and the operation that writes the event there. Does not wait. The batch has to be handed to the store
--- before anything waits, so that offsets are committed in their order.
---@param event weir.Event
---@param from string
---@param dedupe string|nil
---@return table operation
---@return string offset
function M.operation(event, from, dedupe)
  local offset = ids.in_a_row "e"
  local value = { event = event, from = from, at_ms = clock.wall_ms(), dedupe = dedupe }
  return { op = "put", space = M.SPACE, key = offset, value = value }, offset
end

local function entry_of(row)
  local value = row.value
  return { offset = row.key, event = value.event, from = value.from, at_ms = value.at_ms, dedupe = value.dedupe }
end

local function must(rows, message, code)
  if not rows then failure.raise(code or "failed", "%s", message) end
  return rows
end

--- The offset of the event that came last; what sorts before all offsets when there is none. Does not wait.
---@param store weir.Store
---@return string
function M.latest(store)
  local row = must(store:scan(M.SPACE, { limit = 1, reverse = true }))[1]
  return row and row.key or "e_"
end

--- What sorts behind the offsets of all events that came before a moment.
---@param ms integer since 1970
---@return string
function M.at(ms) return ids.bound("e", ms) end

--- One event. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param offset string
---@return weir.LogEntry|nil
function M.get(store, offset)
  local value, message, code = store:get(M.SPACE, offset)
  if value ~= nil then return entry_of { key = offset, value = value } end
  if code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
end

--- Whether a type is one of those that a pattern means: the same, or what begins as it does where it ends in '*'.
---@param pattern string such as "order.paid", "order.*", "*"
---@param type string
---@return boolean
function M.is_of_type(pattern, type)
  if pattern:sub(-1) ~= "*" then return pattern == type end
  return type:sub(1, #pattern - 1) == pattern:sub(1, -2)
end

local function fits(entry, query)
  if query.type and not M.is_of_type(query.type, entry.event.type) then return false end
  if query.source and not M.is_of_type(query.source, entry.event.source) then return false end
  return not query.from or query.from == entry.from
end

--- A page of the log. Does not wait; raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param query { after: string?, before: string?, reverse: boolean?, limit: integer?, type: string?, source: string?, from: string? }
---   after, before: offsets; limit: 1..1000, default 100; type, source: the same, or the beginning with a '*'
---@return weir.LogEntry[]
---@return string|nil next the offset to go on behind (before, in reverse); nil: that was all
function M.page(store, query)
  local found, limit = {}, math.min(query.limit or PAGE, PAGE_MAX)
  for row in pages.rows(store, M.SPACE, { after = query.after, before = query.before, reverse = query.reverse, limit = PAGE_MAX }) do
    local entry = entry_of(row)
    if fits(entry, query) then found[#found + 1] = entry end
    if #found == limit then return found, row.key end
  end
  return found, nil
end

--- Removes events that came before a moment, in small transactions. Waits. Raises `corrupt`, `unavailable`.
---@param store weir.Store
---@param before_ms integer
---@param budget integer|nil events, default 5000; what is left is for the next call
---@return integer removed
function M.expire(store, before_ms, budget)
  local left, removed = budget or BUDGET, 0
  while left > 0 do
    local rows = must(store:scan(M.SPACE, { before = M.at(before_ms), limit = math.min(left, BATCH), damaged = true })) -- a key says when
    if #rows == 0 then break end
    local operations = {}
    for index, row in ipairs(rows) do operations[index] = { op = "delete", space = M.SPACE, key = row.key } end
    must(store:batch(operations))
    left, removed = left - #rows, removed + #rows
  end
  return removed
end

return M

--- What takes old things away: versions that no reader can ask for any more, and documents whose time has
--- run out. In small batches, so that writers in between do not wait long.

local changes = require "weir.workspace.changes"
local failure = require "weir.failure"
local index = require "weir.workspace.index"
local native = require "weir.native.scheduler"
local names = require "weir.workspace.names"
local pages = require "weir.pages"
local plan = require "weir.workspace.plan"
local record = require "weir.workspace.record"
local values = require "weir.value"

local M = {}

local spaces = names.spaces
local BATCH = 500 -- operations after which a batch is written

local Batch = {}
Batch.__index = Batch

local function new_batch(store)
  return setmetatable({ store = store, operations = {}, floors = {}, pending = 0, removed = 0 }, Batch)
end

-- Writes what has gathered. If a head changed meanwhile all of it is left for the next time.
function Batch:flush()
  local operations, pending = self.operations, self.pending
  for _, scope in ipairs(values.names(self.floors)) do
    local floor = self.floors[scope]
    operations[#operations + 1] = { op = "cas", space = spaces.floors, key = scope, version = floor.version, value = floor.n }
  end
  self.operations, self.floors, self.pending = {}, {}, 0
  if #operations == 0 then return end
  local results, message, code = self.store:batch(operations)
  if results then self.removed = self.removed + pending
  elseif code ~= "conflict" then failure.raise(code, "%s", message) end
end

-- A document's number is kept as the floor of its scope.
function Batch:raise_floor(scope, n)
  local floor = self.floors[scope]
  if not floor then
    local now, version = record.get(self.store, spaces.floors, scope)
    floor = { n = now or 0, version = version or 0 }
  end
  if n > floor.n then floor.n, self.floors[scope] = n, floor end
end

function Batch:remove_version(key, n)
  self.operations[#self.operations + 1] = { op = "delete", space = spaces.versions, key = names.version_key(key, n) }
  self.pending = self.pending + 1
end

-- A version, and the postings that end with it.
function Batch:remove_before(key, n, following)
  local scope, name = names.parse_key(key)
  self:remove_version(key, n)
  index.forget(self.store, self.operations, scope, name, following)
  if #self.operations >= BATCH then self:flush() end
end

-- The numbers of a document's versions, oldest first, each with its LSN.
local function versions_of(store, key)
  local list = {}
  for row in pages.rows(store, spaces.versions, { prefix = key .. "\0", limit = 100 }) do
    local _, n = names.parse_version_key(row.key)
    list[#list + 1] = { n = n, lsn = row.version }
  end
  return list
end

-- A version is needed while it is among the newest, or a snapshot may lie before the next one.
local function trim_document(batch, key, lowest_lsn, keep)
  local list = versions_of(batch.store, key)
  for place = 1, #list - keep do
    local following = list[place + 1]
    if following.lsn > lowest_lsn then break end
    batch:remove_before(key, list[place].n, following.n)
  end
end

-- A document that was deleted before every snapshot goes entirely; the tombstone and the head last, and
-- together, so that whatever was interrupted is found again.
local function forget_document(batch, row)
  local list = versions_of(batch.store, row.key)
  for place = 1, #list - 1 do batch:remove_before(row.key, list[place].n, list[place + 1].n) end
  batch:remove_version(row.key, row.value.n)
  batch.operations[#batch.operations + 1] = { op = "delete", space = spaces.heads, key = row.key, version = row.version }
  batch:raise_floor(names.parse_key(row.key), row.value.n)
end

--- Removes versions that are older than what the snapshot `lowest_lsn` reads, and documents that were
--- deleted by then. Waits for the disk.
---@param store weir.Store
---@param lowest_lsn integer the lowest snapshot that is still read
---@param keep integer|nil of each document that exists at least so many versions, from 1, the default
---@return integer removed versions
function M.trim(store, lowest_lsn, keep)
  if math.type(lowest_lsn) ~= "integer" then error("lowest_lsn: an integer expected", 2) end
  if keep ~= nil and (math.type(keep) ~= "integer" or keep < 1) then error("keep: an integer from 1 expected", 2) end
  local batch, seen = new_batch(store), 0
  for row in pages.rows(store, spaces.heads, { limit = 100 }) do
    seen = seen + 1
    if seen % 100 == 0 then native.yield() end
    if row.value.dead and row.version <= lowest_lsn then
      forget_document(batch, row)
    elseif row.value.n > 1 then
      trim_document(batch, row.key, lowest_lsn, keep or 1)
    end
    if #batch.operations >= BATCH then batch:flush() end
  end
  batch:flush()
  return batch.removed
end

local LOG_MOST = 10000 -- changes after which a log is cut

--- Cuts the logs of changes that have grown long, of all pipelines and of the project; see `changes.cut`. Waits for the disk.
---@param store weir.Store
---@param most integer|nil changes of a log, default 10000
---@return integer count of those that were cut
function M.cut_logs(store, most)
  local count, after = 0, nil
  while true do
    local row = pages.rows(store, spaces.heads, { after = after, limit = 1 })()
    local scope = row and names.parse_key(row.key)
    if not scope or scope:sub(1, 4) == "run:" then return count end -- the scopes of runs sort behind the others
    if changes.cut(store, scope, most or LOG_MOST) then count = count + 1 end
    after = scope .. "\1" -- behind all documents of the scope
  end
end

local PIECE = 16 -- documents that expire in one batch

local function due(store, now_ms, limit)
  local rows, message, code = store:scan(spaces.expiry, { before = names.expiry_key(now_ms + 1), limit = limit })
  if not rows then failure.raise(code or "failed", "%s", message) end
  return rows
end

local function expire_piece(store, rows, now_ms)
  local operations, items = {}, {}
  for _, row in ipairs(rows) do
    local scope, name = names.parse_key(row.key:sub(9))
    items[#items + 1] = { scope = scope, name = name, due_ms = now_ms, edits = { { kind = "delete", at_ms = now_ms } } }
  end
  local count = 0
  for _ in pairs(plan.add(store, items, operations)) do count = count + 1 end
  return operations, count
end

--- Deletes documents whose time has run out, those first whose time was first. Their versions stay under a
--- tombstone until they are trimmed. Waits for the disk.
---@param store weir.Store
---@param now_ms integer since 1970
---@param budget integer|nil documents at most, default 1000
---@return integer deleted
function M.expire(store, now_ms, budget)
  local left, deleted = budget or 1000, 0
  repeat
    local seen, count
    plan.commit(store, function()
      local rows = due(store, now_ms, math.min(left, PIECE))
      local operations, wanted = expire_piece(store, rows, now_ms)
      seen, count = #rows, wanted
      return operations
    end)
    left, deleted = left - seen, deleted + count
    if count > 0 then changes.wake(store) end
  until left <= 0 or seen == 0
  return deleted
end

return M

--- What prune does when the runs have gone: documents whose time is over, blobs to which nobody refers.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local memo = require "weir.run.map.memo"
local pages = require "weir.pages"
local workspace = require "weir.workspace"

local M = {}

local BUDGET = 1000 -- documents between two pauses
local HAS_ENDED = require("weir.run.keeping").HAS_ENDED

-- The lowest moment that a run which has not ended may read again: its journal says which it has read.
local function note_snapshots(store, run_id, lowest)
  for entry in pages.entries(store, run_id) do
    local is_snapshot = entry[1] == "choice" and entry[2]:find "/snapshot$"
    if is_snapshot and math.type(entry[3]) == "integer" then lowest = math.min(lowest, entry[3]) end
  end
  return lowest
end

local function lowest_snapshot(store)
  local lowest = store:lsn()
  for found in pages.runs(store) do
    if found.damaged then failure.raise("corrupt", "run '%s': its row is damaged", found.id) end
    if not HAS_ENDED[found.row.status] then lowest = note_snapshots(store, found.id, lowest) end
  end
  return lowest
end

--- Deletes documents whose time has run out, and forgets those that were deleted before every moment that a run may
--- still read. Runs at work in this process may read moments that are written nowhere yet: meanwhile none is forgotten.
--- Waits. Raises `corrupt`.
---@param prune table
---@return integer documents
function M.documents(prune)
  local store = prune.store
  if #store:scan("workspace.heads", { limit = 1, damaged = true }) == 0 then return 0 end
  local deleted = 0
  repeat
    local count = workspace.expire(store, clock.wall_ms(), BUDGET)
    deleted = deleted + count
    clock.sleep(prune.pause)
  until count < BUDGET or prune.is_stopping()
  if next(prune.live) == nil and not prune.is_stopping() then workspace.trim(store, lowest_snapshot(store), math.maxinteger) end
  return deleted
end

--- Removes outputs that maps remembered and whose time is over. Waits. Raises `corrupt`.
---@param prune table
---@return integer removed
function M.memo(prune)
  local store, now_ms, removed = prune.store, clock.wall_ms(), 0
  for found in pages.keys(store, memo.SPACE) do
    if not found.damaged and found.value.until_ms <= now_ms then
      store:delete(memo.SPACE, found.key)
      removed = removed + 1
    end
    if prune.is_stopping() then break end
  end
  return removed
end

--- Removes blobs to which nobody refers. Waits. Raises `corrupt`, `conflict`.
---@param prune table
---@return integer removed
---@return integer bytes
function M.blobs(prune)
  local removed, bytes = 0, 0
  repeat
    local counts, message, code = prune.store:sweep(prune.young) -- reads all records, so as many as it takes
    if not counts then failure.raise(code, "%s", message) end
    removed, bytes = removed + counts.removed, bytes + counts.bytes
    clock.sleep(prune.pause)
  until counts.done or prune.is_stopping()
  return removed, bytes
end

return M

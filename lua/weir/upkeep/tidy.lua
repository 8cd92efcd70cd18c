--- What prune does when the runs have gone: documents whose time is over, blobs to which nobody refers.

local answers = require "weir.model.cache"
local budget = require "weir.model.budget"
local candidates = require "weir.candidate"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local memo = require "weir.run.map.memo"
local pages = require "weir.pages"
local shelf = require "weir.skill.shelf"
local sweep = require "weir.sweep"
local workspace = require "weir.workspace"

local M = {}

local BUDGET = 1000 -- documents between two pauses
local HEADS = "workspace.heads"
local HAS_ENDED = require("weir.run.keeping").HAS_ENDED

-- The lowest moment that a run which has not ended may read again: its journal says which it has read.
local function note_snapshots(store, run_id, lowest)
  for entry in pages.entries(store, run_id) do
    local is_snapshot = entry[1] == "choice" and entry[2]:find "/snapshot$"
    if is_snapshot and math.type(entry[3]) == "integer" then lowest = math.min(lowest, entry[3]) end
  end
  return lowest
end

-- A run at work here may read moments that are written nowhere yet, none of them from before this life of it.
local function lowest_snapshot(prune)
  local store, lowest = prune.store, prune.store:lsn()
  for _, run in pairs(prune.live) do lowest = math.min(lowest, run.since_lsn or 0) end
  for found in pages.runs(store) do
    if found.damaged then failure.raise("corrupt", "run '%s': its row is damaged", found.id) end
    if not HAS_ENDED[found.row.status] then lowest = note_snapshots(store, found.id, lowest) end
  end
  return lowest
end

local function has_deleted(store)
  for row in pages.keys(store, HEADS) do
    if not row.damaged and row.value.dead then return true end
  end
  return false
end

--- Deletes documents whose time has run out, and forgets those that were deleted before every moment that a run may
--- still read. Of the others so many versions stay as the setting `versions` says; with it long logs of changes are cut.
--- Waits. Raises `corrupt`.
---@param prune table
---@return integer documents
function M.documents(prune)
  local store = prune.store
  if #store:scan(HEADS, { limit = 1, damaged = true }) == 0 then return 0 end
  local deleted = 0
  repeat
    local count = workspace.expire(store, clock.wall_ms(), BUDGET)
    deleted = deleted + count
    clock.sleep(prune.pause)
  until count < BUDGET or prune.is_stopping()
  local keep = prune.engine.project.settings.versions
  if not prune.is_stopping() and (keep or has_deleted(store)) then
    workspace.trim(store, lowest_snapshot(prune), keep or math.maxinteger)
  end
  if keep and not prune.is_stopping() then workspace.cut_logs(store) end
  return deleted
end

local function remove_over(prune, space, is_over)
  local store, now_ms = prune.store, clock.wall_ms()
  local each = pages.keys(store, space)
  return sweep.rows(store, space, function() return not prune.is_stopping() and each() or nil end,
    function(row) return is_over(row.value, now_ms) end,
    { on_removed = function() clock.sleep(prune.pause) end })
end

--- Removes outputs that maps remembered, and answers of models, whose time is over. Waits. Raises what the store refuses with.
---@param prune table
---@return integer removed
function M.remembered(prune)
  return remove_over(prune, memo.SPACE, memo.is_over) + remove_over(prune, answers.SPACE, answers.is_over)
end

--- Forgets what reflections have proposed long ago, what budgets of days long over have counted, and skills that nobody has
--- taken. Waits. Raises what the store refuses with.
---@param prune table
---@return integer removed
function M.history(prune)
  local store, now_ms = prune.store, clock.wall_ms()
  return candidates.expire(store, now_ms) + budget.expire(store, now_ms) + shelf.expire(store, now_ms)
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

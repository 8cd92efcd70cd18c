--- Keeping house: what is removed from a store and when, copies of it while it is in use, and what is made anew from
--- its journals. All of it works beside the runs of the process, in small batches with pauses.

local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"

local M = {}

---@class weir.Pruned
---@field runs integer        that went, or would go
---@field entries integer     of their journals
---@field bytes integer       that these read back to
---@field by_pipeline table<string, integer> runs
---@field definitions integer that no run pinned any more
---@field modules integer
---@field documents integer   of pipelines and of the project whose time had run out
---@field blobs integer       to which nobody referred
---@field blob_bytes integer
---@field damaged { run: string, message: string }[] runs that cannot be read, and were left
---@field left string[]       what else was left as it is, and why
---@field stopped boolean     `is_stopping` said so; the next prune goes on

---@class weir.Rebuilt
---@field rows integer       that were made anew
---@field timers integer     that were missing, or were of runs that have ended
---@field starts integer     keys that stand for a run again
---@field heads integer      of documents
---@field documents integer  whose search index was made anew
---@field records table<string, integer> counts by table, and `damaged`
---@field damaged { what: string, message: string }[] what could not be made again

--- Removes runs that have ended and whose time is over. How long a run is kept says the `retention` of the definition
--- that it pinned, else `older`, else `retention` of the project's settings; where none of them says, it stays. A run
--- goes as a whole: row, journal, questions and decisions, signals, timers, its documents and their changes. Then go:
--- documents of pipelines and of the project whose time has run out, versions of documents beyond the setting `versions`,
--- what maps and models are not remembered for any more, definitions and modules that no run pins and this process does not
--- use, blobs to which nobody refers. What cannot be read is left and named. A run that this process executes stays, and one
--- whose parent has not ended. Waits; may be cancelled at any time, the next one goes on.
--- Raises `invalid` (a duration), and what the store refuses: `full`, `unavailable`.
---@param engine weir.Engine
---@param options { older: number|string|nil, keep: integer|nil, pipeline: string|nil, dry_run: boolean|nil, pause: number|nil,
---  young: number|nil, is_lazy: boolean|nil, on_run: fun(run_id: string, size: { entries: integer, bytes: integer })|nil,
---  is_stopping: fun(): boolean|nil }|nil older: seconds or a duration; keep: so many of the newest ended runs of each
---  pipeline stay; pipeline: only its runs; dry_run: only counts runs; pause: seconds between batches, default 0.002;
---  young: seconds for which a blob is spared, default 3600; is_lazy: when no run went, nothing else is looked at;
---  on_run: called for each run; is_stopping: asked between batches
---@return weir.Pruned
function M.prune(engine, options)
  return require("weir.upkeep.prune").prune(engine, options or {})
end

--- Copies a store while it is in use, as it is at the moment when the copy begins: into a new folder, which is there once
--- it is whole and is a store itself. Nothing is left of a copy that fails. Waits; runs go on meanwhile, but space that
--- they free is not used again until it ends. Raises `conflict` (there is something already), `not_found` (its parent
--- folder is not there), `timeout`, `full`, `denied`, `unavailable` (the store had to grow meanwhile: try again).
---@param store weir.Store
---@param folder string
---@param options { timeout: number|string|nil }|nil timeout: seconds or a duration, default 300
---@return { folder: string, bytes: integer, seconds: number }
function M.backup(store, folder, options)
  local timeout, wrong = duration.parse(options and options.timeout or 300)
  if not timeout then failure.raise("invalid", "timeout: %s", wrong) end
  local began = clock.now()
  local bytes, message, code = store:backup(folder, { timeout = timeout })
  if not bytes then failure.raise(code, "%s", message) end
  return { folder = folder, bytes = bytes, seconds = clock.now() - began }
end

--- Makes anew what can be told from journals and questions: rows, the index of statuses, timers, the heads and the search
--- index of documents, and the sums by which damage is noticed. For a store in which some of it is damaged or lost, opened
--- with `force`; no run of it may be at work, and nobody may write documents meanwhile. What is sound stays as it is.
--- Of a row that was lost these cannot be told: what a parked run waited for but questions (it is looked at when it is
--- woken), that it was paused or set aside, how long it had worked. Not made again: entries, versions of documents and
--- blobs that are damaged, the numbers of forgotten documents. Waits. Raises `corrupt` (a table is unreadable), `full`,
--- `unavailable`.
---@param store weir.Store
---@return weir.Rebuilt
function M.rebuild(store)
  return require("weir.upkeep.rebuild").rebuild(store)
end

return M

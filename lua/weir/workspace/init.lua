--- The workspace: documents that the steps of a run, the runs of a pipeline and the pipelines of a project
--- share. Each document has versions; a reader sees one moment of the store, whatever is written meanwhile;
--- a writer commits all it wrote in one transaction, and is refused rather than overwrite what it has not
--- seen, where it says so.

local changes = require "weir.workspace.changes"
local overlay = require "weir.workspace.overlay"
local plan = require "weir.workspace.plan"
local record = require "weir.workspace.record"
local upkeep = require "weir.workspace.upkeep"
local view = require "weir.workspace.view"

local M = {
  trim = upkeep.trim,
  cut_logs = upkeep.cut_logs,
  expire = upkeep.expire,
  --- Reads the full name of a scope: `run:ID`, `pipeline:NAME`, `project`. Raises `invalid`, `limit`.
  parse_scope = require("weir.workspace.names").parse_scope,
}

--- A view of the workspace. Does not wait. Raises `invalid`, `limit`.
---@param store weir.Store
---@param options { run: string|nil, pipeline: string|nil, step: string|nil, author: string|nil, snapshot: integer|nil,
---  overlay: weir.WorkspaceOverlay|nil, scope: "run"|"pipeline"|"project"|nil } run, pipeline: which scopes `run` and `pipeline` are; step,
---  author: kept with what is written; snapshot: the LSN that is read, nil for the latest; scope: where nothing else is said, `run`
---@return weir.WorkspaceView
function M.view(store, options)
  return view.new(store, options or {})
end

--- The moment that is now: what views with this snapshot read does not change any more. Does not wait.
---@param store weir.Store
---@return integer lsn
function M.snapshot(store)
  return record.lsn(store)
end

--- The overlay of a branch: a view that is given it commits its writes there only, and reads them before the
--- rest. It needs nothing to be made; what it holds stays in the store until it is adopted or discarded.
--- Raises `invalid`, `limit`.
---@param store weir.Store
---@param options { run: string, branch: string }
---@return weir.WorkspaceOverlay
function M.overlay(store, options)
  return overlay.new(store, options)
end

--- The operations, for one `store:batch`, that make the documents of an overlay the real ones and delete it.
--- If the batch is refused with `conflict` they have to be asked for again; after it call
--- `overlay:committed()`. Does not wait. Raises `conflict` when a document that the branch put or deleted is
--- not in the version that the branch saw; what it merged is merged into whatever is there.
---@param branch weir.WorkspaceOverlay
---@return table[] operations none when the branch wrote nothing
function M.adopt(branch)
  return branch:adopt()
end

--- The operations, for one `store:batch`, that delete an overlay, at most 9,900 of them: where there may be
--- more documents, ask until none is left. Does not wait.
---@param branch weir.WorkspaceOverlay
---@return table[] operations none when the branch wrote nothing
function M.discard(branch)
  return branch:discard()
end

--- Commits what was written to a view, alone, however many others write. Waits for the disk. Raises as
--- `view:operations`, and what the store refuses: `full`, `unavailable`.
---@param of weir.WorkspaceView
function M.commit(of)
  plan.commit(of.store, function() return of:operations() end)
  of:committed()
end

--- Wakes everybody who watches, after a batch of operations that no view or overlay was told of.
---@param store weir.Store
function M.wake(store)
  changes.wake(store)
end

return M

--- Removes all that the workspace keeps of a run that has gone: its documents with their versions and postings, what
--- its branches wrote, the log of its changes. In batches; the last of the operations are left to the caller, to be
--- done in one transaction with the removal of the run itself. So whatever was interrupted is found again by the run.

local changes = require "weir.workspace.changes"
local names = require "weir.workspace.names"
local pages = require "weir.pages"
local record = require "weir.workspace.record"

local M = {}

local spaces = names.spaces
local BATCH = 400 -- operations
local BY_SCOPE = { spaces.versions, spaces.terms, spaces.postings, spaces.closed }

-- A batch ends between two rows, so that what `also` adds goes with its row.
local function add_all(store, list, space, prefix, also)
  for row in pages.rows(store, space, { prefix = prefix, limit = 100 }) do
    if #list.operations >= BATCH then list:flush() end
    list:add { op = "delete", space = space, key = row.key }
    if also then also(row) end
  end
end

-- The head names the time at which the document would have gone.
local function add_heads(store, list, scope)
  add_all(store, list, spaces.heads, scope .. "\0", function(row)
    local ms = not row.value.dead and row.value.expires_ms
    if ms then list:add { op = "delete", space = spaces.expiry, key = names.expiry_key(ms, row.key) } end
  end)
end

local List = {}
List.__index = List

function List:add(operation)
  self.operations[#self.operations + 1] = operation
end

function List:flush()
  local full = self.operations
  self.operations = {}
  self.write(full)
end

--- Removes the documents of a run that has ended. Waits for the disk. Raises `corrupt`, and what `write` raises.
---@param store weir.Store
---@param run_id string
---@param write fun(operations: table[]) commits a batch. Waits
---@return table[] operations the rest, at most 500
function M.run(store, run_id, write)
  local scope = names.scope("run", { run = run_id })
  local list = setmetatable({ operations = {}, write = write }, List)
  for _, space in ipairs(BY_SCOPE) do add_all(store, list, space, scope .. "\0") end
  add_all(store, list, spaces.overlays, run_id .. "\0")
  add_heads(store, list, scope)
  if record.get(store, spaces.floors, scope) then list:add { op = "delete", space = spaces.floors, key = scope } end
  list.operations[#list.operations + 1] = changes.removal(store, scope)
  return list.operations
end

return M

--- An overlay: what one branch of a speculation writes, where nobody else sees it. For each document the
--- store keeps the version that the branch saw and the edits over it. The winner's edits are committed as
--- any other writer's would be; those of the others are deleted.

local changes = require "weir.workspace.changes"
local edits = require "weir.workspace.edits"
local names = require "weir.workspace.names"
local pages = require "weir.pages"
local plan = require "weir.workspace.plan"
local record = require "weir.workspace.record"

local M = {}

local SPACE = names.spaces.overlays

---@class weir.WorkspaceOverlay
---@field run string
---@field branch string
local Overlay = {}
Overlay.__index = Overlay

--- The overlay of a branch; see `workspace.overlay`.
---@return weir.WorkspaceOverlay
function M.new(store, options)
  return setmetatable({ store = store, run = options.run, branch = options.branch,
    prefix = names.overlay_prefix(options.run, options.branch) }, Overlay)
end

-- The edits with their values.
local function loaded(store, value)
  local list = {}
  for place, edit in ipairs(value.edits) do
    local whole = {}
    for field, inner in pairs(edit) do whole[field] = inner end
    whole.value, whole.blob = record.value(store, edit), nil
    if edit.base then whole.base = record.value(store, edit.base) end
    list[place] = whole
  end
  return { base = value.base, expected = value.expected, edits = list }
end

--- What the branch did to a document.
---@param key string of the document
---@return { base: integer, expected: integer|nil, edits: weir.WorkspaceEdit[] }|nil
---@return integer|nil version of the record
function Overlay:read(key)
  local value, version = record.get(self.store, SPACE, self.prefix .. key)
  if value then return loaded(self.store, value), version end
end

--- The keys of the documents of a scope, or of all scopes, that the branch wrote.
---@param scope string|nil
---@return fun(): string|nil key
function Overlay:keys(scope)
  local rows = pages.rows(self.store, SPACE, { prefix = self.prefix .. (scope and scope .. "\0" or "") })
  return function()
    local row = rows()
    return row and row.key:sub(#self.prefix + 1)
  end
end

-- The edits as the store keeps them.
local function packed(item, list, operations)
  local small = {}
  for place, edit in ipairs(list) do
    local own = {}
    for field, inner in pairs(edit) do own[field] = inner end
    own.value = nil
    local where = names.document(item.scope, item.name)
    if edit.value ~= nil then record.place(where, own, edit.value, operations) end
    if edit.base then
      own.base = {}
      record.place(where, own.base, edit.base, operations)
    end
    small[place] = own
  end
  return small
end

--- Adds the operations that take edits into the overlay.
---@param operations table[]
---@param items weir.WorkspaceItem[]
---@param base_of fun(item: weir.WorkspaceItem): integer the version that the branch sees, 0 for none
function Overlay:add(operations, items, base_of)
  for _, item in ipairs(items) do
    local key = names.key(item.scope, item.name)
    local before, version = self:read(key)
    local base = before and before.base or base_of(item)
    if item.expected and item.expected ~= base then error(plan.conflict(item.scope, item.name, item.expected, base), 0) end
    local list = before and before.edits or {}
    for _, edit in ipairs(item.edits) do list = edits.add(item.scope, item.name, list, edit) end
    edits.fold(item.scope, item.name, { value = self:_base_value(key, base, list) }, list) -- does it fit what the branch sees?
    local value = { base = base, expected = before and before.expected or item.expected, edits = packed(item, list, operations) }
    operations[#operations + 1] = { op = "cas", space = SPACE, key = self.prefix .. key, version = version or 0, value = value }
    plan.check_count(operations, item)
  end
end

function Overlay:_base_value(key, base, list)
  if base == 0 or not edits.needs_value(list) then return nil end
  local found = record.version(self.store, key, base)
  return found and record.value(self.store, found)
end

-- A put or a deletion was decided upon what the branch saw; a merge fits whatever is there.
local function expected_of(entry)
  if edits.needs_value(entry.edits) then return entry.expected end
  return entry.base
end

--- The operations that make the overlay's documents the real ones, and delete it.
---@return table[] operations
function Overlay:adopt()
  local operations, items, removals = {}, {}, {}
  for row in pages.rows(self.store, SPACE, { prefix = self.prefix }) do
    local entry = loaded(self.store, row.value)
    local scope, name = names.parse_key(row.key:sub(#self.prefix + 1))
    items[#items + 1] = { scope = scope, name = name, edits = entry.edits, expected = expected_of(entry) }
    removals[#removals + 1] = { op = "delete", space = SPACE, key = row.key, version = row.version }
  end
  plan.add(self.store, items, operations)
  table.move(removals, 1, #removals, #operations + 1, operations)
  if #items > 0 then plan.check_count(operations, items[#items]) end
  return operations
end

--- The operations that delete the overlay, as many as one batch takes.
---@return table[] operations
function Overlay:discard()
  local operations = {}
  for key in self:keys() do
    operations[#operations + 1] = { op = "delete", space = SPACE, key = self.prefix .. key }
    if #operations == plan.operations_max then break end
  end
  return operations
end

--- Says that the operations of `adopt` are in the store: wakes those who watch. Does not wait.
function Overlay:committed()
  changes.wake(self.store)
end

return M

--- From edits to the operations of one batch. They are computed against the latest committed heads, and
--- each head is changed by compare-and-set: if anybody was faster the batch is refused as a whole, and the
--- operations are computed again. A tombstone is a version like any other. Nothing here waits.

local changes = require "weir.workspace.changes"
local clock = require "weir.port.clock"
local edits = require "weir.workspace.edits"
local failure = require "weir.failure"
local index = require "weir.workspace.index"
local names = require "weir.workspace.names"
local record = require "weir.workspace.record"

local M = {}

local spaces = names.spaces
local OPERATIONS_MAX = 9900 -- of the 10,000 of a batch; the rest is for the caller's own

---@class weir.WorkspaceItem
---@field scope string
---@field name string
---@field edits weir.WorkspaceEdit[]
---@field expected integer|nil the version that must be the latest; 0: there is none
---@field due_ms integer|nil   only if the document's time has run out by then

local function state_of(store, item, now_ms)
  local key = names.key(item.scope, item.name)
  local head, lsn = record.head(store, key)
  return { key = key, head = head, lsn = lsn or 0, live = head and record.is_live(head, now_ms) and head or nil }
end

M.operations_max = OPERATIONS_MAX

--- The error of a writer who was overtaken.
---@param scope string
---@param name string
---@param expected integer
---@param found integer
---@return table err code `conflict`, details {scope, name, expected, found}
function M.conflict(scope, name, expected, found)
  local function said(n) return n == 0 and "none" or tostring(n) end
  local err = failure.new("conflict", "%s: version %s expected, found %s; read it again", names.document(scope, name),
    said(expected), said(found))
  err.details = { scope = scope, name = name, expected = expected, found = found }
  return err
end

local function check_expected(item, state)
  local found = state.live and state.live.n or 0
  if item.expected and item.expected ~= found then error(M.conflict(item.scope, item.name, item.expected, found), 0) end
end

local function current(store, item, state)
  if not state.live or not edits.needs_value(item.edits) then return state.live end
  local document = record.meta(state.live)
  document.value = record.value(store, (record.version(store, state.key, state.live.n)))
  return document
end

-- A new document starts above the number of any that was forgotten in its scope, so that no number that
-- somebody remembers comes again.
local function next_number(store, item, state)
  if state.head then return state.head.n + 1 end
  return (record.get(store, spaces.floors, item.scope) or 0) + 1
end

local function add_expiry(operations, state, document)
  local old = state.head and not state.head.dead and state.head.expires_ms
  local new = document and document.expires_ms
  if old == new then return end
  if old then operations[#operations + 1] = { op = "delete", space = spaces.expiry, key = names.expiry_key(old, state.key) } end
  if new then operations[#operations + 1] = { op = "put", space = spaces.expiry, key = names.expiry_key(new, state.key), value = 1 } end
end

local function tombstone(item)
  local last = item.edits[#item.edits]
  return { dead = true, author = last.author, run = last.run, step = last.step, at_ms = last.at_ms }
end

-- The version and the head, in this order; the head says what the version says, but for the value.
local function add_version(operations, item, state, n, document)
  local head = document and record.meta(document) or tombstone(item)
  local version = document and record.meta(document) or tombstone(item)
  local classes = {}
  head.n = n
  if document then
    head.size = record.place(names.document(item.scope, item.name), version, document.value, operations)
    classes, head.words = index.terms_of(item.name, document)
    version.size, version.words = head.size, head.words
  end
  operations[#operations + 1] = { op = "put", space = spaces.versions, key = names.version_key(state.key, n), value = version }
  operations[#operations + 1] = { op = "cas", space = spaces.heads, key = state.key, version = state.lsn, value = head }
  return head, classes
end

-- A document that is to expire may have got more time meanwhile.
local function is_wanted(item, state)
  if not item.due_ms then return true end
  local ms = state.head and state.head.expires_ms
  return ms ~= nil and ms <= item.due_ms
end

-- What the log says of a version; of a deletion also what kind of document has gone, so that whoever watches
-- for a tag or a type hears of it.
local function logged(state, head)
  local meta = record.meta(head)
  if head.dead then meta.type, meta.tags = state.head.type, state.head.tags end
  return meta
end

local function add_item(store, operations, item, now_ms)
  local state = state_of(store, item, now_ms)
  if not is_wanted(item, state) then return nil end
  check_expected(item, state)
  local document = edits.fold(item.scope, item.name, current(store, item, state), item.edits)
  if not document and (not state.head or state.head.dead) then return nil end
  local n = next_number(store, item, state)
  local head, classes = add_version(operations, item, state, n, document)
  index.update(store, operations, item.scope, item.name, n, classes)
  add_expiry(operations, state, document)
  operations[#operations + 1] = changes.operation(store, item.scope, document and "post" or "delete", item.name, n, logged(state, head))
  return n
end

--- Raises `limit` when there are more operations than one batch takes.
---@param operations table[]
---@param item weir.WorkspaceItem the last document
function M.check_count(operations, item)
  if #operations <= OPERATIONS_MAX then return end
  failure.raise("limit", "%s: a commit has at most %d operations; commit fewer or smaller documents at once",
    names.document(item.scope, item.name), OPERATIONS_MAX)
end

--- Adds the operations that commit edits. Raises `conflict` where a version was expected that is not the
--- latest any more, `invalid` where a merge does not fit the value, `limit` for a value or a batch that is
--- too large.
---@param store weir.Store
---@param items weir.WorkspaceItem[] one for each document
---@param operations table[]
---@return table<string, integer> numbers by the keys of the documents: the version that each will have
function M.add(store, items, operations)
  local numbers, now_ms = {}, clock.wall_ms()
  for _, item in ipairs(items) do
    numbers[names.key(item.scope, item.name)] = add_item(store, operations, item, now_ms)
    M.check_count(operations, item)
  end
  return numbers
end

local TRIES = 1000

--- Commits what a function computes, again whenever another writer was faster. Waits for the disk.
---@param store weir.Store
---@param compute fun(): table[] operations; raises what nobody can mend by trying again
---@return any[] results of the batch, empty when there was nothing to do
function M.commit(store, compute)
  for _ = 1, TRIES do
    local operations = compute()
    if #operations == 0 then return {} end
    local results, message, code, at = store:batch(operations)
    if results then return results end
    local is_of_entry = at and operations[at].op == "entry" and not changes.has_moved(store, operations[at])
    if code ~= "conflict" or is_of_entry then failure.raise(code, "%s", message) end
  end
  failure.raise("conflict", "workspace: %d times another writer was faster; try again later", TRIES)
end

return M

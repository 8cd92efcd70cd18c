--- The log of changes of a scope: one entry for each version, in the order of the commits, written in the
--- transaction of the version itself. It is a journal of the store, so an offset is the number of an entry,
--- given out by the commit, and writers of different documents do not stand in each other's way. Who
--- watches reads the log and then waits; between the two nothing can be missed, since a reader that comes
--- late finds the entry and one that is early is woken.
---
--- A log that is to be cut goes on in another journal, whose offsets begin behind all of the one before; that one stays until the
--- next cut. Space `workspace.logs`: by scope, {generation, base, kept: {generation, base}}: base is the offset before the
--- first entry. Who still writes into the one before is refused, and computes its operations again.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local values = require "weir.value"

local M = {}

local EPOCH, SEALED, PAGE = 1, 2, 256
local SPACE = "workspace.logs"
local PREFIX = "workspace/" -- of the journals' ids; no run is called so
local SLACK = 1000000 -- offsets between two journals: more than writers can add to the one before while the next one begins
local FIRST = { generation = 0, base = 0 } -- a log that was never cut

local journals = setmetatable({}, { __mode = "k" }) -- by store and id
local logs = setmetatable({}, { __mode = "k" })     -- by store and scope: into which log is written
local waiting = setmetatable({}, { __mode = "k" })  -- by store and scope: who watches, in the order in which they came

-- Where a log is now, as the store says. That of a run goes with the run, and is never cut.
local function find_log(store, scope)
  if scope:sub(1, 4) == "run:" then return FIRST, 0 end
  local kept, version, code = store:get(SPACE, scope)
  if kept then return kept, version end
  if code ~= "not_found" then failure.raise(code or "failed", "%s", version) end
  return FIRST, 0
end

-- The same for who writes, who is refused when it has moved.
local function log_of(store, scope)
  if scope:sub(1, 4) == "run:" then return FIRST end
  local of_store = logs[store] or {}
  logs[store] = of_store
  of_store[scope] = of_store[scope] or find_log(store, scope)
  return of_store[scope]
end

local function id_of(scope, log)
  return PREFIX .. scope .. (log.generation > 0 and ("\1%d"):format(log.generation) or "")
end

local function journal(store, scope)
  local of_store = journals[store]
  if not of_store then
    of_store = setmetatable({}, { __mode = "v" })
    journals[store] = of_store
  end
  local id = id_of(scope, log_of(store, scope))
  local found = of_store[id]
  if not found then
    found = store:new_run(id, EPOCH)
    of_store[id] = found
  end
  return found
end

--- The operation that logs a version.
---@param store weir.Store
---@param scope string
---@param kind "post"|"delete"
---@param name string
---@param n integer
---@param meta table
---@return table operation
function M.operation(store, scope, kind, name, n, meta)
  return { op = "entry", journal = journal(store, scope), entry = { kind, name, n, meta } }
end

--- Whether an operation that was refused is of a log that goes on elsewhere: it is to be computed again. Does not wait.
---@param store weir.Store
---@param operation table
---@return boolean
function M.has_moved(store, operation)
  local id = operation.op == "entry" and operation.journal:id() or ""
  local scope = id:match("^" .. PREFIX .. "([^\1]*)")
  if not scope then return false end
  if logs[store] then logs[store][scope] = nil end -- another one may have cut it
  return id ~= id_of(scope, log_of(store, scope))
end

local function entries_of(store, id, after)
  local entries, message, code = store:entries(id, after, PAGE)
  if entries then return entries end
  if code == "not_found" then return {} end
  failure.raise(code or "failed", "%s", message)
end

--- The operation that removes the log of a run's documents; nil when there is none. Does not wait. Raises `corrupt`.
---@param store weir.Store
---@param scope string
---@return table|nil operation
function M.removal(store, scope)
  local id = id_of(scope, FIRST)
  if entries_of(store, id, 0)[1] then return { op = "forget", run = id, rowless = true } end
end

local function wake_line(line)
  for place = 1, line.count do
    local waiter = line.waiters[place]
    if waiter then waiter:wake(true) end
  end
end

--- Wakes who watches. Does not wait.
---@param store weir.Store
---@param scopes table<string, boolean>|nil nil: all of them
function M.wake(store, scopes)
  local lines = waiting[store]
  if not lines then return end
  for _, scope in ipairs(values.names(scopes or lines)) do
    local line = lines[scope]
    lines[scope] = nil
    if line then wake_line(line) end
  end
end

-- Gives also what is to be closed when it waits no longer: a run that nobody writes to any more is forgotten.
local function join_line(store, scope)
  local lines = waiting[store] or {}
  local line = lines[scope] or { count = 0, waiters = {} }
  local waiter = native.waiter()
  line.count = line.count + 1
  line.waiters[line.count], lines[scope], waiting[store] = waiter, line, lines
  local place = line.count
  return waiter, setmetatable({}, { __close = function()
    line.waiters[place] = nil
    if lines[scope] == line and next(line.waiters) == nil then lines[scope] = nil end
  end })
end

-- How many entries a journal has. Waits for the disk.
local function count(store, id, epoch)
  local handle, latest, code = store:run(id, epoch)
  if not handle then failure.raise(code or "failed", "%s", latest) end
  return latest
end

--- The offset of the latest change of a scope, 0 when there is none. Waits for the disk.
---@param store weir.Store
---@param scope string
---@return integer
function M.latest(store, scope)
  local log = find_log(store, scope)
  return log.base + count(store, id_of(scope, log), EPOCH)
end

--- Cuts the log of a pipeline's documents, or of the project's, when it has so many entries: it goes on in another journal, and
--- what came before the last cut is forgotten. Waits for the disk. Raises what the store refuses with.
---@param store weir.Store
---@param scope string
---@param most integer
---@return boolean done
function M.cut(store, scope, most)
  local old, version = find_log(store, scope)
  local old_id = id_of(scope, old)
  if scope:sub(1, 4) == "run:" or #entries_of(store, old_id, most - 1) == 0 then return false end
  local new = { generation = old.generation + 1, base = old.base + count(store, old_id, EPOCH) + SLACK,
    kept = { generation = old.generation, base = old.base } }
  local operations = { { op = "cas", space = SPACE, key = scope, version = version, value = new } }
  if old.kept then operations[2] = { op = "forget", run = id_of(scope, old.kept), rowless = true } end
  local done, message, code = store:batch(operations)
  if not done then failure.raise(code or "failed", "%s", message) end
  logs[store] = logs[store] or {}
  logs[store][scope] = new
  count(store, old_id, SEALED) -- nothing waits before it: what was computed for the old one and comes after it is refused
  return true
end

--- Changes after an offset. Does not wait. Raises `not_found` when they are forgotten.
---@param store weir.Store
---@param scope string
---@param after integer
---@return any[][] entries {kind, name, n, meta}
---@return integer offset before the first of them
function M.read(store, scope, after)
  local log = find_log(store, scope)
  if after >= log.base then return entries_of(store, id_of(scope, log), after - log.base), after end
  local kept = log.kept
  if after < kept.base then
    failure.raise("not_found", "the changes of %s up to %d are forgotten; read its documents, and go on from where the log is now", scope,
      kept.base)
  end
  local following = entries_of(store, id_of(scope, log), 0) -- once there are any, the one before is complete
  local entries = entries_of(store, id_of(scope, kept), after - kept.base)
  if #entries > 0 or #following == 0 then return entries, after end
  return following, log.base
end

--- Waits until `wake`; returns at once when something came after the offset. Raises when cancelled.
---@param store weir.Store
---@param scope string
---@param after integer
function M.wait(store, scope, after)
  local waiter, leaving = join_line(store, scope)
  local _ <close> = leaving
  if #(M.read(store, scope, after)) == 0 then waiter:wait "a change in the workspace" end
end

local function has_tag(meta, tag)
  for _, own in ipairs(meta.tags or {}) do
    if own == tag then return true end
  end
  return false
end

--- Whether a document or a change is one of those that are asked for.
---@param filter { prefix: string?, type: string?, tag: string?, author: string? }
---@param name string
---@param meta table
---@return boolean
function M.fits(filter, name, meta)
  return (filter.prefix == nil or name:sub(1, #filter.prefix) == filter.prefix)
    and (filter.type == nil or meta.type == filter.type) and (filter.author == nil or meta.author == filter.author)
    and (filter.tag == nil or has_tag(meta, filter.tag))
end

--- Iterates over the changes of a scope after an offset, those that are there and those to come. Waits for
--- the next one; ends never, but with the task.
---@param store weir.Store
---@param scope string
---@param filter table see `fits`
---@param offset integer
---@return fun(): { offset: integer, name: string, version: integer, kind: "post"|"delete", meta: table }
function M.watch(store, scope, filter, offset)
  local page, at = {}, 0
  return function()
    while true do
      while at < #page do
        at, offset = at + 1, offset + 1
        local kind, name, n, meta = table.unpack(page[at], 1, 4)
        if M.fits(filter, name, meta) then return { offset = offset, name = name, version = n, kind = kind, meta = meta } end
      end
      page, offset = M.read(store, scope, offset)
      at = 0
      if #page == 0 then M.wait(store, scope, offset) end
    end
  end
end

return M

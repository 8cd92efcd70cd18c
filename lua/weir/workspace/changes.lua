--- The log of changes of a scope: one entry for each version, in the order of the commits, written in the
--- transaction of the version itself. It is a journal of the store, so an offset is the number of an entry,
--- given out by the commit, and writers of different documents do not stand in each other's way. Who
--- watches reads the log and then waits; between the two nothing can be missed, since a reader that comes
--- late finds the entry and one that is early is woken.

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local values = require "weir.value"

local M = {}

local EPOCH, PAGE = 1, 256
local PREFIX = "workspace/" -- of the journals' ids; no run is called so

local journals = setmetatable({}, { __mode = "k" }) -- by store and scope
local waiting = setmetatable({}, { __mode = "k" })  -- by store and scope: who watches, in the order in which they came

local function journal(store, scope)
  local of_store = journals[store]
  if not of_store then
    of_store = setmetatable({}, { __mode = "v" })
    journals[store] = of_store
  end
  local found = of_store[scope]
  if not found then
    found = store:new_run(PREFIX .. scope, EPOCH)
    of_store[scope] = found
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

--- The operation that removes the log of a scope; nil when there is none. Does not wait. Raises `corrupt`.
---@param store weir.Store
---@param scope string
---@return table|nil operation
function M.removal(store, scope)
  local entries, message, code = store:entries(PREFIX .. scope, 0, 1)
  if entries and entries[1] then return { op = "forget", run = PREFIX .. scope, rowless = true } end
  if not entries and code ~= "not_found" then failure.raise(code or "failed", "%s", message) end
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

-- A waiter belongs to the task that waits; when that was cancelled it goes by itself.
local function join_line(store, scope)
  local lines = waiting[store] or {}
  local line = lines[scope] or { count = 0, waiters = setmetatable({}, { __mode = "v" }) }
  local waiter = native.waiter()
  line.count = line.count + 1
  line.waiters[line.count], lines[scope], waiting[store] = waiter, line, lines
  return waiter
end

--- The offset of the latest change of a scope, 0 when there is none. Waits for the disk.
---@param store weir.Store
---@param scope string
---@return integer
function M.latest(store, scope)
  local handle, latest, code = store:run(PREFIX .. scope, EPOCH)
  if not handle then failure.raise(code or "failed", "%s", latest) end
  return latest
end

--- Changes after an offset. Does not wait.
---@param store weir.Store
---@param scope string
---@param after integer
---@return any[][] entries {kind, name, n, meta}
function M.read(store, scope, after)
  local entries, message, code = store:entries(PREFIX .. scope, after, PAGE)
  if entries then return entries end
  if code == "not_found" then return {} end
  failure.raise(code or "failed", "%s", message)
end

--- Waits until `wake`; returns at once when something came after the offset. Raises when cancelled.
---@param store weir.Store
---@param scope string
---@param after integer
function M.wait(store, scope, after)
  local waiter = join_line(store, scope)
  if #M.read(store, scope, after) == 0 then waiter:wait "a change in the workspace" end
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
      page, at = M.read(store, scope, offset), 0
      if #page == 0 then M.wait(store, scope, offset) end
    end
  end
end

return M

--- Which version of a name serves and which did before, so that it can be taken back; with a store also after a restart.
---
--- The space `active` holds a record by full name: {version, instead_of, history, at, by}. Without `instead_of` the file
--- decides, and `version` is what it gave last. With it, somebody chose a version instead of the one that the file gives:
--- that holds until the file gives another. `history` lists what served before, the latest first. The sources of all of
--- them are kept, in `modules` and `definitions`, and in memory.

local failure = require "weir.failure"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local names = require "weir.registry.names"
local pages = require "weir.pages"
local registry_type = require "weir.registry"

local M = {}

local SPACE = "active"
M.depth = 8 -- versions of a history

---@class weir.ActiveRecord
---@field version string
---@field instead_of string|nil
---@field history { version: string, at: integer }[]
---@field at integer ms since 1970
---@field by string

local function known(value)
  if value == json.null then return nil end
  return value
end

local function sources(registry)
  registry.sources = registry.sources or {}
  return registry.sources
end

local function records(registry)
  registry.records = registry.records or {}
  return registry.records
end

-- A store that was closed under the registry is none.
local function get(registry, space, key)
  local store = registry.store
  if not store then return nil end
  local ok, value = pcall(function() return store:get(space, key) end)
  return ok and value or nil
end

--- The record of a name, or nil when nothing but its file has ever decided.
---@param registry weir.Registry
---@param full string
---@return weir.ActiveRecord|nil
function M.of(registry, full)
  local record = records(registry)[full]
  if record then return record end
  record = get(registry, SPACE, full)
  if not record then return nil end
  record = { version = record.version, instead_of = known(record.instead_of), history = known(record.history) or {}, at = record.at,
    by = record.by }
  records(registry)[full] = record
  return record
end

local function key_of(full, version)
  if names.pipeline(full) then return "definitions", version end
  return "modules", full .. "@" .. version
end

local function kept_record(full, loaded)
  if names.pipeline(full) then return keeping.definition_record(loaded) end
  return { text = loaded.text, file = loaded.file, used = loaded.used, loaded_at = loaded.loaded_at }
end

--- What is kept of a version, in memory or in the store; nil when nothing is.
---@param registry weir.Registry
---@param full string
---@param version string
---@return table|nil
function M.kept(registry, full, version)
  return sources(registry)[full .. "@" .. version] or get(registry, key_of(full, version))
end

--- A version from what is kept of it, loaded and checked. Waits.
---@param registry weir.Registry
---@param full string
---@param version string
---@return table|nil
---@return table|nil err `not_found`: its source is not kept; `invalid`, `timeout`
function M.load(registry, full, version)
  local kept = M.kept(registry, full, version)
  if not kept then return nil, failure.new("not_found", "the source of '%s' version %s is not kept", full, version:sub(1, 12)) end
  if not names.pipeline(full) then
    local kind, name = registry_type.split(full)
    return registry:load_kept(kind, name, kept)
  end
  local ok, definition = pcall(registry.load_definition, kept)
  if ok then return definition end
  return nil, failure.of(definition)
end

--- What is to serve when a file was loaded: that, unless somebody chose another version instead of it. Waits.
---@param registry weir.Registry
---@param full string
---@param loaded table
---@return table
function M.choose(registry, full, loaded)
  local record = M.of(registry, full)
  if not record or record.instead_of ~= loaded.version then return loaded end
  return M.load(registry, full, record.version) or loaded
end

-- What was loaded before there was a store to say what is to serve.
local function choose_loaded(registry)
  for _, full in ipairs(names.known(registry)) do
    local current = names.current(registry, full)
    local other = current and M.choose(registry, full, current) or current
    if other ~= current and names.pipeline(full) then registry.definitions[names.pipeline(full)] = other end
    if other ~= current then registry:swap(names.pipeline(full) and {} or { other }) end
  end
end

--- Has a registry honour and keep in a store what was chosen to serve. Waits when something that is loaded was replaced.
---@param registry weir.Registry
---@param store weir.Store
function M.attach(registry, store)
  registry.store, registry.records = store, nil
  registry.choose = function(full, loaded) return M.choose(registry, full, loaded) end
  choose_loaded(registry)
end

local function is_of(full, found)
  local name = names.pipeline(full)
  if not name then return true end
  local kept = found.value
  return (kept.kind == "flow" and known(kept.name) or type(kept.normal) == "table" and kept.normal.name) == name
end

--- What served before, the latest first: as the record says, else what runs have left in the store.
---@param registry weir.Registry
---@param full string
---@param version string that serves now
---@return { version: string, at: integer }[]
function M.history(registry, full, version)
  local record = M.of(registry, full)
  if record then return record.history end
  local list, after = {}, nil
  local space = names.pipeline(full) and "definitions" or "modules"
  local prefix = space == "modules" and full .. "@" or nil
  repeat
    local page = registry.store and registry.store:scan(space, { prefix = prefix, after = after, limit = 500 }) or {}
    for _, found in ipairs(page) do
      local other = found.key:match "[^@]*$"
      if other ~= version and is_of(full, found) then list[#list + 1] = { version = other, at = known(found.value.loaded_at) or 0 } end
    end
    after = page[#page] and page[#page].key
  until #page < 500
  table.sort(list, function(a, b) return a.at > b.at end)
  return table.move(list, 1, math.min(#list, M.depth), 1, {})
end

-- What served until now comes before the others, once.
local function pushed(history, version, at)
  local list = { { version = version, at = at } }
  for _, one in ipairs(history) do
    if one.version ~= version and #list < M.depth then list[#list + 1] = one end
  end
  return list
end

--- The record after a change.
---@param registry weir.Registry
---@param change weir.Change
---@param at integer
---@param by string
---@return weir.ActiveRecord
function M.next(registry, change, at, by)
  local before = M.of(registry, change.full)
  local history = before and before.history or {}
  if change.history then
    history = change.history
  elseif change.old and change.old.text ~= nil or change.old and change.old.normal then
    history = pushed(history, change.old.version, change.old.loaded_at or at)
  end
  local without = {}
  for _, one in ipairs(history) do
    if one.version ~= change.new.version then without[#without + 1] = one end
  end
  return { version = change.new.version, instead_of = change.instead_of, history = without, at = at, by = by }
end

--- The operations of the store that keep a change: its record, the sources of what serves and of what served.
---@param full string
---@param record weir.ActiveRecord
---@param change weir.Change
---@param operations table[] gets them appended
function M.operations(full, record, change, operations)
  operations[#operations + 1] = { op = "put", space = SPACE, key = full, value = record }
  local old = change.old and change.old.version ~= change.new.version and change.old or nil -- it may be chosen to go on serving
  for _, loaded in ipairs { change.new, old } do
    if loaded.text ~= nil or loaded.normal then
      local space, key = key_of(full, loaded.version)
      operations[#operations + 1] = { op = "put", space = space, key = key, value = kept_record(full, loaded) }
    end
  end
end

--- Notes a change in memory, once it is on disk.
---@param registry weir.Registry
---@param full string
---@param record weir.ActiveRecord
---@param change weir.Change
function M.note(registry, full, record, change)
  records(registry)[full] = record
  local all, wanted = sources(registry), { [full .. "@" .. record.version] = true }
  for _, loaded in ipairs { change.new, change.old } do all[full .. "@" .. loaded.version] = kept_record(full, loaded) end
  for _, one in ipairs(record.history) do wanted[full .. "@" .. one.version] = true end
  for key in pairs(all) do
    if key:sub(1, #full + 1) == full .. "@" and not wanted[key] then all[key] = nil end
  end
end

--- Versions that records name, as `keeping` has their keys: they stay though no run has them.
---@param store weir.Store
---@return table<string, boolean> by "SPACE/KEY"
function M.pinned(store)
  local pinned = {}
  for found in pages.rows(store, SPACE, {}) do
    local function add(version)
      local space, key = key_of(found.key, version)
      pinned[space .. "/" .. key] = true
    end
    add(found.value.version)
    for _, one in ipairs(known(found.value.history) or {}) do add(one.version) end
  end
  return pinned
end

return M

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
  if not registry.store then return nil end
  local ok, value = pcall(registry.store.get, registry.store, space, key)
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
  for _, loaded in ipairs { change.new, change.old } do
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
  local pinned, after = {}, nil
  repeat
    local page, message, code = store:scan(SPACE, { after = after, limit = 500 })
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, found in ipairs(page) do
      local function add(version)
        local space, key = key_of(found.key, version)
        pinned[space .. "/" .. key] = true
      end
      add(found.value.version)
      for _, one in ipairs(known(found.value.history) or {}) do add(one.version) end
    end
    after = page[#page] and page[#page].key
  until #page < 500
  return pinned
end

return M

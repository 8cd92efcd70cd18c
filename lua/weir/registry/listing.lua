--- Which versions there are of modules and pipelines: what serves, and what runs still hold.

local kinds = require "weir.registry.kinds"
local names = require "weir.registry.names"
local pages = require "weir.pages"
local pins = require "weir.upkeep.pins"
local registry_type = require "weir.registry"
local value_of = require "weir.value"

local M = {}

local IDS = 20 -- of runs that are named with a version
local UNFINISHED = { "running", "waiting", "in_doubt", "quarantined" }

---@class weir.VersionRow
---@field full string
---@field kind string    of the module, or "pipeline"
---@field name string
---@field version string|nil nil: no version could be loaded
---@field file string|nil
---@field active boolean     new runs begin with it
---@field runs integer       that have not ended and hold it
---@field run_ids string[]    some of them
---@field loaded_at integer|nil ms since 1970
---@field error string|nil   why the file's text does not serve
---@field doc string|nil

-- Which runs that have not ended hold what: {count, ids} by "modules/FULL@VERSION" and "definitions/VERSION".
local function holders(engine)
  local held, seen, flows = {}, {}, {}
  local function add(pinned, id)
    for key in pairs(pinned) do
      local own = held[key] or { count = 0, ids = {} }
      own.count, held[key] = own.count + 1, own
      if #own.ids < IDS then own.ids[#own.ids + 1] = id end
    end
  end
  for _, status in ipairs(engine and engine.store and UNFINISHED or {}) do
    for found in pages.runs(engine.store, { status = status }) do
      local pinned = {}
      if not seen[found.id] and pcall(pins.add_run, engine.store, pinned, flows, found.id) then add(pinned, found.id) end
      seen[found.id] = true
    end
  end
  for id, run in pairs(engine and engine.live or {}) do
    local pinned = { ["definitions/" .. run.plan.version] = true }
    for full, version in pairs(run.binding.pins) do
      pinned[names.pipeline(full) and "definitions/" .. version or "modules/" .. full .. "@" .. version] = true
    end
    if not seen[id] then add(pinned, id) end
  end
  return held
end

local function all_names(self)
  local set = {}
  for kind, entry in pairs(kinds.kinds) do
    for _, name in ipairs(self.registry:names(kind)) do set[entry.folder .. "/" .. name] = true end
  end
  for _, name in ipairs(self.project:pipeline_names()) do set["pipelines/" .. name] = true end
  for _, found in ipairs(self.registry.versions:list()) do set[found.name] = true end
  for key in pairs(self.held) do
    local full = key:match "^modules/(.+)@"
    if full then set[full] = true end
  end
  return names.in_order(set)
end

local function new_row(full, fields)
  local kind, name = "pipeline", names.pipeline(full)
  if not name then kind, name = registry_type.split(full) end
  fields.full, fields.kind, fields.name = full, kind, name
  local held = fields.held or { count = 0, ids = {} }
  fields.runs, fields.run_ids, fields.held = held.count, held.ids, nil
  return fields
end

local function error_of(self, full, current)
  local failed = self.registry.failed[full]
  if failed then return failed.err.message end
  if current and current.is_removed then return ("its file %s was removed; this version goes on serving"):format(current.file) end
end

local function active_row(self, full)
  local current, err = names.ensure(self.registry, full)
  if not current then return new_row(full, { active = false, file = err.file, error = err.message }) end
  local key = names.pipeline(full) and "definitions/" .. current.version or "modules/" .. full .. "@" .. current.version
  return new_row(full, { active = true, version = current.version, file = current.file, loaded_at = current.loaded_at,
    held = self.held[key], error = error_of(self, full, current),
    doc = current.module and current.module.doc or current.normal and current.normal.doc })
end

local function older_version(self, full, version)
  local entry = not names.pipeline(full) and self.registry.versions:lookup(full, version) or nil
  if entry then return entry.file, entry.loaded_at end
  local store, kept = self.engine and self.engine.store, nil
  if store and names.pipeline(full) then kept = store:get("definitions", version) end
  if store and not names.pipeline(full) then kept = store:get("modules", full .. "@" .. version) end
  local at = kept and kept.loaded_at
  return kept and kept.file, math.type(at) == "integer" and at or nil
end

-- Versions that do not serve any more, and that a run or this process still has.
local function older_of(self, full, active)
  local versions = {}
  for _, found in ipairs(self.registry.versions:list()) do
    if found.name == full and not found.active then versions[found.version] = true end
  end
  for key in pairs(self.held) do
    local held, version = key:match "^modules/(.+)@([^@]+)$"
    if held == full then versions[version] = true end
  end
  versions[active or ""] = nil
  local rows = {}
  for _, version in ipairs(value_of.names(versions)) do
    local file, loaded_at = older_version(self, full, version)
    rows[#rows + 1] = new_row(full, { active = false, version = version, file = file, loaded_at = loaded_at,
      held = self.held["modules/" .. full .. "@" .. version] })
  end
  table.sort(rows, function(a, b) return (a.loaded_at or 0) > (b.loaded_at or 0) end)
  return rows
end

-- Definitions that do not serve any more and that runs hold, by the name of their pipeline.
local function older_definitions(self)
  local by_name = {}
  for key in pairs(self.held) do
    local version = key:match "^definitions/(.+)$"
    local kept = version and self.engine.store and self.engine.store:get("definitions", version)
    local name = kept and (kept.kind == "flow" and kept.name or type(kept.normal) == "table" and kept.normal.name)
    if type(name) == "string" then
      by_name[name] = by_name[name] or {}
      local loaded_at = math.type(kept.loaded_at) == "integer" and kept.loaded_at or nil
      table.insert(by_name[name], { version = version, file = kept.file, loaded_at = loaded_at, held = self.held[key] })
    end
  end
  return by_name
end

--- The versions of modules and pipelines: for each name the one that serves, then older ones that are held. Loads what was
--- not loaded yet. Waits.
---@param project weir.Project
---@param engine weir.Engine|nil whose runs are counted
---@param only string|nil a kind, or "pipeline"
---@return weir.VersionRow[]
function M.rows(project, engine, only)
  local self = { project = project, registry = project.registry, engine = engine, held = holders(engine) }
  local rows, definitions = {}, older_definitions(self)
  for _, full in ipairs(all_names(self)) do
    local row = active_row(self, full)
    rows[#rows + 1] = row
    for _, older in ipairs(row.kind ~= "pipeline" and older_of(self, full, row.version) or {}) do rows[#rows + 1] = older end
    for _, older in ipairs(row.kind == "pipeline" and definitions[row.name] or {}) do
      older.active = false
      if older.version ~= row.version then rows[#rows + 1] = new_row(full, older) end
    end
  end
  local fitting = {}
  for _, row in ipairs(rows) do
    if not only or row.kind == only then fitting[#fitting + 1] = row end
  end
  return fitting
end

return M

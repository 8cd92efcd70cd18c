--- What modules and pipelines have in common for a reload: a full name ("agents/writer", "pipelines/digest"), a version
--- that serves, files that it was made of, and a text that can be kept.

local failure = require "weir.failure"
local kinds = require "weir.registry.kinds"
local registry_type = require "weir.registry"
local source = require "weir.registry.source"
local value_of = require "weir.value"

local M = {}

--- The name of a pipeline's full name, or nil for a module's.
---@param full string
---@return string|nil
function M.pipeline(full)
  return full:match "^pipelines/(.+)$"
end

--- The version that serves, or nil when none was loaded yet.
---@param registry weir.Registry
---@param full string
---@return table|nil an entry of the registry or a definition; both have version, file, text, used, loaded_at
function M.current(registry, full)
  local name = M.pipeline(full)
  if name then return registry.definitions[name] end
  return (registry.versions:lookup(full))
end

--- The version that serves; its file is loaded when it is asked for the first time. Waits then.
---@param registry weir.Registry
---@param full string
---@return table|nil
---@return table|nil err
function M.ensure(registry, full)
  local current = M.current(registry, full)
  if current then return current end
  local name = M.pipeline(full)
  if not name then return registry:lookup(registry_type.split(full)) end
  if registry.pipeline then return registry.pipeline(name) end
  return nil, failure.new("not_found", "pipeline '%s': no project is open", name)
end

--- Loads what the file says now, aside. Waits.
---@param registry weir.Registry
---@param full string
---@param overlay table<string, weir.RegistryEntry>|nil
---@return table|nil loaded
---@return table|nil err
function M.load(registry, full, overlay)
  local name = M.pipeline(full)
  if not name then return registry:load_aside(registry_type.split(full)) end
  if registry.load_pipeline then return registry.load_pipeline(name, overlay) end
  return nil, failure.new("not_found", "pipeline '%s': no project is open", name)
end

local EXTENSIONS = { lua = true, yaml = true, yml = true, json = true }

--- The name of what a file below a root would be, or nil.
---@param relative string
---@return string|nil full
function M.of_file(relative)
  local folder, name = relative:match "^modules/([a-z]+)/([a-z][a-z0-9_]*)%.lua$"
  if folder and kinds.folders[folder] then return folder .. "/" .. name end
  local pipeline, extension = relative:match "^pipelines/([a-z][a-z0-9_-]*)%.(%a+)$"
  return pipeline and EXTENSIONS[extension] and "pipelines/" .. pipeline or nil
end

--- Paths below a root of the files that a name may have.
---@param full string
---@return string[]
function M.files(full)
  local name = M.pipeline(full)
  if not name then return { ("modules/%s.lua"):format(full) } end
  local list = {}
  for _, extension in ipairs(value_of.names(EXTENSIONS)) do list[#list + 1] = ("pipelines/%s.%s"):format(name, extension) end
  return list
end

local function is_needed(full, current, failed, changed)
  for _, relative in ipairs(M.files(full)) do
    if changed[relative] then return true end
  end
  for _, file in ipairs(current and current.used or {}) do
    if changed[source.relative(file.name)] then return true end
  end
  for relative in pairs(failed and failed.needs or {}) do
    if changed[relative] then return true end
  end
  return false
end

--- Modules before pipelines, each in order of their names.
---@param set table<string, boolean>
---@return string[]
function M.in_order(set)
  local modules, pipelines = {}, {}
  for full in pairs(set) do (M.pipeline(full) and pipelines or modules)[full] = true end
  local list = value_of.names(modules)
  for _, full in ipairs(value_of.names(pipelines)) do list[#list + 1] = full end
  return list
end

--- All names that serve, or that could not be loaded; without what was put there and has no file.
---@param registry weir.Registry
---@return string[] in the order in which they are loaded: modules, then the pipelines that name them
function M.known(registry)
  local set = {}
  for _, found in ipairs(registry.versions:list()) do
    if found.active and (registry.versions:lookup(found.name)).text then set[found.name] = true end
  end
  for name, definition in pairs(registry.definitions) do
    if definition.file then set["pipelines/" .. name] = true end
  end
  for full in pairs(registry.failed) do set[full] = true end
  return M.in_order(set)
end

--- Names that depend on changed files.
---@param registry weir.Registry
---@param changed table<string, boolean> paths below a root
---@return string[] in the order in which they are loaded
function M.affected(registry, changed)
  local set = {}
  for relative in pairs(changed) do
    local full = M.of_file(relative)
    if full then set[full] = true end
  end
  for _, full in ipairs(M.known(registry)) do
    if is_needed(full, M.current(registry, full), registry.failed[full], changed) then set[full] = true end
  end
  return M.in_order(set)
end

return M

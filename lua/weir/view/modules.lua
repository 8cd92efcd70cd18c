--- The modules that a project's pipelines can name, as programs read them.

local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
local shape = require "weir.view.shape"

local M = {}

--- The kinds of modules, sorted.
---@return string[]
function M.kinds()
  return require("weir.value").names(kinds.kinds)
end

--- One module, loaded; one that does not load has an `error`.
---@param here weir.Project
---@param kind string
---@param name string
---@return { kind: string, name: string, version: string?, file: string?, loaded_ms: integer?, error: string?, doc: string? }
function M.entry(here, kind, name)
  local entry, err = here.registry:lookup(kind, name)
  if entry then
    return { kind = kind, name = name, version = entry.version, file = entry.file, loaded_ms = entry.loaded_at, doc = entry.module.doc }
  end
  return { kind = kind, name = name, file = err.file, error = err.message }
end

--- All modules of a project.
---@param here weir.Project
---@param only string|nil a kind
---@return table[] as `entry`
function M.list(here, only)
  local list = {}
  for _, kind in ipairs(only and { only } or M.kinds()) do
    for _, name in ipairs(here.registry:names(kind)) do list[#list + 1] = M.entry(here, kind, name) end
  end
  return list
end

local function or_null(value)
  if value == nil then return json.null end
  return value
end

--- An entry as programs read it.
---@param entry table
---@return table
function M.shape(entry)
  return { kind = entry.kind, name = entry.name, version = or_null(entry.version), file = or_null(entry.file),
    active = entry.error == nil, runs = json.null, loaded_at = shape.time(entry.loaded_ms), error = or_null(entry.error) }
end

return M

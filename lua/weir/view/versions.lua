--- The versions of one module or pipeline with what each of them says, so that two can be compared.

local active = require "weir.registry.active"
local json = require "weir.native.json"
local names = require "weir.registry.names"
local shape = require "weir.view.shape"

local M = {}

local or_null = require("weir.value").or_null

-- Of a declared pipeline the normal form is kept, which is written as YAML.
local function source_of(kept)
  if not kept then return nil end
  local normal = kept.normal
  if type(normal) == "table" then return (require("weir.definition.print").print(normal, "yaml")) end
  return type(kept.text) == "string" and kept.text or nil
end

local function row_of(version, kept, fields)
  return { version = version, active = fields.active == true, runs = or_null(fields.runs), loaded_at = shape.time(fields.loaded_at),
    file = or_null(fields.file or kept and kept.file), source = or_null(source_of(kept)) }
end

--- The version that serves, then those that runs hold or that served before, the newest first. Waits.
---@param registry weir.Registry
---@param full string such as "agents/writer" or "pipelines/digest"
---@param held weir.VersionRow[] of this name
---@return table[] {version, active, runs, loaded_at, file, source}; source: null when it is not kept
function M.of(registry, full, held)
  local current = names.ensure(registry, full)
  local list, seen = json.list {}, {}
  local function add(version, kept, fields)
    if version == nil or seen[version] then return end
    seen[version] = true
    list[#list + 1] = row_of(version, kept, fields)
  end
  for _, row in ipairs(held) do
    local kept = current and current.version == row.version and current or active.kept(registry, full, row.version or "")
    add(row.version, kept, row)
  end
  for _, one in ipairs(current and active.history(registry, full, current.version) or {}) do
    add(one.version, active.kept(registry, full, one.version), { loaded_at = one.at ~= 0 and one.at or nil })
  end
  return list
end

return M

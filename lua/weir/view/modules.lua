--- The modules that a project's pipelines can name, their versions, and what became of a reload, as programs read them.

local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
local listing = require "weir.registry.listing"
local shape = require "weir.view.shape"

local M = {}

--- The kinds of modules, sorted.
---@return string[]
function M.kinds()
  return require("weir.value").names(kinds.kinds)
end

--- All modules of a project, loaded; one that does not load has an `error`. Waits.
---@param here weir.Project
---@param only string|nil a kind
---@param engine weir.Engine|nil whose runs are counted
---@return weir.VersionRow[]
function M.list(here, only, engine)
  local list = {}
  for _, row in ipairs(listing.rows(here, engine, only)) do
    if row.kind ~= "pipeline" then list[#list + 1] = row end
  end
  return list
end

local or_null = require("weir.value").or_null

--- A version as programs read it.
---@param row weir.VersionRow
---@return table
function M.shape(row)
  return { kind = row.kind, name = row.name, version = or_null(row.version), file = or_null(row.file), active = row.active,
    runs = row.runs, loaded_at = shape.time(row.loaded_at), error = or_null(row.error) }
end

--- A report of a reload, for programs.
---@param report weir.ReloadReport
---@return table
function M.report(report)
  local out = { reloaded = json.list {}, failed = json.list {}, removed = json.list {}, unchanged = json.list {}, seconds = report.seconds }
  for index, one in ipairs(report.reloaded) do
    out.reloaded[index] = { name = one.name, from = or_null(one.from), to = one.to, file = or_null(one.file) }
  end
  for index, one in ipairs(report.failed) do
    out.failed[index] = { name = one.name, code = one.code, message = one.message, file = or_null(one.file), line = or_null(one.line),
      excerpt = or_null(one.excerpt) }
  end
  for index, one in ipairs(report.removed) do
    out.removed[index] = { name = one.name, version = one.version, file = or_null(one.file) }
  end
  for index, name in ipairs(report.unchanged) do out.unchanged[index] = name end
  return out
end

return M

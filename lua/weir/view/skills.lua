--- Skills as programs and people see them: what serves, what is on trial beside it, how calls went.

local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local shelf = require "weir.skill.shelf"
local value_of = require "weir.value"

local M = {}

local or_null = value_of.or_null

--- A version in short.
---@param store weir.Store
---@param version weir.SkillVersion
---@return table
function M.row(store, version)
  local counts = shelf.counts(store, version.hash)
  return { name = version.name, version = version.version, state = version.state, hash = version.hash, calls = counts.calls,
    good = counts.good, rate = shelf.rate(counts), description = version.manifest.description, may = manifest_of.privileges(
    version.manifest.grants), origin = version.origin, by = version.by, at_ms = version.at_ms, cause = or_null(version.cause) }
end

--- Every skill that has not been removed: versions that serve or are on trial, in order of their names.
---@param store weir.Store
---@return table[]
function M.rows(store)
  local rows = {}
  for _, name in ipairs(shelf.names(store)) do
    local record = shelf.name(store, name)
    for _, hash in ipairs { record.active or false, record.shadow or false } do
      local version = hash and shelf.version(store, hash)
      if version then rows[#rows + 1] = M.row(store, version) end
    end
  end
  return rows
end

--- All that is known of a name: its versions, the latest last, with their trials.
---@param store weir.Store
---@param name string
---@return table|nil
function M.whole(store, name)
  local versions = json.list {}
  for index, version in ipairs(shelf.versions(store, name)) do
    local row = M.row(store, version)
    row.trial, row.source, row.author = version.trial, version.source, version.manifest.author
    versions[index] = row
  end
  if #versions == 0 then return nil end
  local record = shelf.name(store, name)
  return { name = name, given = record and json.list(record.given) or json.list {}, active = or_null(record and record.active),
    shadow = or_null(record and record.shadow), versions = versions }
end

return M

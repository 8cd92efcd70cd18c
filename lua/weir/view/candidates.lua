--- Candidates as programs and people see them: what was proposed, how it did, what became of it.

local candidates = require "weir.candidate"
local json = require "weir.native.json"
local patches = require "weir.planning.patch"
local planned = require "weir.planning.show"
local shape = require "weir.view.shape"
local value_of = require "weir.value"

local M = {}

local or_null = value_of.or_null

local function scores(of)
  if not of then return json.null end
  local inputs = json.list {}
  for index, one in ipairs(of.inputs or {}) do
    inputs[index] = { input = one.input, before = or_null(one.before), after = or_null(one.after), error = or_null(one.error) }
  end
  return { before = or_null(of.before), after = or_null(of.after), inputs = inputs }
end

--- A candidate as programs read it.
---@param record weir.Candidate
---@return table
function M.shape(record)
  return { id = record.id, pipeline = record.pipeline, state = record.state, round = record.round, cycle = record.cycle,
    run = or_null(record.run), parent = record.parent, version = or_null(record.version), module = or_null(record.module),
    module_version = or_null(record.module_version), reason = record.reason, patch = or_null(record.patch), diff = or_null(record.diff),
    size = or_null(record.size), code = or_null(record.code), why = or_null(record.why), by = or_null(record.by),
    hash = or_null(record.hash), tuning = scores(record.tuning), holdout = scores(record.holdout), cost = or_null(record.cost),
    at = shape.time(record.at_ms), ended_at = shape.time(record.ended_ms) }
end

-- What was refused may have been no patch at all.
local function is_patch(patch)
  if type(patch) ~= "table" or not json.is_list(patch) then return false end
  for _, one in ipairs(patch) do
    if type(one) ~= "table" or type(one.path) ~= "string" then return false end
  end
  return true
end

--- What a candidate changes, a line each.
---@param record weir.Candidate
---@return string[]
function M.changes(record)
  local diff, patch = or_null(record.diff), or_null(record.patch)
  if diff ~= json.null then return json.list(diff) end
  if patch == json.null then return json.list {} end
  return is_patch(patch) and planned.changes(nil, patch) or json.list { "? " .. (json.encode(patch) or "") }
end

--- A candidate with `before` and `after`, the normal forms of the definition that it is made of and of what it makes of that (null:
--- the store does not keep it, or the patch does not apply, or it changes a module), and `changes`, a line each.
---@param store weir.Store
---@param record weir.Candidate
---@return table
function M.whole(store, record)
  local whole, kept = M.shape(record), store:get("definitions", record.parent)
  local before = kept and is_patch(whole.patch) and kept.normal or nil
  whole.before, whole.after = or_null(before), or_null(before and patches.apply(before, whole.patch))
  whole.changes = M.changes(record)
  return whole
end

--- What was proposed after a run, or by a run that reflects; the oldest first.
---@param store weir.Store
---@param record weir.view.Record of the run
---@return weir.Candidate[]
function M.of_run(store, record)
  local found = {}
  if not record.normal or not (record.normal.reflect or record.pipeline:find "%-reflection$") then return found end
  for _, one in ipairs(candidates.list(store)) do
    if one.run == record.id or one.cycle == record.id then found[#found + 1] = one end
  end
  return found
end

--- How many candidates there are of each pipeline in each state.
---@param store weir.Store
---@return { pipeline: string, state: string, count: integer }[]
function M.counts(store)
  local rows, by_key = {}, {}
  for _, one in ipairs(candidates.list(store)) do
    local key = one.pipeline .. "/" .. one.state
    if not by_key[key] then
      by_key[key] = { pipeline = one.pipeline, state = one.state, count = 0 }
      rows[#rows + 1] = by_key[key]
    end
    by_key[key].count = by_key[key].count + 1
  end
  return rows
end

return M

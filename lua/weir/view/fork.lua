--- What a retry or a fork would keep and do again, as programs read it.

local json = require "weir.native.json"
local record_of = require "weir.view.record"

local M = {}

local or_null = require("weir.value").or_null

--- What the steps of a run are done by, by key.
---@param store weir.Store
---@param run_id string
---@return table<string, string>
function M.done_by(store, run_id)
  local found = {}
  for _, step in ipairs(record_of.load(store, run_id).steps) do found[step.key] = step.by end
  return found
end

---@param store weir.Store
---@param made weir.Fork
---@return table
function M.shape(store, made)
  local by, repeated, kept = M.done_by(store, made.history.id), json.list {}, json.list {}
  for index, one in ipairs(made.repeated) do
    repeated[index] = { key = one.key, agent = or_null(by[one.key]), status = one.status, times = one.times }
  end
  for index, one in ipairs(made:kept_list()) do
    kept[index] = { key = one.key, agent = or_null(by[one.key]), status = one.status, edited = one.is_edited == true }
  end
  return { run = made.history.id, pipeline = made.plan.name, version = made.plan.version, from = or_null(made.from),
    input = or_null(made.input), undone = or_null(made.undone), repeated = repeated, kept = kept }
end

return M

--- Which definitions and modules the runs of a store go on with, and the removal of all others. What this process has
--- seen or written stays: a run that begins now takes its word that it is there.

local active = require "weir.registry.active"
local failure = require "weir.failure"
local keeping = require "weir.run.keeping"
local pages = require "weir.pages"

local M = {}

local BATCH = 100

-- Keys of spaces by what pins name: "pipelines/NAME" is a definition, all else a module.
local function add(pinned, full, version)
  if full:find "^pipelines/" then
    pinned["definitions/" .. version] = true
  else
    pinned["modules/" .. full .. "@" .. version] = true
  end
end

-- Whether the runs of a definition may come to use other versions than those that they began with: flows find out as they
-- go what they use, others take what was reloaded, or plan.
local function has_plan(value)
  if type(value) ~= "table" then return false end
  for name, inner in pairs(value) do
    if name == "plan" and type(inner) == "table" and inner.goal ~= nil or has_plan(inner) then return true end
  end
  return false
end

local function is_flow(store, flows, version)
  if flows[version] == nil then
    local kept = store:get("definitions", version)
    flows[version] = kept ~= nil and (kept.kind == "flow" or type(kept.normal) == "table"
      and (kept.normal.upgrade == "next_step" or has_plan(kept.normal.groups)))
  end
  return flows[version]
end

local function add_choices(store, pinned, run_id)
  for entry in pages.entries(store, run_id) do
    local key = entry[1] == "choice" and entry[2] or ""
    local full = key:match "^pin/(.+)$"
    if full then add(pinned, full, entry[3]) end
    local others = key == "upgrade" and entry[3] or key == "migrate" and entry[3].pins or {}
    for name, version in pairs(others) do add(pinned, name, version) end
    local plan = key:find "/%(plan%)[#~%d.]*$" and entry[3] or key:find "/%(known%)[~%d.]*$" and entry[3] or {}
    for name, version in pairs(plan.pins or {}) do add(pinned, name, version) end
    if plan.version then pinned["definitions/" .. plan.version] = true end
    if key == "migrate" then pinned["definitions/" .. entry[3].version] = true end
  end
end

--- Adds what one run pins. Yields. Raises `corrupt` when it does not say.
---@param store weir.Store
---@param pinned table<string, boolean> "definitions/VERSION" and "modules/NAME@VERSION"
---@param flows table<string, boolean> what is known of versions: are they flows; shared by calls for many runs
---@param run_id string
function M.add_run(store, pinned, flows, run_id)
  local entries, message, code = store:entries(run_id, 0, 1)
  if not entries then failure.raise(code, "%s", message) end
  local head = entries[1] and entries[1][2]
  if type(head) ~= "table" or type(head.version) ~= "string" then return end -- not of a pipeline
  add(pinned, "pipelines/" .. tostring(head.pipeline), head.version)
  local row = store:row(run_id)
  local any_flow = is_flow(store, flows, head.version) or row and row.version ~= head.version -- it was migrated
  for full, version in pairs(type(head.pins) == "table" and head.pins or {}) do
    add(pinned, full, version)
    any_flow = any_flow or full:find "^pipelines/" and is_flow(store, flows, version)
  end
  if any_flow then add_choices(store, pinned, run_id) end
end

--- What the runs of a store pin, and what may be rolled back to: "definitions/VERSION" and "modules/NAME@VERSION". Yields.
--- Raises `corrupt` when a run does not say.
---@param store weir.Store
---@return table<string, boolean>
function M.of_runs(store)
  local pinned, flows = active.pinned(store), {}
  for found in pages.runs(store) do M.add_run(store, pinned, flows, found.id) end
  return pinned
end

local function remove(store, kept, space, keys)
  local operations = {}
  for _, key in ipairs(keys) do
    if not kept:has(space .. "/" .. key) then -- asked again: a run may have begun since
      operations[#operations + 1] = { op = "delete", space = space, key = key }
      kept.is_leaving[space .. "/" .. key] = true
    end
  end
  if #operations == 0 then return 0 end
  local done, message, code = store:batch(operations)
  for _, operation in ipairs(operations) do kept.is_leaving[space .. "/" .. operation.key] = nil end
  if not done then failure.raise(code, "%s", message) end
  return #operations
end

local function remove_unpinned(store, kept, pinned, space, pause)
  local keys, removed = {}, 0
  for found in pages.keys(store, space) do
    local id = space .. "/" .. found.key
    if not pinned[id] and not kept:has(id) then keys[#keys + 1] = found.key end
    if #keys == BATCH then
      removed, keys = removed + remove(store, kept, space, keys), {}
      pause()
    end
  end
  return removed + remove(store, kept, space, keys)
end

--- Removes definitions and modules that no run pins. Waits. Raises as `of_runs`, and what the store refuses.
---@param store weir.Store
---@param pause fun() called between batches
---@return { definitions: integer, modules: integer } removed
function M.sweep(store, pause)
  local kept, pinned = keeping.kept_of(store), M.of_runs(store)
  local removed = { definitions = remove_unpinned(store, kept, pinned, "definitions", pause),
    modules = remove_unpinned(store, kept, pinned, "modules", pause) }
  kept:turn() -- what was put before is pinned by now, or nobody's
  return removed
end

return M

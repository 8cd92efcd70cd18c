--- How reflecting begins. The end of a run of a pipeline with `reflect` and the beginning of the run that reflects on it are one
--- transaction: whoever hears that the run has ended may count on the reflection, and a process that dies leaves it to be
--- resumed. While one is under way on a pipeline no other begins on it.
---
--- Space `reflecting`: by pipeline, the run that reflects on it, {run}; it stands until another one begins.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local id = require "weir.id"
local json = require "weir.native.json"
local load = require "weir.definition.load"
local value_of = require "weir.value"

local M = {}

local SPACE = "reflecting"
local SUFFIX, NAME_MAX = "-reflection", 64

--- What holds where a definition says nothing.
M.defaults = { better = "higher", iterations = 3, patience = 3, margin = 0.01, holdout = 0.34, recorded = 8, approve = "human" }
M.limits = { changes = 8, bytes = 4096 }

--- The name of the runs that reflect on a pipeline. Pure.
---@param pipeline string
---@return string
function M.name(pipeline) return pipeline:sub(1, NAME_MAX - #SUFFIX) .. SUFFIX end

local function filled(reflect)
  local all = value_of.copy(reflect)
  for name, value in pairs(M.defaults) do
    if all[name] == nil then all[name] = value end
  end
  all.limits = all.limits or {}
  for name, value in pairs(M.limits) do
    if all.limits[name] == nil then all.limits[name] = value end
  end
  return all
end

local INPUT = { type = "object", additionalProperties = false, required = json.list { "run" }, properties = {
  run = { type = "string" }, rounds = { type = "integer", minimum = 1 }, only_propose = { type = "boolean" } } }

-- Money and work are the run's own budget: what crosses it is the last call.
local function budget_of(limits)
  local budget = { usd = limits.usd, tokens = limits.tokens, steps = limits.steps }
  return next(budget) ~= nil and budget or nil
end

--- The definition of what reflects on a pipeline. Pure.
---@param pipeline string
---@param reflect table of the pipeline's normal form
---@param durability "none"|nil
---@return weir.Definition
function M.definition(pipeline, reflect, durability)
  local fields = filled(reflect)
  local normal = { weir = 1, name = M.name(pipeline), doc = ("Reflects on runs of %s"):format(pipeline), input = value_of.copy(INPUT),
    budget = budget_of(fields.limits), durability = durability, groups = json.list { { name = "improve", steps = json.list {
      { name = "improve", reflection = { pipeline = pipeline, reflect = fields }, input = "$.input" } } } }, output = "$.improve" }
  return { kind = "pipeline", name = normal.name, normal = normal, version = assert(load.version(normal)) }
end

-- The plan, made once for the plan of the pipeline.
local function plan_of(engine, plan)
  plan.reflecting = plan.reflecting or M.definition(plan.name, plan.reflect)
  return engine:plan_of(plan.reflecting)
end

-- What is found better may still be on trial for a part of the runs.
local function is_on_trial(store, plan)
  local canary = require "weir.healing.canary"
  if canary.of(store, "pipelines/" .. plan.name) then return true end
  for _, full in ipairs(plan.modules) do
    if canary.of(store, full) then return true end
  end
  return false
end

local beginning = setmetatable({}, { __mode = "k" }) -- by store: the pipelines on which a reflection just begins

-- Gives what is to be closed once the reflection has begun, or has not.
local function reserve(store, pipeline)
  local of_store = beginning[store] or {}
  beginning[store], of_store[pipeline] = of_store, true
  return setmetatable({}, { __close = function() of_store[pipeline] = nil end })
end

local function is_under_way(store, pipeline)
  if beginning[store] and beginning[store][pipeline] then return true end
  local current = store:get(SPACE, pipeline)
  local row = current and store:row(current.run)
  return row ~= nil and row.ended_ms == nil
end

local function pins_of(run, plan)
  local pins = {}
  for _, full in ipairs(plan.modules) do
    local entry = run.binding.entries[full]
    pins[entry and require("weir.registry.kinds").kinds[entry.kind].folder .. "/" .. entry.name or full] = entry and entry.version
  end
  return pins
end

--- What is kept together with the end of a run, so that it is reflected on; nothing for a run that nobody reflects on.
---@param run weir.Run which has finished
---@return table[] operations
---@return string|nil run_id of the run that will reflect
---@return table|nil claim to be closed once that is kept, or is not: until then no other begins
function M.operations(run)
  local plan = run.plan
  if not plan.reflect or run.status ~= "finished" or run.parent_id or not run.journal then return {} end
  local engine = run.engine
  if is_under_way(engine.store, plan.name) or is_on_trial(engine.store, plan) then return {} end
  local keeping = require "weir.run.keeping"
  local of = plan_of(engine, plan)
  local run_id, now = id.new "r", clock.wall_ms()
  local head = { format = keeping.FORMAT, pipeline = of.name, version = of.version, input = { run = run.id }, pins = pins_of(run, of),
    at = now, by = run.by, model = run.model }
  local handle = engine.store:new_run(run_id, 1)
  local row = { status = "running", pipeline = of.name, version = of.version, started_ms = now }
  return {
    { op = "put", space = "definitions", key = of.version, value = keeping.definition_record(of.definition) },
    { op = "put", space = SPACE, key = plan.name, value = { run = run_id } },
    { op = "entry", journal = handle, entry = { "run", head }, row = row },
    { op = "entry", journal = handle, entry = { "stop", now, "not begun yet" } }, -- a process that ends before has not ended over it
    keeping.wake_operation(run_id),
  }, run_id, reserve(engine.store, plan.name)
end

--- Says that a run reflects on a pipeline, for one that somebody is about to begin by hand. Raises `conflict` while another one does.
--- Waits.
---@param store weir.Store
---@param pipeline string
---@param run_id string
---@return table claim to be closed once the run has begun, or could not
function M.claim(store, pipeline, run_id)
  if is_under_way(store, pipeline) then
    local current = store:get(SPACE, pipeline)
    if not current then failure.raise("conflict", "another run is just beginning to reflect on '%s'", pipeline) end
    failure.raise("conflict", "run %s reflects on '%s' already; `weir show %s` says how far it is, `weir cancel %s` ends it", current.run,
      pipeline, current.run, current.run)
  end
  local claim = reserve(store, pipeline)
  local ok, done, message, code = pcall(store.batch, store, { { op = "put", space = SPACE, key = pipeline, value = { run = run_id } } })
  if ok and done then return claim end
  getmetatable(claim).__close()
  if not ok then error(done, 0) end
  failure.raise(code or "failed", "%s", message)
end

return M

--- What remedies have changed for more than one run, until it is taken back or its time is over: pipelines that are paused or have
--- fewer runs at once, models that are not asked. The space `controls`: "pipeline/NAME/pause", "pipeline/NAME/concurrency",
--- "model/NAME/breaker", each {limit?, until_ms?, incident, by, at_ms}. Read once for each store, since one process owns it.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local pages = require "weir.pages"
local value_of = require "weir.value"

local M = {}

local SPACE = "controls"
local MODEL_FOR = 600 -- seconds that a model is not asked, when nothing is said
local BACK_MS = 3 * 3600 * 1000 -- a clock that was ahead by more has been corrected

local of_store = setmetatable({}, { __mode = "k" })

local function all(store)
  local known = of_store[store]
  if known then return known end
  known = {}
  for found in pages.rows(store, SPACE, {}) do known[found.key] = value_of.known(found.value) end
  of_store[store] = known
  return known
end

local KEY = {
  pause_pipeline = function(incident) return ("pipeline/%s/pause"):format(incident.pipeline) end,
  concurrency = function(incident) return ("pipeline/%s/concurrency"):format(incident.pipeline) end,
  breaker = function(_, args) return ("model/%s/breaker"):format(args.model) end,
}

--- What a remedy changes, to be written with its incident; nil when it changes nothing beyond its run.
---@param remedy { name: string, args: table }
---@param incident weir.Incident
---@return table|nil operation
---@return (fun())|nil committed to be called once it is written
function M.apply(store, remedy, incident)
  local key = KEY[remedy.name] and KEY[remedy.name](incident, remedy.args)
  if not key then return nil end
  local seconds = remedy.args["for"] or (remedy.name == "breaker" and MODEL_FOR) or nil
  local value = { limit = remedy.args.limit, until_ms = seconds and incident.at_ms + math.ceil(seconds * 1000) or nil,
    incident = incident.id, by = incident.by, at_ms = incident.at_ms }
  return { op = "put", space = SPACE, key = key, value = value }, function() all(store)[key] = value end
end

--- What an incident's remedy has changed for more than one run, until it is taken back; nil when there is nothing.
---@param store weir.Store
---@param incident weir.Incident
---@return { limit: integer|nil, until_ms: integer|nil, at_ms: integer }|nil control
---@return string|nil key
function M.of(store, incident)
  for key, value in pairs(all(store)) do
    if value.incident == incident.id then return value, key end
  end
end

--- The operation that takes back what an incident's remedy changed; nil when it does not hold any more.
---@param store weir.Store
---@param incident weir.Incident
---@return table|nil operation
---@return (fun())|nil committed
---@return string|nil key
function M.revert(store, incident)
  local _, key = M.of(store, incident)
  if not key then return nil end
  local _, version = store:get(SPACE, key) -- another incident may be about to hold it
  return { op = "delete", space = SPACE, key = key, version = math.tointeger(version) }, function() all(store)[key] = nil end, key
end

--- Whether what a remedy has changed is over: its time has passed, or the clock by which it began has been set back by far.
---@param control { until_ms: integer|nil, at_ms: integer }
---@param now_ms integer
---@return boolean
function M.is_over(control, now_ms)
  return control.until_ms ~= nil and (control.until_ms <= now_ms or control.at_ms - now_ms > BACK_MS)
end

local function holding(store, form, name)
  local known = store and all(store)
  if not known or next(known) == nil then return nil end
  local value = known[form:format(name)]
  if not value or M.is_over(value, clock.wall_ms()) then return nil end
  return value
end

--- Since when and why no run of a pipeline begins; nil when they do.
---@param store weir.Store|nil
---@param pipeline string
---@return table|nil control
function M.paused(store, pipeline) return holding(store, "pipeline/%s/pause", pipeline) end

--- Raises `conflict` when no run of a pipeline is to begin.
---@param store weir.Store|nil
---@param pipeline string
function M.check(store, pipeline)
  local control = M.paused(store, pipeline)
  if not control then return end
  failure.raise("conflict", "pipeline '%s' is paused over incident %s; `weir incidents revert %s` lets its runs begin again",
    pipeline, control.incident, control.incident)
end

--- How many runs, or items of a map, of a pipeline may be at work at once; nil: as many as it says.
---@param store weir.Store|nil
---@param pipeline string
---@return integer|nil
function M.concurrency(store, pipeline)
  local control = holding(store, "pipeline/%s/concurrency", pipeline)
  return control and control.limit
end

--- The models that are not to be asked, and for how many seconds.
---@param store weir.Store|nil
---@return table<string, number>
function M.models(store)
  local held, now = {}, clock.wall_ms()
  for key, value in pairs(store and all(store) or {}) do
    local name = key:match "^model/(.+)/breaker$"
    if name and value.until_ms and not M.is_over(value, now) then held[name] = (value.until_ms - now) / 1000 end
  end
  return held
end

return M

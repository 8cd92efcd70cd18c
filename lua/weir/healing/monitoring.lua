--- The monitors of a process: one for each pipeline and each that its supervisors have; what runs report reaches them, and what they
--- say becomes an incident.

local clock = require "weir.port.clock"
local desk = require "weir.healing.desk"
local duration = require "weir.duration"
local failure = require "weir.failure"
local monitor = require "weir.healing.monitor"
local native = require "weir.native.scheduler"
local supervision = require "weir.healing.supervision"

local M = {}

local VERSIONS_MAX = 8 -- of a pipeline

local function spec_of(given)
  local spec = {}
  for name, value in pairs(given) do spec[name] = value end
  spec.within = assert(duration.parse(given.within))
  return spec
end

local function monitors_of(run)
  local list = {}
  for _, supervisor in ipairs(supervision.of_pipeline(run)) do
    for _, given in ipairs(type(supervisor.options.monitors) == "table" and supervisor.options.monitors or {}) do
      list[#list + 1] = monitor.new(spec_of(given))
    end
  end
  return list
end

local function speak(run, spec, figure)
  local engine = run.engine
  local supervisors = supervision.of_pipeline(run)
  native.spawn_root(function()
    local ok, err = pcall(desk.raise, engine, supervisors, { kind = "monitor", code = "limit", message = monitor.message(spec, figure),
      monitor = spec.name, value = figure, pipeline = run.plan.name, version = run.plan.version })
    if ok then return end
    native.recover()
    if engine.log then engine.log:error("an incident could not be written", { monitor = spec.name, error = failure.of(err).message }) end
  end)
end

local function find(versions, version)
  for place, one in ipairs(versions) do
    if one.version == version then
      table.insert(versions, 1, table.remove(versions, place))
      return one.list
    end
  end
end

-- Of a pipeline the monitors of the versions that have run last: several may serve side by side.
local function list_of(run)
  local engine, plan = run.engine, run.plan
  engine.monitors = engine.monitors or {}
  local versions = engine.monitors[plan.name] or {}
  engine.monitors[plan.name] = versions
  local list = find(versions, plan.version)
  if list then return list end
  local made = monitors_of(run)
  list = find(versions, plan.version) -- another run of it was faster
  if list then return list end
  table.insert(versions, 1, { version = plan.version, list = made })
  versions[VERSIONS_MAX + 1] = nil
  return made
end

--- Has the monitors of a run's pipeline hear what it reports; nil when there are none. They are the same for all runs of a version,
--- as long as it is one of the eight of its pipeline that have run last.
---@param run weir.Run
---@return (fun(event: table))|nil hear
function M.of(run)
  if not run.engine.store then return nil end
  local list = list_of(run)
  if #list == 0 then return nil end
  return function(event)
    local now = clock.now()
    for _, one in ipairs(list) do
      local figure = one:hear(event, now)
      if figure then speak(run, one.spec, figure) end
    end
  end
end

return M

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

-- Monitors of a pipeline, by version. When there is another version, those go that no run here has any more.
local function by_version(engine, run)
  engine.monitors = engine.monitors or {}
  local own, held = engine.monitors[run.plan.name] or {}, {}
  engine.monitors[run.plan.name] = own
  if own[run.plan.version] then return own end
  for _, one in pairs(engine.live) do held[one.plan.version] = true end
  for version in pairs(own) do
    if not held[version] then own[version] = nil end
  end
  return own
end

--- Has the monitors of a run's pipeline hear what it reports; nil when there are none. They are the same for all of its runs, as long
--- as the pipeline's version serves.
---@param run weir.Run
---@return (fun(event: table))|nil hear
function M.of(run)
  local engine = run.engine
  if not engine.store then return nil end
  local own = by_version(engine, run)
  local list = own[run.plan.version] or monitors_of(run)
  own[run.plan.version] = list
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

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

--- Has the monitors of a run's pipeline hear what it reports; nil when there are none. They are the same for all of its runs, as long
--- as the pipeline's version serves.
---@param run weir.Run
---@return (fun(event: table))|nil hear
function M.of(run)
  local engine = run.engine
  if not engine.store then return nil end
  engine.monitors = engine.monitors or setmetatable({}, { __mode = "k" }) -- by plan: they go with the version
  local list = engine.monitors[run.plan]
  if not list then
    list = monitors_of(run)
    engine.monitors[run.plan] = list
  end
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

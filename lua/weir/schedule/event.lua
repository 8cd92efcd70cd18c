--- What a run that a schedule starts is told: the event `weir.schedule.due`, and the input that is made of it. The same
--- occurrence gives the same event, whenever it is asked. Pure; never waits.

local clock = require "weir.port.clock"
local condition = require "weir.condition"
local failure = require "weir.failure"
local path = require "weir.path"

local M = {}

local function interval_of(rule, interval)
  if not interval then return nil end
  return { from = clock.rfc3339(interval.from_ms), to = clock.rfc3339(interval.to_ms), count = interval.count,
    from_local = rule:local_text(interval.from_ms), to_local = rule:local_text(interval.to_ms) }
end

--- The event of an occurrence, as CloudEvents has them.
---@param rule weir.Rule
---@param one weir.Occurrence
---@return table
function M.of(rule, one)
  local here = rule:local_text(one.nominal_ms)
  local data = { schedule = rule.name, kind = one.kind, number = one.number, nominal = clock.rfc3339(one.nominal_ms), ["local"] = here,
    day = here:sub(1, 10), previous = one.previous_ms and clock.rfc3339(one.previous_ms) or nil,
    interval = interval_of(rule, one.interval) }
  if rule.absent then data.absent = { pipeline = rule.absent.pipeline, since = clock.rfc3339(one.since_ms or one.nominal_ms) } end
  return { specversion = "1.0", id = rule.id .. "/" .. one.key, source = "/schedules/" .. rule.name,
    type = rule.absent and "weir.schedule.absent" or "weir.schedule.due", subject = rule.pipeline, time = data.nominal, data = data }
end

-- Without `input:` a run gets what its pipeline asks for by name, and all of it where that asks for nothing.
local function by_name(data, schema)
  if not schema or not schema.properties then return data end
  local input = {}
  for name in pairs(schema.properties) do input[name] = data[name] end
  return input
end

--- The input of a run. Raises {code, message} when a path in `input` finds nothing.
---@param rule weir.Rule
---@param event table
---@param schema table|nil of the pipeline's input
---@return table
function M.input(rule, event, schema)
  local given = rule.trigger.input
  if given == nil then return by_name(event.data, schema) end
  local evaluate, message = path.compile_value(given)
  if not evaluate then failure.raise("invalid", "schedule '%s': input: %s", rule.name, message) end
  local value, wrong, code = evaluate { event = event }
  if value == nil then failure.raise(code or "invalid", "schedule '%s': input: %s", rule.name, wrong or "it is nothing") end
  return value
end

--- Whether the trigger's filter lets an event through.
---@param rule weir.Rule
---@param event table
---@return boolean
function M.fits(rule, event)
  if not rule.trigger.filter then return true end
  local compiled, message = condition.compile(rule.trigger.filter)
  if not compiled then failure.raise("invalid", "schedule '%s': filter: %s", rule.name, message) end
  return compiled.test { event = event }
end

return M

--- What is to be done about an incident: supervisors are asked one after the other, the first that has an answer decides, and what
--- holds for all remedies (`weir.healing.limits`) has the last word. Nothing is applied and nothing written here, so that the same
--- code decides in a run and in a rehearsal.

local failure = require "weir.failure"
local limits = require "weir.healing.limits"
local native = require "weir.native.scheduler"
local remedies = require "weir.healing.remedies"
local schema = require "weir.schema"

local M = {}

---@class weir.Supervisor
---@field name string
---@field module { on: fun(ctx: table, incident: table): table|nil }
---@field options table
---@field state any
---@field limits weir.RemedyLimits

---@class weir.Decision
---@field state "remedied"|"escalated"|"passed"
---@field by string|nil
---@field remedy { name: string, args: table }|nil
---@field reason string|nil

---@class weir.SupervisorFault
---@field by string
---@field version string|nil
---@field code string
---@field message string

local validators = {}

local function validate(of, value)
  local known = validators[of]
  if not known then
    known = assert(schema.compile(of))
    validators[of] = known
  end
  local ok, errors = known(value, "args")
  return ok, not ok and errors[1].message or nil
end

local schemas = {}
for name in pairs(remedies.by_name) do schemas[name] = remedies.schema(name) end

local function read(given)
  return remedies.read(given, function(_, args) return validate(schemas[given.remedy], args) end)
end

-- The supervisor's answer; nil when it has none.
local function ask(supervisor, incident)
  local ctx = { options = supervisor.options, state = supervisor.state, now = incident.at, pipeline = incident.pipeline,
    run = incident.run }
  local ok, given = pcall(native.atomic, supervisor.module.on, ctx, incident)
  if not ok then
    native.recover()
    local err = failure.of(given)
    return nil, { code = err.code, message = err.message }
  end
  if given == nil then return nil end
  local remedy, refusal = read(given)
  if remedy then return remedy end
  return nil, { code = "invalid", message = ("supervisor '%s' %s"):format(supervisor.name, refusal) }
end

local function escalated(by, reason, args)
  return { state = "escalated", by = by, reason = reason, remedy = { name = "escalate", args = args or {} } }
end

-- A supervisor may itself call a person; it may not do more than it is allowed.
local function within_limits(supervisor, remedy, done, now)
  if remedy.name == "escalate" then
    if remedy.args.ask == nil then remedy.args.ask = supervisor.options.ask end
    return escalated(supervisor.name, remedy.reason or "the supervisor asks for a person", remedy.args)
  end
  local refusal = limits.refusal(supervisor.limits, done, now)
  if refusal then return escalated(supervisor.name, refusal, { ask = supervisor.options.ask }) end
  return { state = "remedied", by = supervisor.name, remedy = { name = remedy.name, args = remedy.args }, reason = remedy.reason }
end

--- Decides. Does not wait.
---@param incident table as supervisors see it: {kind, at, code, message, fingerprint, family, pipeline, run, step, name, agent, attempt,
---   seen, before, ...}, times in seconds
---@param supervisors weir.Supervisor[]
---@param done { of_step: number[], of_pipeline: number[] } see `weir.healing.limits`
---@return weir.Decision
---@return weir.SupervisorFault[] faults supervisors that failed, or gave what is no remedy: somebody has to mend them
function M.decide(incident, supervisors, done)
  local faults = {}
  local refusal = limits.refusal_of_kind(incident)
  if refusal then return escalated(nil, refusal, { ask = false }), faults end
  for _, supervisor in ipairs(supervisors) do
    local remedy, fault = ask(supervisor, incident)
    if remedy then return within_limits(supervisor, remedy, done, incident.at), faults end
    if fault then
      fault.by, fault.version = supervisor.name, supervisor.version
      faults[#faults + 1] = fault
    end
  end
  if #faults == 0 then return { state = "passed" }, faults end
  return escalated(nil, ("supervisor '%s' failed"):format(faults[1].by), { ask = false }), faults
end

return M

--- Incidents that are no step's: of a run that failed otherwise, of a monitor, of a watcher, of a version. Supervisors are asked about
--- them, too, and may do what acts on more than one run; anything else is for a person.

local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local decide = require "weir.healing.decide"
local fingerprint = require "weir.healing.fingerprint"
local incident_of = require "weir.healing.incident"
local notice = require "weir.healing.notice"
local remedies = require "weir.healing.remedies"
local supervision = require "weir.healing.supervision"

local M = {}

local function to_a_person(decision, reason)
  decision.state, decision.remedy = "escalated", { name = "escalate", args = { ask = false } }
  decision.reason = reason
end

-- What acts on a step has nothing to act on here.
local function check_possible(decision, incident)
  local is_unheard = decision.state == "passed" and incident.kind ~= "run" -- of a run its status says so
  if is_unheard then return to_a_person(decision, "no supervisor has an answer") end
  if decision.state ~= "remedied" then return end
  local remedy = remedies.by_name[decision.remedy.name]
  if not remedy.shared then return to_a_person(decision, ("%s is for steps"):format(decision.remedy.name)) end
  if decision.remedy.name ~= "breaker" and not incident.pipeline then to_a_person(decision, "it is of no pipeline") end
end

--- Decides about an incident that is no step's. Does not wait.
---@param engine weir.Engine
---@param supervisors weir.Supervisor[]
---@param fields table kind, code, message, pipeline?, run?, agent?, agent_version?, monitor?, value?
---@param cause weir.Event|nil that has started its run
---@return weir.Incident
---@return table[] operations of the store that write it
---@return fun() written to be called once they are
function M.open(engine, supervisors, fields, cause)
  fields.fingerprint, fields.family, fields.text = fingerprint.of(fields, { pipeline = fields.pipeline, step = fields.monitor,
    agent = fields.agent, version = fields.agent_version })
  local incident = incident_of.new(fields)
  local decision, faults = decide.decide(supervision.view(engine, incident), supervisors,
    { of_step = {}, of_pipeline = supervision.remedied(engine, fields.pipeline) })
  check_possible(decision, incident)
  incident.state, incident.by, incident.reason = decision.state, decision.by, decision.reason
  incident.remedy = decision.remedy and { name = decision.remedy.name, args = decision.remedy.args }
  local operations, committed = {}, nil
  incident_of.write(operations, incident)
  local told = notice.add(engine.store, operations, incident, cause)
  local fault_list = supervision.fault_incidents(incident, faults)
  for _, fault in ipairs(fault_list) do incident_of.write(operations, fault) end
  if decision.state == "remedied" then
    operations[#operations + 1], committed = controls.apply(engine.store, decision.remedy, incident)
  end
  supervision.note(engine, incident)
  for _, fault in ipairs(fault_list) do supervision.note(engine, fault) end
  return incident, operations, function()
    told()
    if committed then committed() end
    supervision.enact(engine, decision, incident)
    if engine.on_incident then engine.on_incident(incident) end
  end
end

--- The same, written. Waits for the disk.
---@param engine weir.Engine with a store
---@param supervisors weir.Supervisor[]
---@param fields table
---@return weir.Incident
function M.raise(engine, supervisors, fields)
  fields.at_ms = fields.at_ms or clock.wall_ms()
  local incident, operations, written = M.open(engine, supervisors, fields)
  incident_of.commit(engine.store, operations)
  written()
  return incident
end

return M

--- What people do about incidents: close them, take a remedy back, have what was set aside tried again.

local audit = require "weir.audit"
local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local failure = require "weir.failure"
local incident_of = require "weir.healing.incident"
local system = require "weir.port.system"

local M = {}

---@class weir.IncidentAbout
---@field by string|nil default: the user of the system
---@field via string|nil the door, default cli
---@field note string|nil

local function who(about) return about and about.by or system.user_name() end

-- Of two people who do something about an incident at the same moment one does it, so that nothing is tried again twice.
local function alone(engine, incident_id, body)
  local incident, _ <close> = incident_of.hold(engine.store, incident_id)
  local first, second = body(incident)
  return first, second
end

local function commit(store, operations, incident, about, action)
  operations[#operations + 1] = audit.operation { by = about and about.by, via = about and about.via, action = action, what = incident.id }
  incident_of.commit(store, operations)
end

--- Says that nobody has to look at an incident any more. Waits for the disk. Raises `not_found`, `conflict` (it is closed). This one
--- and the others here raise `conflict`, too, while somebody else does something about the same incident.
---@param engine weir.Engine
---@param incident_id string
---@param about weir.IncidentAbout|nil
---@return weir.Incident
function M.close(engine, incident_id, about)
  return alone(engine, incident_id, function(incident)
    if incident.state == "closed" then failure.raise("conflict", "incident %s is closed already", incident_id) end
    incident.state, incident.closed_by, incident.closed_ms, incident.note = "closed", who(about), clock.wall_ms(), about and about.note
    local operations = {}
    incident_of.update(operations, incident)
    commit(engine.store, operations, incident, about, "incident-close")
    return incident
  end)
end

--- Closes those that are not closed yet. Waits for the disk.
---@param engine weir.Engine
---@param list weir.Incident[]
---@param about weir.IncidentAbout|nil
---@return weir.Incident[] closed
function M.close_all(engine, list, about)
  local closed = {}
  for _, one in ipairs(list) do
    if incident_of.get(engine.store, one.id).state ~= "closed" then closed[#closed + 1] = M.close(engine, one.id, about) end
  end
  return closed
end

local function undo_in_process(engine, incident)
  if incident.remedy.name == "breaker" and engine.models then
    engine.models.router.admission:hold(incident.remedy.args.model, 0)
  end
end

local function revert(engine, incident, about)
  local store = engine.store
  local operation, committed = controls.revert(store, incident)
  if not operation then
    failure.raise("conflict", "incident %s: nothing that its remedy changed holds any more%s", incident.id,
      incident.remedy and (" (%s)"):format(incident.remedy.name) or "")
  end
  incident.remedy.reverted_at, incident.remedy.reverted_by = clock.wall_ms(), who(about)
  local operations = { operation }
  incident_of.update(operations, incident)
  commit(store, operations, incident, about, "incident-revert")
  committed()
  undo_in_process(engine, incident)
  return incident
end

--- Takes back what a remedy changed for more than one run, and lets an input that was set aside go. What it did to a step of a run
--- ended with that step. Waits for the disk. Raises `not_found`, `conflict` (there is nothing that still holds).
---@param engine weir.Engine
---@param incident_id string
---@param about weir.IncidentAbout|nil
---@return weir.Incident
function M.revert(engine, incident_id, about)
  return alone(engine, incident_id, function(incident) return revert(engine, incident, about) end)
end

-- The event of which the old run was has become another run: it is no dead letter any more.
local function discard_letter(engine, incident)
  if not incident.pipeline or not engine.project:is_own_pipeline(incident.pipeline) then return end
  local letters = require "weir.trigger.letters"
  local beginning = ("run %s: "):format(incident.run)
  for _, letter in ipairs(letters.list(engine.project, engine.store, incident.pipeline)) do
    local message = type(letter.error) == "table" and tostring(letter.error.message) or ""
    if message:sub(1, #beginning) == beginning then letters.discard(engine.project, engine.store, letter.id) end
  end
end

local function replay(engine, incident, about, latest)
  if not incident.run then failure.raise("conflict", "incident %s is of no run", incident.id) end
  if incident.replayed_as then
    failure.raise("conflict", "incident %s was tried again as run %s", incident.id, incident.replayed_as)
  end
  local made = require("weir.run.fork").retry(engine, incident.run, { from = incident.step, latest = latest })
  local run_id = made:make { by = who(about), more = function(new_id)
    incident.replayed_as = new_id
    incident.state, incident.closed_by, incident.closed_ms = "closed", who(about), clock.wall_ms()
    local operations = { { op = "delete", space = incident_of.QUARANTINE, key = incident.id } }
    incident_of.update(operations, incident)
    operations[#operations + 1] = audit.operation { by = about and about.by, via = about and about.via, action = "incident-replay",
      what = incident.id, to = new_id }
    return operations
  end }
  discard_letter(engine, incident)
  return run_id, incident
end

--- Has what failed tried again: a new run that keeps what the old one had finished, without the step of the incident and what came
--- after it. Its journal stands in the store, in one transaction with what is noted here; `Engine:reopen` goes on with it. The event
--- that had started the old run is no dead letter any more. Waits.
--- Raises `not_found`, `conflict` (the run has not ended; it was tried again before), `invalid`.
---@param engine weir.Engine
---@param incident_id string
---@param about weir.IncidentAbout|nil
---@param latest boolean|nil with the definition and modules as they are now
---@return string run_id
---@return weir.Incident
function M.replay(engine, incident_id, about, latest)
  return alone(engine, incident_id, function(incident) return replay(engine, incident, about, latest) end)
end

return M

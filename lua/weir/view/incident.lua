--- An incident as programs read it.

local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local incident_of = require "weir.healing.incident"
local or_null = require("weir.value").or_null

local M = {}

local WEEK_MS = 7 * 86400 * 1000
local TEXTS = { "pipeline", "version", "run", "step", "agent", "agent_version", "attempt", "by", "reason", "outcome", "caused_by", "note",
  "replayed_as", "closed_by" }

local function time(ms) return ms and clock.rfc3339(ms) or nil end

local function remedy_of(remedy)
  if not remedy then return nil end
  return { name = remedy.name, args = remedy.args, reverted_at = or_null(time(remedy.reverted_at)),
    reverted_by = or_null(remedy.reverted_by) }
end

--- One incident.
---@param incident weir.Incident
---@return table
function M.shape(incident)
  local shape = { id = incident.id, kind = incident.kind, at = time(incident.at_ms), state = incident.state, code = incident.code,
    message = incident.message, fingerprint = incident.fingerprint, family = incident.family, remedy = or_null(remedy_of(incident.remedy)),
    ended_at = or_null(time(incident.ended_ms)), closed_at = or_null(time(incident.closed_ms)) }
  for _, name in ipairs(TEXTS) do shape[name] = or_null(incident[name]) end
  return shape
end

local function held(store, incident, now_ms)
  local control = controls.of(store, incident)
  if not control or controls.is_over(control, now_ms) then return nil end
  return { ["until"] = or_null(time(control.until_ms)) }
end

--- One incident with what else is known of it: `seen`, how many of its family came within a week; `set_aside`, {input} when an input
--- was; `holds`, {until} while its remedy changes something beyond its run, which `revert` takes back.
---@param store weir.Store
---@param incident weir.Incident
---@return table
function M.whole(store, incident)
  local whole, now_ms = M.shape(incident), clock.wall_ms()
  local aside = incident_of.quarantined(store, incident.id)
  whole.seen = #incident_of.of_family(store, incident.family, now_ms - WEEK_MS)
  whole.set_aside = or_null(aside and { input = or_null(aside.input) })
  whole.holds = or_null(held(store, incident, now_ms))
  return whole
end

--- What would have been done about it.
---@param one weir.RehearsedIncident
---@return table
function M.rehearsed(one)
  return { id = one.incident.id, at = time(one.incident.at_ms), was = { state = one.incident.state,
    remedy = or_null(one.incident.remedy and one.incident.remedy.name) }, would = { state = one.decision.state,
    remedy = or_null(one.decision.remedy and one.decision.remedy.name), args = or_null(one.decision.remedy and one.decision.remedy.args),
    by = or_null(one.decision.by), reason = or_null(one.decision.reason) }, is_other = one.is_other }
end

return M

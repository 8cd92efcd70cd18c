--- An incident as programs read it.

local clock = require "weir.port.clock"
local or_null = require("weir.value").or_null

local M = {}

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

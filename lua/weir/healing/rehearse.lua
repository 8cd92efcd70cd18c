--- A supervisor tried on incidents that were: what it would have done about each, in the order in which they came, with the limits
--- that hold for remedies. Nothing is applied. What came afterwards would have been other incidents, had it served: a rehearsal
--- says what it does about those that there were.

local decide = require "weir.healing.decide"

local M = {}

---@class weir.RehearsedIncident
---@field incident weir.Incident
---@field decision weir.Decision
---@field faults weir.SupervisorFault[]
---@field is_other boolean it would have had another remedy, or another state

local function is_for_supervisors(incident)
  return incident.kind ~= "supervisor" and incident.kind ~= "remedy" and incident.kind ~= "version"
end

local function place_of(incident)
  return ("%s\0%s"):format(incident.run or "", (incident.step or ""):gsub("#%d+", ""))
end

local function list_in(by, key)
  by[key] = by[key] or {}
  return by[key]
end

local function view_of(incident, seen, before)
  local view = { at = incident.at_ms / 1000, seen = table.move(seen, 1, #seen, 1, {}), before = before,
    name = incident.step and incident.step:match "[^/]+$" }
  for name, value in pairs(incident) do
    if name ~= "remedy" and name ~= "state" and name ~= "by" and name ~= "reason" and name ~= "outcome" then view[name] = value end
  end
  view.agent = incident.agent and incident.agent:match "[^/]+$"
  return view
end

local function is_other(incident, decision)
  local was, would = incident.remedy and incident.remedy.name, decision.remedy and decision.remedy.name
  return was ~= would or (incident.state ~= "closed" and incident.state ~= decision.state)
end

--- What supervisors would have done. Does not wait.
---@param incidents weir.Incident[] the oldest first
---@param supervisors weir.Supervisor[]
---@return weir.RehearsedIncident[]
function M.run(incidents, supervisors)
  local list, seen, tried, of_pipeline = {}, {}, {}, {}
  for _, incident in ipairs(incidents) do
    if is_for_supervisors(incident) then
      local earlier, before = list_in(seen, incident.family), list_in(tried, place_of(incident))
      local times = {}
      for index, one in ipairs(before) do times[index] = one.at end
      local pipeline = list_in(of_pipeline, incident.pipeline or "")
      local decision, faults = decide.decide(view_of(incident, earlier, table.move(before, 1, #before, 1, {})), supervisors,
        { of_step = times, of_pipeline = pipeline })
      local at = incident.at_ms / 1000
      earlier[#earlier + 1] = at
      if decision.state == "remedied" then
        before[#before + 1] = { at = at, remedy = decision.remedy.name, args = decision.remedy.args, code = incident.code,
          family = incident.family }
        pipeline[#pipeline + 1] = at
      end
      list[#list + 1] = { incident = incident, decision = decision, faults = faults, is_other = is_other(incident, decision) }
    end
  end
  return list
end

return M

--- Rules that say which remedy an incident gets: the first one that fits decides. A rule is plain data,
---   {when = {code, fingerprint, family, step, agent, kind, message}, count, within, remedy, args}
--- and fits once `count` incidents of the family have come within `within` seconds, this one among them. Pure.

local M = {}

local FIELDS = { "kind", "code", "fingerprint", "family", "step", "name", "agent", "pipeline", "monitor" }

local function is_one_of(value, wanted)
  if type(wanted) ~= "table" then return value == wanted end
  for _, one in ipairs(wanted) do
    if value == one then return true end
  end
  return false
end

--- Whether an incident is what a rule is about.
---@param when table|nil fields that have to be equal, or one of a list; `message`: a text that the message has
---@param incident table
---@return boolean
function M.fits(when, incident)
  for _, field in ipairs(FIELDS) do
    if when and when[field] ~= nil and not is_one_of(incident[field], when[field]) then return false end
  end
  local text = when and when.message
  return not text or tostring(incident.message):find(text, 1, true) ~= nil
end

--- How many incidents of its family came in the last seconds, itself among them.
---@param incident { at: number, seen: number[] } seconds; seen: the earlier ones, the oldest first
---@param within number|nil seconds; nil: all that are known
---@return integer
function M.count(incident, within)
  local count, seen = 1, incident.seen or {}
  for index = #seen, 1, -1 do
    if within and seen[index] <= incident.at - within then break end
    count = count + 1
  end
  return count
end

--- The first rule that fits.
---@param rules table[] durations in seconds
---@param incident table
---@return table|nil rule
---@return integer|nil number
function M.choose(rules, incident)
  for number, rule in ipairs(rules) do
    if M.fits(rule.when, incident) and M.count(incident, rule.within) >= (rule.count or 1) then return rule, number end
  end
end

return M

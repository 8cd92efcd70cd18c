--- What holds for every remedy, whoever chose it: how many one failure may have, how long lies between two, how many there may be in
--- a while; and that none is applied to what a remedy or a supervisor has done itself. What is over a limit goes to a person. Pure.

local M = {}

--- What a supervisor's options may set, by the same names.
M.defaults = {
  attempts = 3,   -- remedies that one step of a run gets; the next time a person is called
  cooldown = 0,   -- seconds between two remedies of one step
  cap = 50,       -- remedies of a pipeline in `within`
  within = 600,   -- seconds
}

local CEILING = 20 -- remedies that one step of a run may get, whatever is set

---@class weir.RemedyLimits
---@field attempts integer
---@field cooldown number seconds
---@field cap integer
---@field within number seconds

--- The limits that options of a supervisor set.
---@param options table|nil durations in seconds
---@return weir.RemedyLimits
function M.of(options)
  local limits = {}
  for name, default in pairs(M.defaults) do
    local given = options and options[name]
    limits[name] = type(given) == "number" and given or default
  end
  limits.attempts = math.min(CEILING, limits.attempts)
  return limits
end

local function count_since(list, from)
  local count = 0
  for index = #list, 1, -1 do
    if list[index] <= from then break end
    count = count + 1
  end
  return count
end

--- Whether an incident may have a remedy at all: what a remedy or a supervisor has caused is for people.
---@param incident { kind: string, caused_by: string|nil }
---@return string|nil refusal
function M.refusal_of_kind(incident)
  if incident.kind == "supervisor" then return "it is a supervisor that failed, and none mends itself" end
  if incident.kind == "remedy" or incident.caused_by then return "a remedy has caused it, and none mends a remedy" end
  return nil
end

--- Whether another remedy may follow.
---@param limits weir.RemedyLimits
---@param done { of_step: number[], of_pipeline: number[] } when remedies were applied to the same step of the same run, and to the
---   pipeline; seconds, the oldest first
---@param now number seconds
---@return string|nil refusal why not: somebody is to be called
function M.refusal(limits, done, now)
  local count = #done.of_step
  if count >= limits.attempts then
    return ("%d %s did not help"):format(count, count == 1 and "remedy" or "remedies")
  end
  local latest = done.of_step[count]
  local ago = latest and math.max(0, now - latest) -- the clock may have been set back
  if ago and ago < limits.cooldown then
    return ("the last remedy was %.0f s ago, and there are %g s between two"):format(ago, limits.cooldown)
  end
  if count_since(done.of_pipeline, now - limits.within) >= limits.cap then
    return ("there were %d remedies in %g s, which is all the pipeline may have"):format(limits.cap, limits.within)
  end
  return nil
end

return M

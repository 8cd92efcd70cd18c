--- The best model that is done in time, and within the money that is left: by the 95th percentile of its times, and by its
--- price. Where none is sure to be, the fastest.

local price = require "weir.model.price"

local M = {
  kind = "policy", name = "deadline", api = 1, serves = "models",
  doc = "The best model that is done in time",
  options = {
    share = { type = "number", exclusiveMinimum = 0, maximum = 1, default = 0.8 }, -- of the time that is left
    assume = { type = "number", exclusiveMinimum = 0, default = 10 },              -- seconds, of a model that was never called
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { share: number, assume: number }
---@return table state
function M.setup(options)
  return { share = options.share, assume = options.assume }
end

-- What is not known of a score is taken for middling.
local function measure(candidate, metrics, state, left)
  local seconds, usd = metrics.total_p95 or state.assume, price.expected(candidate, metrics)
  if metrics.recent.seconds then seconds = math.max(seconds, metrics.recent.seconds) end
  local is_in_time = not left.seconds or seconds <= left.seconds * state.share
  local is_affordable = not left.usd or (usd or 0) <= left.usd
  return { seconds = seconds, fits = is_in_time and is_affordable, usd = usd or math.huge,
    worth = (metrics.recent.score or metrics.score or 0.5) * (metrics.recent.success or 1) }
end

--- Orders the models: those that fit by what they are worth, then the others by their time. Pure; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { of: table<string, weir.ModelMetrics>, left: { seconds: number?, usd: number? } }
---@param _ table request, not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, metrics, _, state)
  local names, by_name, place = {}, {}, {}
  for index, candidate in ipairs(candidates) do
    names[index], place[candidate.name] = candidate.name, index
    by_name[candidate.name] = measure(candidate, metrics.of[candidate.name], state, metrics.left)
  end
  table.sort(names, function(a, b)
    local one, other = by_name[a], by_name[b]
    if one.fits ~= other.fits then return one.fits end
    if one.fits and one.worth ~= other.worth then return one.worth > other.worth end
    if one.fits and one.usd ~= other.usd then return one.usd < other.usd end
    if one.seconds ~= other.seconds then return one.seconds < other.seconds end
    return place[a] < place[b]
  end)
  local first = by_name[names[1]]
  local time = metrics.left.seconds and ("%.1f s of %.1f s"):format(first.seconds, metrics.left.seconds) or "no time limit"
  if first.fits then return names, ("'%s' is the best that fits (%s)"):format(names[1], time) end
  return names, ("'%s' is the fastest, and none is sure to fit (%s)"):format(names[1], time)
end

return M

--- The model that costs least for this call: by its price and the estimate of its tokens, else by what its calls have cost.
--- One whose cost is unknown comes after those that are known, and one that mostly fails comes last.

local price = require "weir.model.price"

local M = {
  kind = "policy", name = "cheapest", api = 1, serves = "models",
  doc = "The model that costs least",
  options = {
    min_success = { type = "number", minimum = 0, maximum = 1, default = 0.5 }, -- below it a model comes last
    min_score = { type = "number", minimum = 0, maximum = 1, default = 0 },     -- the same for what critics and people say
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { min_success: number, min_score: number }
---@return table state
function M.setup(options)
  return { min_success = options.min_success, min_score = options.min_score }
end

-- 0: known and good, 1: cost unknown, 2: not good enough.
local function rank_of(usd, metrics, state)
  local success, score = metrics.recent.success or 1, metrics.recent.score or metrics.score or 1
  if success < state.min_success or score < state.min_score then return 2 end
  return usd and 0 or 1
end

--- Orders the models by their cost. Pure; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { of: table<string, weir.ModelMetrics> }
---@param _ table request, not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, metrics, _, state)
  local names, usd, rank, place = {}, {}, {}, {}
  for index, candidate in ipairs(candidates) do
    local name = candidate.name
    names[index], place[name], usd[name] = name, index, price.expected(candidate, metrics.of[name])
    rank[name] = rank_of(usd[name], metrics.of[name], state)
  end
  table.sort(names, function(a, b)
    if rank[a] ~= rank[b] then return rank[a] < rank[b] end
    if (usd[a] or 0) ~= (usd[b] or 0) then return (usd[a] or math.huge) < (usd[b] or math.huge) end
    return place[a] < place[b]
  end)
  local first = names[1]
  if not usd[first] then return names, ("'%s': what the models cost is not known"):format(first) end
  return names, ("'%s' costs least, about %.6f usd"):format(first, usd[first])
end

return M

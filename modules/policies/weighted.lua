--- Models drawn by their weights: of a model with weight 3 three times as many calls come first as of one with weight 1.
--- Source of the order: weighted sampling without replacement, Efraimidis and Spirakis, "Weighted Random Sampling with a
--- Reservoir", Information Processing Letters 97(5), 2006: by draw^(1/weight), the highest first.

local M = {
  kind = "policy", name = "weighted", api = 1, serves = "models",
  doc = "Models drawn by their weights",
  options = {
    weights = { type = "object", default = {}, additionalProperties = { type = "number", minimum = 0 } }, -- over those of the settings
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { weights: table<string, number> }
---@return table state
function M.setup(options)
  return { weights = options.weights }
end

--- Draws an order. A model with weight 0 is only a fallback. Pure but for the draws; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { draw: fun(): number }
---@param _ table request, not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, metrics, _, state)
  local names, keys, total, weights = {}, {}, 0, {}
  for index, candidate in ipairs(candidates) do
    local name = candidate.name
    local weight = state.weights[name] or candidate.weight or 1
    names[index], weights[name], total = name, weight, total + weight
    keys[name] = weight > 0 and math.log(1 - metrics.draw()) / weight or -math.huge -- the logarithm of the key orders the same
  end
  table.sort(names, function(a, b)
    if keys[a] ~= keys[b] then return keys[a] > keys[b] end
    return a < b
  end)
  return names, ("'%s' was drawn, with weight %g of %g"):format(names[1], weights[names[1]], total)
end

return M

--- The model with the fewest calls under way, for its size: `limits.concurrency`, else its weight.
--- Source: least connections, as load balancers have it.

local M = {
  kind = "policy", name = "least_busy", api = 1, serves = "models",
  doc = "The model with the fewest calls under way",
}

local function load_of(candidate)
  local size = candidate.limits and candidate.limits.concurrency or candidate.weight or 1
  return candidate.running / math.max(size, 1e-9)
end

--- Orders the models by how busy they are; of two alike the one that answers sooner. Pure; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { of: table<string, weir.ModelMetrics> }
---@return string[] names
---@return string reason
function M.pick(candidates, metrics)
  local names, load, by_name, place = {}, {}, {}, {}
  for index, candidate in ipairs(candidates) do
    names[index], by_name[candidate.name], place[candidate.name] = candidate.name, candidate, index
    load[candidate.name] = load_of(candidate)
  end
  local function seconds(name) return metrics.of[name].recent.seconds or 0 end
  table.sort(names, function(a, b)
    if load[a] ~= load[b] then return load[a] < load[b] end
    if seconds(a) ~= seconds(b) then return seconds(a) < seconds(b) end
    return place[a] < place[b]
  end)
  return names, ("'%s' has the fewest calls for its size, %d"):format(names[1], by_name[names[1]].running)
end

return M

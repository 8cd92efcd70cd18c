--- The models in the order in which they are named; each is the fallback of the one before.

local weir = require "weir"

local M = {
  kind = "policy", name = "ordered", api = 1, serves = "models",
  doc = "Models in the order in which they are named",
  options = {
    order = { type = "array", items = { type = "string" }, default = weir.list {} }, -- these first; the others as the settings name them
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { order: string[] }
---@return table state
function M.setup(options)
  return { order = options.order }
end

--- Names the models in their order. Pure; does not wait.
---@param candidates weir.ModelCandidate[]
---@param _ table metrics, not used
---@param _request table not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, _, _request, state)
  local present, names = {}, {}
  for _, candidate in ipairs(candidates) do present[candidate.name] = true end
  for _, name in ipairs(state.order) do
    if present[name] then names[#names + 1], present[name] = name, nil end
  end
  for _, candidate in ipairs(candidates) do
    if present[candidate.name] then names[#names + 1] = candidate.name end
  end
  return names, ("'%s' is the first that is ready"):format(names[1])
end

return M

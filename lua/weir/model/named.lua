--- The models that a project's settings name.

local value_of = require "weir.value"

local M = {}

--- What the settings say of each model, by name. `of` may be replaced by whatever knows more of them.
---@param project weir.Project
---@return { name: string, module: string, provider: string?, price: table?, limits: table?, weight: number?, capabilities: table? }[]
function M.of(project)
  local list, models = {}, project.settings.models or {}
  for index, name in ipairs(value_of.names(models)) do
    local given = models[name]
    list[index] = { name = name, module = given.use, provider = given.provider or given.use, price = given.price, limits = given.limits,
      weight = given.weight, capabilities = given.capabilities }
  end
  return list
end

return M

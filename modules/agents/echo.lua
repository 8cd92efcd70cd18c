--- Returns its input. For examples, for specs, and to give a value a name of its own in StepData.

local M = {
  kind = "agent", name = "echo", api = 1,
  doc = "Returns its input",
}

--- Returns the input as it is. Does not wait.
---@param _ weir.Context
---@param input any
---@return any
function M.execute(_, input)
  return input
end

return M

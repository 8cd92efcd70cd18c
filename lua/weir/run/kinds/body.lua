--- A step with groups of its own: a body in place. It sees what is around it; only its output leaves it.

local group = require "weir.run.group"

local M = { name = "groups", has_steps = true }

function M.execute(frame, step, key)
  local inner = { run = frame.run, prefix = key .. "/", data = setmetatable({}, { __index = frame.data }) }
  return group.output_of(inner, step.body)
end

return M

--- A step with groups of its own: a body in place. It sees what is around it; only its output leaves it.

local frames = require "weir.run.frame"
local group = require "weir.run.group"

local M = { name = "groups", has_steps = true }

function M.execute(frame, step, key)
  return group.output_of(frames.inner(frame, key .. "/", setmetatable({}, { __index = frame.data })), step.body)
end

return M

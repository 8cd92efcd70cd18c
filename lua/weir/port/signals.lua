--- Signals that the system sends to the process.

local uv = require "luv"

local M = {}

---@class weir.SignalWatch
local Watch = {}
Watch.__index = Watch

--- Calls a function in a task of its own for each signal of these names, until it is closed. Does not keep the process
--- alive. Does not wait.
---@param names string[] such as "sigterm"
---@param on_signal fun(name: string)
---@return weir.SignalWatch
function M.watch(names, on_signal)
  local self = setmetatable({ handles = {} }, Watch)
  for index, name in ipairs(names) do
    local handle = uv.new_signal()
    handle:start(name, function() on_signal(name) end)
    handle:unref()
    self.handles[index] = handle
  end
  return self
end

--- Stops watching. Safe twice. Does not wait.
function Watch:close()
  for _, handle in ipairs(self.handles) do handle:close() end
  self.handles = {}
end

return M

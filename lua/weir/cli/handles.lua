--- Handles of the loop that a command holds for a while.

local native = require "weir.native.scheduler"

local M = {}

--- Closes handles and waits until the loop has let go of them, so that nothing is left to do at exit. A
--- cancellation of the task does not cut it short.
---@param handles userdata[]
function M.close(handles)
  local left = #handles
  if left == 0 then return end
  local waiter = native.waiter()
  for _, handle in ipairs(handles) do
    handle:close(function()
      left = left - 1
      if left == 0 then waiter:wake() end
    end)
  end
  require("weir.task").within({ shield = true, timeout = 5 }, function() waiter:wait "handles to close" end)
end

return M

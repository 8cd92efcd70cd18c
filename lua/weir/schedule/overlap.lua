--- What is done with a time that has come while an earlier run of the schedule still goes on. One place for what a host
--- does and for what a preview says it will do. Pure; never waits.

local M = {}

M.BUFFER_MAX = 1000 -- times that wait for their turn

---@alias weir.OverlapAction "start"|"skip"|"buffer"|"drop"|"cancel"|"terminate"

local ACTIONS = {}

function ACTIONS.skip() return "skip" end
function ACTIONS.allow_all() return "start" end
function ACTIONS.cancel_other() return "cancel" end
function ACTIONS.terminate_other() return "terminate" end

function ACTIONS.buffer_one(waiting)
  return waiting == 0 and "buffer" or "skip"
end

function ACTIONS.buffer_all(waiting)
  return waiting < M.BUFFER_MAX and "buffer" or "drop"
end

--- What is done.
---@param policy string
---@param going integer runs that have not ended
---@param waiting integer times that wait for their turn
---@return weir.OverlapAction
function M.action(policy, going, waiting)
  if policy == "allow_all" then return waiting < M.BUFFER_MAX and "start" or "drop" end
  if going == 0 and waiting == 0 then return "start" end
  if going == 0 then waiting = waiting - 1 end -- the first of them is about to begin
  return ACTIONS[policy](waiting)
end

--- The policy of what is made up for: one after the other, unless all may go on at once.
---@param policy string
---@return string
function M.of_late(policy)
  return policy == "allow_all" and policy or "buffer_all"
end

return M

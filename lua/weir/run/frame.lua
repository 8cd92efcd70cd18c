--- Where a step stands: the run, the prefix of its keys, the data that its paths see, and the branch whose
--- documents it writes. What a step is doing is noted on its frame, so side by side each has its own.

local M = {}

---@class weir.Frame
---@field run weir.Run
---@field prefix string
---@field data table
---@field branch string|nil   of the workspace; of the steps of a group of which not all count
---@field branch_of string|nil the branch around that one, while neither has been chosen
---@field sync table|nil      the moment that the steps of its group read: {lsn, prefix, group, visit}
---@field held weir.Binding|nil what its step began with, if the run takes new versions as it goes
---@field draft integer|nil  of a step with a critic: which one is made, from 1
---@field planned weir.planning.Shared|weir.reflection.Trial|nil inside a plan, or a trial of another version: what its steps share
---@field verdict table|nil   that let the output of its step pass
---@field pipeline { plan: table, prefix: string }|nil the pipeline of another one that its steps are of, and what their keys begin with
---@field remedied table|nil what a remedy has changed for the step: {key, options?, model?}
---@field counters table|nil  of a flow: how often a name was used

--- The modules that all steps inside of a frame use, if these are not the run's: in a trial of another version.
---@param frame weir.Frame
---@return weir.Binding|nil
function M.held_in(frame)
  local shared = frame.planned
  return shared and shared.is_trial and shared.held or nil
end

--- Leaves a trial: what programs ask for is theirs, and bound by the run.
---@param frame weir.Frame
---@return weir.Frame frame
function M.leave_trial(frame)
  if M.held_in(frame) then frame.planned, frame.held = nil, nil end
  return frame
end

--- A frame inside another one.
---@param outer weir.Frame
---@param prefix string
---@param data table
---@return weir.Frame
function M.inner(outer, prefix, data)
  return { run = outer.run, prefix = prefix, data = data, branch = outer.branch, branch_of = outer.branch_of, planned = outer.planned,
    held = M.held_in(outer), pipeline = outer.pipeline }
end

return M

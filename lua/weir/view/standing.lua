--- How a run stands at this moment. Its row says `running` until it is parked, seconds after it has begun to wait; the process
--- that executes it knows sooner, and nothing has to be written for that. Pure.

local shape = require "weir.view.shape"

local M = {}

--- The row of a run as it stands: what it waits for already, and `waiting` when it does nothing else.
---@param live table<string, weir.Run>|nil runs that this process executes
---@param run_id string
---@param row table as the store keeps it
---@return table row
function M.row(live, run_id, row)
  local run = live and live[run_id]
  if not run or row.status ~= "running" or next(run.waits) == nil then return row end
  local own = {}
  for name, value in pairs(row) do own[name] = value end
  own.waiting = shape.waits_of(run, true)
  own.status = shape.only_waits(run) and "waiting" or row.status
  return own
end

--- The ids of runs that only wait while their rows say `running`, the newest first.
---@param live table<string, weir.Run>|nil
---@return string[]
function M.waiting_ids(live)
  local ids = {}
  for id, run in pairs(live or {}) do
    if shape.only_waits(run) then ids[#ids + 1] = id end
  end
  table.sort(ids, function(a, b) return a > b end)
  return ids
end

--- Numbers of runs by status, counted by rows, as the runs stand.
---@param live table<string, weir.Run>|nil
---@param counts { runs: table<string, integer>, all: integer, at: string } is left as it is
---@return { runs: table<string, integer>, all: integer, at: string }
function M.counts(live, counts)
  local early, runs = #M.waiting_ids(live), {}
  for status, number in pairs(counts.runs) do runs[status] = number end
  early = math.min(early, runs.running or 0)
  if early == 0 then return counts end
  runs.running, runs.waiting = runs.running > early and runs.running - early or nil, (runs.waiting or 0) + early
  return { runs = runs, all = counts.all, at = counts.at }
end

return M

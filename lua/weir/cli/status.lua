--- What became of a command, as the exit status of the process. The one place that maps codes to
--- statuses. Pure.

local M = {
  finished = 0,
  failed = 1,
  usage = 2,
  waiting = 3,
  in_doubt = 4,
  cancelled = 5,
  not_found = 6,
  no_host = 7,
  refused = 8,
  internal = 70,
  store = 75,
  interrupted = 130,
}

local OF_CODE = {
  invalid = M.usage,
  not_found = M.not_found,
  conflict = M.refused,
  denied = M.refused,
  full = M.refused,
  cancelled = M.cancelled,
  unavailable = M.store,
  corrupt = M.store,
}

local OF_RUN = {
  finished = M.finished,
  failed = M.failed,
  cancelled = M.cancelled,
  waiting = M.waiting,
  in_doubt = M.in_doubt,
  quarantined = M.in_doubt,
}

--- The status of a command that was refused. An error may carry a status of its own in `status`.
---@param err { code: string, status: integer? }
---@return integer
function M.of_error(err)
  return err.status or OF_CODE[err.code] or M.failed
end

--- The status of a command that ran something.
---@param run_status string of a run
---@return integer
function M.of_run(run_status)
  return OF_RUN[run_status] or M.failed
end

return M

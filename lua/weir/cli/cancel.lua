--- weir cancel: ends a run that nobody is executing. A run in another process holds the store: that
--- process is named, and Ctrl-C there cancels it.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local session = require "weir.cli.session"
local shape = require "weir.cli.shape"
local status = require "weir.cli.status"

local M = {
  name = "cancel",
  summary = "Cancels a run that has not ended. What it finished is kept; it will not be resumed.",
  examples = { "cancel last", "cancel r_0mwt2j --reason 'wrong folder'" },
  notes = "Exit status: 0 it is cancelled, 6 there is no such run, 8 it has ended already, or another process has the store:\n"
    .. "then that process executes it, and Ctrl-C there cancels it.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:option("--reason", "why; kept with the run"):argname "TEXT"
  session.declare_store(parser)
end

local function must(value, message, code)
  if value == nil then failure.raise(code or "failed", "%s", message) end
  return value
end

-- Nobody executes it, so nothing has to be stopped: its end is written, and no code of the pipeline runs.
local function write_end(store, id, row, reason)
  row.status, row.ended_ms = "cancelled", clock.wall_ms()
  row.error = { code = "cancelled", message = reason }
  local journal = must(store:run(id, 1))
  must(journal:append({ "end", "cancelled", row.error, row.ended_ms }, row, true))
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local id, row = session.find_run(store, arguments.run)
    if row.ended_ms or row.status ~= "running" and row.status ~= "waiting" then
      local err = failure.new("conflict", "run %s has %s already; there is nothing to cancel", id, row.status)
      err.run = id
      error(err, 0)
    end
    write_end(store, id, row, arguments.reason or "cancelled by weir cancel")
    if arguments.json then
      context.out:line(shape.line(shape.run { id = id, pipeline = row.pipeline, version = row.version, status = row.status,
        error = row.error }))
    else
      context.out:line(("%s  %s  %s"):format(id, row.pipeline, row.status))
    end
    return status.finished
  end)
end

return M

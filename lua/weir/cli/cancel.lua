--- weir cancel: ends a run, in the host that executes it or one that nobody executes. A `weir run` without a host
--- holds the store: that process is named, and Ctrl-C there cancels it.

local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "cancel",
  summary = "Cancels a run that has not ended. What it finished is kept, and undone where its steps say how; it will not be resumed.",
  examples = { "cancel last", "cancel r_0mwt2j --reason 'wrong folder'" },
  notes = "Exit status: 0 it is cancelled, 6 there is no such run, 8 it has ended already, or another process has the store\n"
    .. "that is no host: it executes the run, and Ctrl-C there cancels it.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:option("--reason", "why; kept with the run"):argname "TEXT"
  session.declare_store(parser)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local id = session.find_run(store, arguments.run)
    local run = session.engine(here, store):cancel(id, arguments.reason or "cancelled by weir cancel")
    if arguments.json then
      context.out:line(shape.line(shape.live(run)))
    else
      context.out:line(("%s  %s  %s"):format(id, run.plan.name, run.status))
      local message = run.error and run.error.message or ""
      if message:find "undoing failed" or message:find "not undone" then context.err:line(text.safe(message)) end
    end
    return status.finished
  end)
end

return M

--- weir pause: keeps a run from going on until somebody resumes it.

local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local waking = require "weir.run.waking"

local M = {
  name = "pause",
  summary = "Keeps a run from going on until somebody resumes it: signals, decisions and time do not wake it.",
  examples = { "pause last", "pause r_0mwt2j" },
  notes = "`weir resume RUN` goes on with it. Exit status: 6 there is no such run, 8 it has ended.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  session.declare_store(parser)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local id = session.find_run(store, arguments.run)
    local row = waking.pause(session.engine(here, store), id)
    if arguments.json then
      context.out:line(shape.line(shape.row(id, row)))
    else
      context.out:line(("%s  %s  paused"):format(id, row.pipeline))
    end
    return status.finished
  end)
end

return M

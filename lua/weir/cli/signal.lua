--- weir signal: sends a signal to a run, and goes on with it.

local input = require "weir.cli.input"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local waking = require "weir.run.waking"

local M = {
  name = "signal",
  summary = "Sends a signal to a run that waits for it, or will. Then the run goes on.",
  examples = { "signal last paid", "signal r_0mwt2j paid '{\"amount\": 12}'", "signal last paid @payment.json --detach" },
  notes = "Without JSON the signal says true. Exit status: that of the run that goes on, 6 there is no such run, 8 it has ended.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:argument("name", "the name that the run waits for"):argname "NAME"
  parser:argument("value", "JSON, @FILE, or - for stdin"):argname("JSON"):args "?"
  parser:flag("--detach", "send only; `weir resume` goes on with the run")
  parser:flag("-q --quiet", "say nothing on the way")
  session.declare_store(parser)
end

function M.run(arguments, context)
  local here = session.project()
  local value = input.read(arguments.value, "JSON")
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    local id, row = session.find_run(store, arguments.run)
    waking.signal(engine, id, arguments.name, value)
    if not arguments.detach then return require("weir.cli.resume").go_on(context, arguments, engine, id) end
    if arguments.json then
      context.out:line(shape.line(shape.row(id, row)))
    elseif not arguments.quiet then
      context.err:line(("signal '%s' is kept for %s; `weir resume` goes on with it"):format(arguments.name, id))
    end
    return status.finished
  end)
end

return M

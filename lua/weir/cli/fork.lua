--- weir fork: a new run that keeps what another did up to a step, with values changed, and goes on behind it.

local fork = require "weir.run.fork"
local forking = require "weir.cli.forking"
local session = require "weir.cli.session"

local M = {
  name = "fork",
  summary = "Starts a new run that keeps what another did up to a step, with values changed, and goes on behind it.",
  examples = { "fork last --at draft --set draft.text='A better draft'", "fork r_0mwt2j --at read --set input.words=200",
    "fork last --at draft --dry-run" },
  notes = "STEP is a name, a group, a key such as all[3]/text, or the number of a journal entry. --set changes the input\n"
    .. "(input.a=V) or the output of a step that is kept (draft.text=V); V is a text where a text stood, else JSON if it is\n"
    .. "that. What is kept is not done again, though it was made of other values. A step that failed is kept only with an\n"
    .. "output. Exit status: as `weir run`; 6 the step has no outcome, 8 what would be kept was undone.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname "RUN"
  parser:option("--at", "the last step that is kept"):argname("STEP"):count(1)
  parser:option("--set", "change a value of StepData; may be repeated"):argname("a.b=V"):count "*"
  session.declare_store(parser)
  parser:flag("--dry-run", "say what would be kept and done again, and run nothing")
  parser:flag("-q --quiet", "say nothing on the way")
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    local made = fork.fork(engine, (session.find_run(store, arguments.run)), arguments.at)
    forking.set(made, arguments.set)
    if arguments.dry_run then return forking.dry_run(context, arguments, store, made) end
    return forking.execute(context, arguments, engine, made)
  end)
end

return M

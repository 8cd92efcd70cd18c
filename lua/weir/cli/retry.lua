--- weir retry: a new run that does again what an earlier one did not get done, or many of them.

local failure = require "weir.failure"
local fork = require "weir.run.fork"
local forking = require "weir.cli.forking"
local input_of = require "weir.cli.input"
local session = require "weir.cli.session"

local M = {
  name = "retry",
  summary = "Starts a new run in the place of one that has ended. What that one finished is kept, the rest is done (again).",
  examples = { "retry last", "retry last --from draft", "retry r_0mwt2j --set path=docs", "retry --where 'status=failed since=1h'" },
  notes = "Without --from: of a run that did not finish, what it finished is kept, as far as it was not undone; of one that\n"
    .. "finished, and under another input, nothing. Before it starts it says what will be done again, then what is kept.\n"
    .. "--where retries many, side by side: status=S (failed), since=D, pipeline=NAME, code=C, step=KEY, with spaces between.\n"
    .. "Exit status: as `weir run`; of many the highest; 2 wrong input, 6 no such run or step, 8 the run has not ended, what\n"
    .. "would be kept was undone, or does not answer what the --latest definition asks.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`"):argname("RUN"):args "?"
  parser:option("--from", "the first step that is done again: a name, a group, a key"):argname "STEP"
  parser:option("--input-override", "another input: JSON, @FILE, or - for stdin"):argname "JSON"
  parser:option("--set", "set one value of the input; may be repeated"):argname("a.b=V"):count "*"
  parser:flag("--latest", "the definition and modules as they are now, not as they were then")
  parser:option("--where", "every run that fits"):argname "QUERY"
  parser:flag("--yes", "with --where: ask nothing")
  session.declare_store(parser)
  parser:flag("--dry-run", "say what would be kept and done again, and run nothing")
  parser:flag("-q --quiet", "say nothing on the way")
end

local function check(arguments)
  if (arguments.run == nil) == (arguments.where == nil) then
    failure.raise("invalid", "give one run, or --where; `weir help retry` explains the command")
  end
  if arguments.where and (arguments.from or arguments.input_override or #arguments.set > 0) then
    failure.raise("invalid", "--from, --input-override and --set are for one run, not for --where")
  end
end

local function plan_of(arguments, engine, run_id)
  local has_override = arguments.input_override ~= nil or #arguments.set > 0
  local made = fork.retry(engine, run_id, { from = arguments.from, latest = arguments.latest, anew = has_override })
  if arguments.input_override then made:set("input", input_of.read(arguments.input_override, "--input-override")) end
  forking.set(made, arguments.set, "input.")
  return made
end

function M.run(arguments, context)
  check(arguments)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    if arguments.where then return require("weir.cli.retry_many").run(context, arguments, engine) end
    local made = plan_of(arguments, engine, (session.find_run(store, arguments.run)))
    if arguments.dry_run then return forking.dry_run(context, arguments, store, made) end
    return forking.execute(context, arguments, engine, made)
  end)
end

return M

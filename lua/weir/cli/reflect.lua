--- weir reflect: proposes another version after a run, tries it, and keeps what is better.

local failure = require "weir.failure"
local id = require "weir.id"
local pages = require "weir.pages"
local progress = require "weir.cli.progress"
local reflecting = require "weir.cli.reflecting"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local start = require "weir.reflection.start"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local waiting = require "weir.cli.waiting"

local M = {
  name = "reflect",
  summary = "Reflects on a run of a pipeline with `reflect`: proposes, tries, keeps or reverts; goes on with one that waits.",
  examples = { "reflect tuned", "reflect tuned --rounds 1", "reflect r_0mwt2j --dry-run" },
  notes = "Every run of such a pipeline is reflected on when it has finished; this does it once more, by hand. --dry-run asks for\n"
    .. "one proposal, checks it, and tries nothing. Exit status: 0 done, 1 it failed, 2 the pipeline does not reflect, 3 a person has\n"
    .. "to decide, 6 there is no finished run, 8 one is under way.",
}

function M.declare(parser)
  parser:argument("what", "a pipeline, for its latest finished run; or a run"):argname "PIPELINE|RUN"
  parser:option("--rounds", "candidates at most; what the pipeline says"):argname("N"):convert(math.tointeger)
  parser:flag("--dry-run", "propose and check, and try nothing")
  session.declare_store(parser)
  parser:flag("-q --quiet", "say nothing on the way")
end

local function latest_run(store, pipeline)
  for found in pages.runs(store, { status = "finished", reverse = true }) do
    if found.row and found.row.pipeline == pipeline then return found.id end
  end
  failure.raise("not_found", "no run of '%s' has finished yet; `weir run %s` makes one", pipeline, pipeline)
end

-- The run that is meant, and its pipeline.
local function find(store, what)
  if what == "last" or what:find "^r_[0-9a-z]*$" then
    local run_id, row = session.find_run(store, what)
    if row.status ~= "finished" then failure.raise("invalid", "run %s is %s; one that has finished is reflected on", run_id, row.status) end
    return run_id, row.pipeline
  end
  return latest_run(store, what), what
end

local function reflect_of(here, pipeline)
  local definition, err = here:pipeline(pipeline)
  if not definition then error(err, 0) end
  local reflect = definition.normal.reflect
  if reflect then return reflect end
  local refused = failure.new("invalid", "pipeline '%s' has no `reflect`, which says who proposes and what is measured", pipeline)
  refused.status = status.usage
  error(refused, 0)
end

local function prepared(engine, arguments, run_id, pipeline)
  local reflect = reflect_of(engine.project, pipeline)
  if arguments.rounds and arguments.rounds < 1 then failure.raise("invalid", "--rounds: 1 or more expected, got %d", arguments.rounds) end
  local definition = start.definition(pipeline, reflect, arguments.dry_run and "none" or nil)
  local input = { run = run_id, rounds = arguments.rounds, only_propose = arguments.dry_run or nil }
  local own = id.new "r"
  local _ <close> = not arguments.dry_run and start.claim(engine.store, pipeline, own) or nil
  return engine:prepare(definition, input, { id = own, by = system.user_name() })
end

local function report(context, arguments, run)
  if context.json then
    context.out:line(shape.line(shape.live(run)))
  elseif run.ended_ms then
    reflecting.say(context, run)
  elseif not arguments.quiet then
    waiting.say(context, run, arguments)
  end
  return status.of_run(run.status)
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    local run_id, pipeline = find(store, arguments.what)
    local run = prepared(engine, arguments, run_id, pipeline)
    local display = progress.new(context.console, { quiet = true })
    local interrupted, goes_on = require("weir.cli.run").execute(context, display, run)
    local result = goes_on and status.finished or report(context, arguments, run)
    return interrupted and status.interrupted or result
  end)
end

return M

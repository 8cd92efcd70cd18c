--- weir migrate: binds runs that have not ended to another version of their pipeline, if their record allows it.

local failure = require "weir.failure"
local json = require "weir.native.json"
local migrate = require "weir.run.migrate"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "migrate",
  summary = "Binds a run, or all of a pipeline, to another version of the definition, if what was recorded answers what it asks.",
  examples = { "migrate last --to latest --dry-run", "migrate r_0mwt2j --to 3f9c2d11", "migrate digest --to latest" },
  notes = "The record is replayed against that version without effects; where they part, the first such step is named and the run\n"
    .. "stays as it is. VERSION is the beginning of one, or `latest`: the one that serves. --dry-run only compares.\n"
    .. "Exit status: 0 done, 2 no such VERSION can be meant, 6 there is no such run, pipeline or version, 8 a record diverges,\n"
    .. "the run has ended, or another process has the store. Of several runs: the highest.",
}

local SHORT = 12

function M.declare(parser)
  parser:argument("what", "a run (an id, the beginning of one, `last`) or the name of a pipeline"):argname "RUN|PIPELINE"
  parser:option("--to", "the version"):argname("VERSION"):count(1)
  parser:flag("--dry-run", "only say whether it could be done")
  session.declare_store(parser)
end

local function runs_of(engine, arguments)
  local what = arguments.what
  if what == "last" or what:find "^r_" then return { (session.find_run(engine.store, what)) } end
  local file, message = engine.project:pipeline_file(what)
  local plan_ok, plan = pcall(migrate.plan, engine, what, arguments.to)
  if not plan_ok and not file then failure.raise("not_found", "%s", message) end
  if not plan_ok then error(plan, 0) end
  return migrate.candidates(engine, what, plan.version)
end

local function asked_shape(asks)
  if not asks then return json.null end
  local module = asks.module
  return { kind = asks.kind, module = module == nil and json.null or module, input = asks.input == nil and json.null or asks.input }
end

local function say_refusal(context, arguments, id, err)
  err.run = id
  if not arguments.json then
    context.err:line(context.err:paint("red", "diverges: ") .. text.safe(err.message))
    return
  end
  local line, found = shape.refusal(err), rawget(err, "divergence")
  if found then line.divergence = { key = found.key, record = found.n, recorded = found.recorded, asks = asked_shape(found.asks) } end
  context.out:line(shape.line(line))
end

local function say_done(context, arguments, done)
  if arguments.json then
    context.out:line(shape.line { run = done.run, pipeline = done.pipeline, from = done.from, to = done.to,
      dry_run = arguments.dry_run == true })
  else
    context.out:line(("%s  %s  %s -> %s%s"):format(done.run, done.pipeline, done.from:sub(1, SHORT), done.to:sub(1, SHORT),
      arguments.dry_run and "  can be done; nothing was changed" or ""))
  end
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    local highest, ids = status.finished, runs_of(engine, arguments)
    for _, id in ipairs(ids) do
      local ok, result = pcall(migrate.run, engine, id, arguments.to, { dry_run = arguments.dry_run, via = "cli" })
      if ok then
        say_done(context, arguments, result)
      else
        local err = failure.of(result)
        err.divergence = type(result) == "table" and rawget(result, "divergence") or nil
        say_refusal(context, arguments, id, err)
        highest = math.max(highest, status.of_error(err))
      end
    end
    if #ids == 0 and not arguments.json then context.err:line "no run of another version is unfinished" end
    return highest
  end)
end

return M

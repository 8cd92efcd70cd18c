--- weir resume: goes on with runs that have not ended, in this process.

local failure = require "weir.failure"
local progress = require "weir.cli.progress"
local run_command = require "weir.cli.run"
local session = require "weir.cli.session"
local shape = require "weir.cli.shape"
local status = require "weir.cli.status"

local M = {
  name = "resume",
  summary = "Goes on with unfinished runs, oldest first. What they finished is not done again.",
  examples = { "resume", "resume last", "resume --json" },
  notes = "Exit status: the highest of the runs'. With --json one line per run; nothing when there is none.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`; without it every unfinished run"):argname("RUN"):args "?"
  session.declare_store(parser)
  parser:flag("-q --quiet", "say nothing on the way")
end

local function chosen(store, engine, given)
  if not given then return engine:unfinished() end
  local id, row = session.find_run(store, given)
  if row.status ~= "running" then
    local err = failure.new("conflict", "run %s has %s already; there is nothing to go on with", id, row.status)
    err.run = id
    error(err, 0)
  end
  return { id }
end

local function go_on(context, arguments, engine, id)
  local display
  local run = engine:reopen(id, { listener = function(event) display:notify(event) end })
  display = progress.new(context.console, { quiet = arguments.quiet })
  if not arguments.quiet then context.err:line(("going on with %s (%s)"):format(id, run.plan.name)) end
  local interrupted = run_command.execute(context, display, run)
  run_command.report(context, run, arguments)
  return interrupted and status.interrupted or status.of_run(run.status), interrupted
end

-- A run that cannot be gone on with does not keep the others from it.
local function refused(context, arguments, id, err)
  err = failure.of(err)
  err.run = id
  if arguments.json then
    context.out:line(shape.line(shape.refusal(err)))
  else
    context.err:line(context.err:paint("red", ("run %s: "):format(id)) .. require("weir.cli.text").safe(err.message))
  end
  return status.of_error(err)
end

-- A flow goes on with the runs it had started, so one of them may have ended before its turn came.
local function has_ended(engine, id)
  local row = engine.store:row(id)
  return row ~= nil and row.status ~= "running"
end

local function go_on_with_all(context, arguments, engine, ids)
  local highest = status.finished
  for _, id in ipairs(ids) do
    local ok, result, interrupted = true, status.finished, false
    if not has_ended(engine, id) then ok, result, interrupted = pcall(go_on, context, arguments, engine, id) end
    if not ok then
      require("weir.native.scheduler").recover()
      result = refused(context, arguments, id, result)
    end
    highest = math.max(highest, result)
    if interrupted then break end
  end
  return highest
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = require("weir.run.engine").new(here, store)
    local ids = chosen(store, engine, arguments.run)
    if #ids == 0 and not arguments.json then context.err:line "no run is unfinished" end
    return go_on_with_all(context, arguments, engine, ids)
  end)
end

return M

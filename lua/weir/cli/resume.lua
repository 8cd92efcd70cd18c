--- weir resume: goes on with runs that have not ended, in this process.

local client = require "weir.serve.client"
local failure = require "weir.failure"
local interrupt = require "weir.cli.interrupt"
local progress = require "weir.cli.progress"
local recovery = require "weir.run.recovery"
local run_command = require "weir.cli.run"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local waking = require "weir.run.waking"

local M = {
  name = "resume",
  summary = "Goes on with unfinished runs, many at once, oldest first. What they finished is not done again.",
  examples = { "resume", "resume last", "resume --json" },
  notes = "Without RUN: those that were under way when their process ended, and those whose time has come. With RUN: also one\n"
    .. "that was paused or set aside (quarantined). Exit status: the highest of the runs'. With --json one line per run.",
}

function M.declare(parser)
  parser:argument("run", "an id, the beginning of one, or `last`; without it every unfinished run"):argname("RUN"):args "?"
  session.declare_store(parser)
  parser:flag("-q --quiet", "say nothing on the way")
end

local HAS_ENDED = require("weir.run.keeping").HAS_ENDED

local function check_open(id, row)
  if not HAS_ENDED[row.status] then return end
  local err = failure.new("conflict", "run %s has %s already; there is nothing to go on with", id, row.status)
  err.run = id
  error(err, 0)
end

local function end_status(run)
  if run.interrupted == "stopped" then return status.interrupted end
  if run.error and rawget(run.error, "mismatch") then return status.of_error(run.error) end
  return status.of_run(run.status)
end

--- Goes on with one run in the foreground, until it ends or only waits, and says what became of it. Waits.
---@param context weir.cli.Context
---@param arguments { json: boolean?, quiet: boolean?, store: string? }
---@param engine weir.Engine
---@param id string
---@return integer status
function M.go_on(context, arguments, engine, id)
  if client.host() then return require("weir.cli.attached").go_on(context, arguments, id, end_status) end
  local display
  local run = recovery.open(engine, id, { anyway = engine.store:row(id).status == "quarantined",
    listener = function(event) display:notify(event) end })
  display = progress.new(context.console, { quiet = arguments.quiet })
  if not arguments.quiet then context.err:line(("going on with %s (%s)"):format(id, run.plan.name)) end
  local interrupted = run_command.execute(context, display, run)
  run_command.report(context, run, arguments)
  if interrupted then return status.interrupted end
  if run.reflection then require("weir.cli.reflecting").after(context, arguments, run) end
  return end_status(run)
end

-- A run that cannot be gone on with does not keep the others from it.
local function refused(context, arguments, id, err)
  err.run = id
  if arguments.json then
    context.out:line(shape.line(shape.refusal(err)))
  else
    context.err:line(context.err:paint("red", ("run %s: "):format(id)) .. text.safe(err.message))
  end
  return status.of_error(err)
end

-- A host goes on by itself; it looks again at those that could not go on.
local function leave_to_host(context, arguments, host)
  host.service.refused = {}
  host.service:nudge()
  if not arguments.json then context.err:line "the host goes on with unfinished runs by itself; `weir runs --status running` lists them" end
  return status.finished
end

-- Of many runs only their ends are told.
local function go_on_with_all(context, arguments, engine)
  local highest, results = status.finished, 0
  local function on_left(id, run, err)
    results = results + 1
    local result
    if run then
      run_command.report(context, run, arguments)
      result = end_status(run)
    else
      result = refused(context, arguments, id, err)
    end
    highest = math.max(highest, result)
  end
  local watch = interrupt.watch(context.err, function(name)
    context.err:line(("%s: stopping; the runs go on when they are resumed"):format(name:upper()))
    engine:stop("stopped by " .. name:upper())
  end)
  local ok, err = pcall(recovery.all, engine, { on_left = on_left })
  watch:close()
  if not ok then error(err, 0) end
  if results == 0 and not arguments.json then context.err:line "no run is unfinished" end
  return watch.came and status.interrupted or highest
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    if arguments.run then
      local id, row = session.find_run(store, arguments.run)
      check_open(id, row)
      return M.go_on(context, arguments, engine, id)
    end
    if client.host() then return leave_to_host(context, arguments, client.host()) end
    local unfinished = recovery.unfinished(store)
    if #unfinished == 1 and #waking.due(engine, 1) == 0 then
      local ok, result = pcall(M.go_on, context, arguments, engine, unfinished[1])
      if ok then return result end
      return refused(context, arguments, unfinished[1], failure.of(result))
    end
    return go_on_with_all(context, arguments, engine)
  end)
end

return M

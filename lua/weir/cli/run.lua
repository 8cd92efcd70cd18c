--- weir run: a pipeline, once, now, in this process.

local client = require "weir.serve.client"
local failure = require "weir.failure"
local input_of = require "weir.cli.input"
local interrupt = require "weir.cli.interrupt"
local progress = require "weir.cli.progress"
local session = require "weir.cli.session"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "run",
  summary = "Runs a pipeline, once, now. Its output goes to stdout, what happens on the way to stderr.",
  examples = { "run hello --set name=Ada", "run pipelines/digest.lua --set path=docs --set words=200",
    "run review --input @input.json --json", "run review --dry-run", "run news --record answers.jsonl" },
  notes = "Exit status: 0 finished, 1 failed, 2 the pipeline or its input is wrong, 3 waiting, 4 in doubt, 5 cancelled,\n"
    .. "8 refused (the store is in use, the key has started something else), 75 the store failed, 130 interrupted. A run\n"
    .. "that only waits is left in the store, with what it waits for and the command that answers. Ctrl-C cancels the run\n"
    .. "cleanly, SIGTERM stops it so that `weir resume` goes on with it; a second one ends the process.",
}

local JITTER = 10000 -- instructions between drawn preemptions, under --seed

function M.declare(parser)
  parser:argument("pipeline", "a pipeline file, or its name"):argname "FILE|NAME"
  parser:option("--input", "the input: JSON, @FILE, or - for stdin"):argname "JSON"
  parser:option("--set", "set one value of the input; may be repeated"):argname("a.b=V"):count "*"
  parser:option("--key", "an equal key, with the same input, gives the run that was started first"):argname "K"
  session.declare_store(parser)
  parser:option("--model", "the model of steps that name none"):argname "NAME"
  parser:option("--seed", "run on a virtual clock, in an order drawn from N"):argname("N"):convert(math.tointeger)
  parser:option("--record", "write every HTTP exchange into FILE"):argname "FILE"
  parser:option("--replay", "answer HTTP requests from a recording; no network is used"):argname "FILE"
  parser:flag("--dry-run", "say what would run, and run nothing")
  parser:flag("--detach", "start it in the host that serves the store, print its id, and do not wait")
  parser:flag("-q --quiet", "say nothing on the way")
end

local function refuse_definition(context, arguments, errors)
  if arguments.json then
    local first = errors[1]
    local more = #errors > 1 and ("; and %d more, which `weir check` tells"):format(#errors - 1) or ""
    local err = failure.new(first.code or "invalid", "%s%s", first.message, more)
    err.file, err.line, err.status = first.file, first.line, status.usage
    error(err, 0)
  end
  local format = require("weir.definition.check").format
  for _, entry in ipairs(errors) do context.err:line(context.err:paint("red", "error: ") .. text.safe(format(entry))) end
  return status.usage
end

-- What this version cannot run is told before anything is opened.
local function plan_of(engine, definition)
  local ok, plan = pcall(engine.plan_of, engine, definition)
  if ok then return plan end
  local err = failure.of(plan)
  err.status = status.usage
  error(err, 0)
end

local function check_input(plan, input, schema)
  local ok, checked, errors = plan.check_input(input)
  if not ok then error(input_of.refusal(errors, schema), 0) end
  return checked
end

local function say_output(context, output)
  if output == nil then return end
  if type(output) == "string" then
    context.out:write(output:sub(-1) == "\n" and output or output .. "\n")
  else
    context.out:line(require("weir.native.json").encode(output, { indent = 2 }) or tostring(output))
  end
end

local function say_error(context, err)
  local stream = context.err
  if err.code == "cancelled" then return stream:line(stream:paint("yellow", "cancelled: ") .. text.safe(err.message)) end
  stream:line(("%s %s (%s)"):format(stream:paint("red", "error:"), text.safe(err.message), err.code))
  for _, line in ipairs(err.traceback and text.trace_lines(err.traceback) or {}) do stream:line(stream:paint("dim", "  " .. line)) end
end

-- What to type next; under a seed the newest run by its time is another one, and so among many.
local function look_at(context, run, arguments)
  local store = run.engine.store
  if not store or store:path() == ":memory:" then return "nothing was kept" end
  local tail = ((arguments.seed or arguments.where) and run.id or "last") .. (arguments.store and (" --store " .. arguments.store) or "")
  return ("weir show %s %s weir trace %s"):format(tail, context.console.signs.dot, tail)
end

-- The last line: what became of the run, and what to type next.
local function say_end(context, run, arguments)
  local stream = context.err
  if not run.ended_ms then return require("weir.cli.waiting").say(context, run, arguments) end
  local seconds = (run.ended_ms - run.started_ms) / 1000
  stream:line(("%s %s %s in %s %s"):format(progress.sign(context.console, run.status), stream:paint("bold", run.id), run.status,
    text.duration(seconds), stream:paint("dim", ("%s %s"):format(context.console.signs.dot, look_at(context, run, arguments)))))
end

--- Says what became of a run: its output or error, and the closing line.
---@param context weir.cli.Context
---@param run weir.Run
---@param arguments { json: boolean?, quiet: boolean?, store: string? }
function M.report(context, run, arguments)
  if arguments.json then
    local shape = require "weir.view.shape"
    context.out:line(shape.line(shape.live(run)))
  elseif run.status == "finished" then
    say_output(context, run.output)
  elseif run.error then
    say_error(context, run.error)
  end
  context.out:flush()
  if not arguments.quiet then say_end(context, run, arguments) end
end

-- Ctrl-C means that the run is not wanted any more; a system that shuts down means nothing of the kind.
local function on_interrupt(context, display, run)
  return function(name)
    if name ~= "sigint" then
      display:say(context.err:paint("yellow", ("%s: stopping; run %s goes on when it is resumed"):format(name:upper(), run.id)))
      return run.engine:stop("stopped by " .. name:upper())
    end
    local what = "Ctrl-C"
    display:say(context.err:paint("yellow", ("%s: cancelling run %s; once more ends the process at once"):format(what, run.id)))
    run:cancel(("interrupted by %s"):format(what))
  end
end

--- Executes a prepared run under a display; Ctrl-C cancels it. In a host it is the host that executes it, and Ctrl-C
--- only ends the watching. Waits.
---@param context weir.cli.Context
---@param display weir.cli.Progress
---@param run weir.Run
---@return boolean interrupted
---@return boolean|nil goes_on it is not over, and goes on in the host
function M.execute(context, display, run)
  if client.host() then return require("weir.cli.attached").execute(context, display, run) end
  local watch = interrupt.watch(context.err, on_interrupt(context, display, run))
  local ok, err = pcall(run.execute, run)
  watch:close()
  display:close()
  if ok then return watch.came end
  err = failure.of(err)
  err.run, err.status = run.id, status.store -- a run raises only what keeps it from being recorded
  error(err, 0)
end

-- A seed draws the same id again; two runs of one id would share a journal.
local function id_of(arguments, store)
  if not arguments.seed or not store then return nil end
  local id = require("weir.id").new "r"
  if store:row(id) then
    failure.raise("conflict", "the store holds a run of seed %d already (%s); use another --seed or another --store", arguments.seed, id)
  end
  return id
end

-- The run that the key has started: what became of it, or what becomes of it now.
local function again(context, arguments, engine, id)
  local row = engine.store:row(id)
  if not arguments.quiet then
    context.err:line(("the key '%s' started %s, which %s"):format(text.safe(arguments.key), id,
      row.ended_ms and "has ended" or "is gone on with"))
  end
  if not row.ended_ms then return require("weir.cli.resume").go_on(context, arguments, engine, id) end
  M.report(context, engine:rejoin(id), arguments)
  return status.of_run(row.status)
end

-- The model that is named has to be there.
local function model_of(engine, arguments)
  if arguments.model then require("weir.model.catalog").new(engine.project):find(arguments.model) end
  return arguments.model
end

-- The host has it from here on.
local function detach(context, arguments, engine, definition, input)
  local run, first = engine:prepare_once(definition, input, { by = require("weir.port.system").user_name(), key = arguments.key,
    model = model_of(engine, arguments) })
  if run then require("weir.cli.attached").carry(run) end
  if arguments.json then
    local shape = require "weir.view.shape"
    context.out:line(shape.line(run and shape.live(run) or shape.row(first, engine.store:row(first))))
  else
    context.out:line(run and run.id or first)
  end
  return status.finished
end

local function execute(context, arguments, engine, definition, input)
  if arguments.detach then return detach(context, arguments, engine, definition, input) end
  local display
  local run, first = engine:prepare_once(definition, input, { id = id_of(arguments, engine.store),
    by = require("weir.port.system").user_name(), key = arguments.key, model = model_of(engine, arguments),
    listener = function(event) display:notify(event) end })
  if not run then return again(context, arguments, engine, first) end
  display = progress.new(context.console, { quiet = arguments.quiet, plain = arguments.seed ~= nil })
  local interrupted, goes_on = M.execute(context, display, run)
  if not goes_on then M.report(context, run, arguments) end
  if interrupted then return status.interrupted end
  if run.reflection then require("weir.cli.reflecting").after(context, arguments, run) end
  return status.of_run(run.status)
end

-- A host knows the modules of its own project only.
local function check_project(here)
  local host = client.host()
  if not host or here == host.project then return end
  failure.raise("conflict", "this host serves the project '%s', not '%s'; use another --store", host.project.root, here.root)
end

-- Of a name somebody may have chosen another version than the file has.
local function serving(here, name, definition)
  if name:find "[/.]" then return definition end
  return require("weir.registry.active").choose(here.registry, "pipelines/" .. name, definition)
end

-- What runs on a virtual clock has no place among runs of real times, unless somebody says which.
local function with_engine(context, arguments, here, definition, input)
  if definition.normal.durability == "none" then
    local engine <close> = session.engine(here, nil)
    return execute(context, arguments, engine, definition, input)
  end
  check_project(here)
  local path = arguments.store or arguments.seed and ":memory:" or nil
  return session.with_store(session.open_store(here, path), function(store)
    local engine = session.engine(here, store)
    if arguments.seed then engine.near = math.huge end -- on a virtual clock every moment is near
    return execute(context, arguments, engine, serving(here, arguments.pipeline, definition), input)
  end)
end

-- What a host records would be that of other runs too.
local function check_tape(arguments)
  if not arguments.record and not arguments.replay then return end
  if arguments.record and arguments.replay then failure.raise("invalid", "--record and --replay: one of them at a time") end
  if client.host() or arguments.detach then
    failure.raise("invalid", "--record and --replay go with a run in a process of its own, and a host serves this store; name another "
      .. "with --store, such as --store :memory:")
  end
end

local function check_host(arguments)
  check_tape(arguments)
  if arguments.seed and client.host() then
    failure.raise("invalid", "--seed makes the clock virtual, which is no host's: run it in a process of its own")
  end
  if not arguments.detach or client.host() then return end
  local err = failure.new("unavailable", "--detach leaves the run to a host, and none serves this store; start one with `weir serve`")
  err.status = status.no_host
  error(err, 0)
end

-- The recording that is read or written while the run goes on; nil: none.
local function tape_of(arguments)
  if not arguments.record and not arguments.replay then return nil end
  local tape = require "weir.port.tape"
  local own, message, code
  if arguments.record then own, message, code = tape.recorder(arguments.record)
  else own, message, code = tape.player(arguments.replay) end
  if own then return own end
  local err = failure.new(code, "%s", message)
  err.status = status.usage
  error(err, 0)
end

local function say_tape(context, arguments, own)
  local closed, message = own:close()
  if not closed then context.err:line(context.err:paint("yellow", "warning: ") .. text.safe(message)) end
  if arguments.quiet or not arguments.replay or own.left == 0 then return end
  local left = text.count(own.left, "exchange")
  context.err:line(("%s of %d in '%s' not asked for"):format(left, own.count, text.safe(arguments.replay)))
end

local function with_tape(context, arguments, ...)
  local own = tape_of(arguments)
  if not own then return with_engine(context, arguments, ...) end
  local result = require("weir.port.tape").within(own, with_engine, context, arguments, ...)
  say_tape(context, arguments, own)
  return result
end

function M.run(arguments, context)
  check_host(arguments)
  if arguments.seed then require("weir.native.scheduler").use_virtual_clock(arguments.seed, JITTER) end
  local name = arguments.pipeline
  local here = session.project(name:find "[/.]" and name or nil)
  local definition, errors = session.load(here, name)
  if not definition then return refuse_definition(context, arguments, errors) end
  local plan = plan_of(session.engine(here, nil), definition)
  local schema = definition.normal.input
  local input = input_of.build(arguments.input, arguments.set, schema)
  local checked = check_input(plan, input, schema)
  if arguments.dry_run then return require("weir.cli.dry_run").run(context, here, definition, checked, arguments) end
  return with_tape(context, arguments, here, definition, input)
end

return M

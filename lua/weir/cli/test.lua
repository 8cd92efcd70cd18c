--- weir test: specs inside the host, or a pipeline killed at every position of its journal.

local failure = require "weir.failure"
local input = require "weir.cli.input"
local process = require "weir.port.process"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local system = require "weir.port.system"
local text = require "weir.cli.text"

local M = {
  name = "test",
  summary = "Runs specs (busted) inside the host; without SPEC those below spec/.",
  examples = { "test", "test spec/hello_spec.lua --filter greets", "test --crash-everywhere hello --set name=Ada" },
  notes = "A SPEC is a file, or a folder whose *_spec.lua files are run. Exit status 1 when a test fails.\n"
    .. "--crash-everywhere kills a run of the pipeline at each change of its store and goes on with it: the result\n"
    .. "must be that of a run that was never killed. Approvals are decided and signals sent, as said, on the way.",
}

local JITTER = 10000 -- instructions between drawn preemptions, under --seed

function M.declare(parser)
  parser:argument("spec", "spec files and folders"):args "*"
  parser:option("--filter", "only tests whose title matches the Lua pattern"):argname("PATTERN"):count "*"
  parser:flag("--virtual", "run on a virtual clock: sleeps jump")
  parser:option("--seed", "run on a virtual clock, in an order drawn from N"):argname("N"):convert(math.tointeger)
  parser:option("--seeds", "run under each seed from 1 to N; a failure is told with the command that repeats it"):argname("N")
    :convert(math.tointeger)
  parser:option("--crash-everywhere", "kill this pipeline at each change of its store"):argname "PIPELINE"
  parser:option("--set", "one value of that pipeline's input"):argname("a.b=V"):count "*"
  parser:option("--decide", "what a person decides, {decision, answer}; else approve"):argname("STEP=JSON"):count "*"
  parser:option("--signal", "what a signal brings; else true"):argname("NAME=JSON"):count "*"
end

-- Specs ------------------------------------------------------------------------------------------

local function trimmed(traceback)
  local lines = {}
  for line in traceback:gmatch "[^\n]+" do
    local is_noise = line:find "/busted/" or line:find "luassert" or line:find "^%s*weir/cli/" or line:find "stack traceback"
    if not is_noise then lines[#lines + 1] = line end
  end
  return lines
end

local function say_failure(out, outcome, signs)
  out:line(("%s %s"):format(out:paint("red", signs.failed), out:paint("bold", outcome.name ~= "" and outcome.name or outcome.file)))
  for line in (outcome.message or "it failed and gave no message"):gmatch "[^\n]+" do out:line("    " .. text.safe(line)) end
  for _, line in ipairs(outcome.traceback and trimmed(outcome.traceback) or {}) do out:line("    " .. out:paint("dim", text.safe(line))) end
end

local function new_tally()
  return { passed = 0, failed = 0, pending = 0 }
end

local function add(tally, outcome)
  tally[outcome.status] = tally[outcome.status] + 1
end

local function file_line(context, name, tally, seconds)
  local out, signs = context.out, context.console.signs
  local is_good = tally.failed == 0
  local parts = { out:paint(is_good and "green" or "red", is_good and signs.finished or signs.failed) .. " " .. name,
    text.count(tally.passed, "test") .. " passed" }
  if tally.failed > 0 then parts[#parts + 1] = ("%d failed"):format(tally.failed) end
  if tally.pending > 0 then parts[#parts + 1] = ("%d pending"):format(tally.pending) end
  parts[#parts + 1] = out:paint("dim", text.duration(seconds))
  return table.concat(parts, "  ")
end

-- One line per file, failures as they come.
local function say_results(context, total)
  local by_file = {}
  return {
    outcome = function(outcome)
      by_file[outcome.file] = by_file[outcome.file] or new_tally()
      add(total, outcome)
      add(by_file[outcome.file], outcome)
      if outcome.status == "failed" then say_failure(context.out, outcome, context.console.signs) end
    end,
    file = function(name, seconds)
      if by_file[name] then context.out:line(file_line(context, name, by_file[name], seconds)) end
      context.out:flush()
    end,
  }
end

local function print_results(context, total)
  return {
    outcome = function(outcome)
      add(total, outcome)
      context.out:line(shape.line { file = outcome.file, name = outcome.name, status = outcome.status, seconds = outcome.seconds,
        message = outcome.message })
    end,
    file = function() end,
  }
end

local function close_results(context, total, seconds, as_json)
  if as_json then
    return context.out:line(shape.line { passed = total.passed, failed = total.failed, pending = total.pending, seconds = seconds })
  end
  local pending = total.pending > 0 and (", %d pending"):format(total.pending) or ""
  local line = ("%d passed, %d failed%s"):format(total.passed, total.failed, pending)
  context.out:line(("%s in %s"):format(context.out:paint(total.failed > 0 and "bold red" or "bold green", line), text.duration(seconds)))
end

local function find_files(given)
  local paths = #given > 0 and given or { "spec" }
  local files, missing = require("weir.cli.suite").find(paths)
  if not files then failure.raise("not_found", "there is no '%s'; name a spec file, or a folder that holds some", missing) end
  if #files == 0 then failure.raise("not_found", "there is no *_spec.lua file below %s", table.concat(paths, ", ")) end
  return files
end

local function require_busted()
  if pcall(require, "busted.core") then return end
  local err = failure.new("unavailable", "busted is not installed; `apt install lua-busted` installs it")
  err.status = status.failed
  error(err, 0)
end

local function monotonic()
  return require("luv").hrtime() / 1e9 -- the scheduler's own clock may be virtual
end

local function use_clock(arguments)
  local native = require "weir.native.scheduler"
  if arguments.seed then
    require("weir.testing").seed = arguments.seed
    native.use_virtual_clock(arguments.seed, JITTER)
  elseif arguments.virtual then
    native.use_virtual_clock(nil, 0)
  end
end

local function run_specs(arguments, context)
  local files = find_files(arguments.spec)
  require_busted()
  use_clock(arguments)
  local total, began = new_tally(), monotonic()
  local report = (arguments.json and print_results or say_results)(context, total)
  require("weir.cli.suite").run(files, { filter = arguments.filter }, report)
  close_results(context, total, monotonic() - began, arguments.json)
  if total.passed + total.failed + total.pending == 0 then
    failure.raise("not_found", "no test was found%s", #arguments.filter > 0 and "; --filter fits none" or "")
  end
  return total.failed == 0 and status.finished or status.failed
end

-- Seeds ------------------------------------------------------------------------------------------

local SEED_SECONDS = 600

local function run_seed(arguments, seed)
  local args = { system.program(), "test", "--seed", ("%d"):format(seed) }
  for _, pattern in ipairs(arguments.filter) do table.move({ "--filter", pattern }, 1, 2, #args + 1, args) end
  table.move(arguments.spec, 1, #arguments.spec, #args + 1, args)
  local result, message, code = process.run(args, { env = system.environment {}, timeout = SEED_SECONDS, max_bytes = 16 << 20 })
  if not result then failure.raise(code, "seed %d: %s", seed, message) end
  return result, args
end

-- Each seed in a process of its own, so that one does not see what another has left.
local function run_seeds(arguments, context)
  find_files(arguments.spec)
  local failed = 0
  for seed = 1, arguments.seeds do
    local result, args = run_seed(arguments, seed)
    if result.status ~= status.finished then
      failed = failed + 1
      args[1] = "weir"
      if arguments.json then
        context.out:line(shape.line { seed = seed, command = table.concat(args, " "), output = result.stdout })
      else
        context.out:write(result.stdout)
        context.out:line(("%s seed %d: %s"):format(context.out:paint("red", context.console.signs.failed), seed, table.concat(args, " ")))
      end
    end
  end
  if arguments.json then
    context.out:line(shape.line { passed = arguments.seeds - failed, failed = failed })
  else
    context.out:line(("%d passed, %d failed: under each of %s"):format(arguments.seeds - failed, failed,
      text.count(arguments.seeds, "seed")))
  end
  return failed == 0 and status.finished or status.failed
end

-- Crashes ----------------------------------------------------------------------------------------

-- Values by name, of options such as --signal paid=12.
local function pairs_of(settings, option)
  local values = {}
  for _, setting in ipairs(settings) do
    local name, value = setting:match "^([^=]+)=(.+)$"
    if not name then failure.raise("invalid", "%s: NAME=JSON expected, got '%s'", option, setting) end
    values[name] = input.read(value, option)
  end
  return values
end

-- A run that ends early is killed at few positions: that may not be what was to be tried.
local function say_status(context, summary)
  local why = summary.error and (": " .. text.safe(text.first_line(summary.error.message))) or ""
  context.out:line(context.out:paint("yellow", ("the run that was never killed has %s%s"):format(summary.status, why)))
end

local function crash_everywhere(arguments, context)
  local pipeline = arguments.crash_everywhere
  session.load(session.project(pipeline:find "[/.]" and pipeline or nil), pipeline) -- not_found is told here, not by a child
  local given = {}
  for _, setting in ipairs(arguments.set) do
    given[#given + 1] = "--set"
    given[#given + 1] = setting
  end
  local report = not arguments.json and function(line) context.err:line(context.err:paint("dim", line)) end or nil
  local ok, summary = require("weir.testing.crash").everywhere(pipeline, given, { report = report, decide = pairs_of(arguments.decide,
    "--decide"), signal = pairs_of(arguments.signal, "--signal") })
  if arguments.json then
    context.out:line(shape.line { pipeline = pipeline, positions = summary.positions, failed = #summary.problems, status = summary.status,
      problems = require("weir.native.json").list(summary.problems) })
  else
    for _, problem in ipairs(summary.problems) do
      local sign = context.out:paint("red", context.console.signs.failed)
      context.out:line(("%s life %d %s:%d  %s"):format(sign, problem.life, problem.point, problem.count, problem.problem))
      context.out:line("    " .. problem.command)
    end
    context.out:line(("%d passed, %d failed: %s killed at %s"):format(summary.positions - #summary.problems, #summary.problems, pipeline,
      text.count(summary.positions, "position")))
    if summary.status ~= "finished" then say_status(context, summary) end
  end
  return ok and status.finished or status.failed
end

function M.run(arguments, context)
  if arguments.crash_everywhere then return crash_everywhere(arguments, context) end
  if arguments.seeds then return run_seeds(arguments, context) end
  return run_specs(arguments, context)
end

return M

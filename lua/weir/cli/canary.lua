--- weir canary: puts a new version of a module or pipeline on trial, shows the trials, ends one.

local canary = require "weir.healing.canary"
local failure = require "weir.failure"
local revise = require "weir.registry.revise"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local view = require "weir.view.canary"

local M = {
  name = "canary",
  summary = "Puts a new version on trial for a part of the runs; a policy promotes it or rolls it back. Without NAME lists trials.",
  examples = { "canary", "canary agents/writer --percent 10", "canary pipelines/digest --percent 5 --calls 200 --alpha 0.01",
    "canary agents/writer --promote", "canary agents/writer --rollback --why 'slower'" },
  notes = "On trial is what the file says now, against the version that serves; or what serves, against what did before. The old\n"
    .. "version serves everybody else until the trial has ended. NAME as for `weir rollback`.\n"
    .. "Exit status: 0 done, 2 wrong numbers, 6 no such name, no version before it, or no trial, 8 one is on trial already.",
}

local SHORT = 12

local function number(least, most)
  return function(value)
    local found = tonumber(value)
    if found and found >= least and found <= most then return math.tointeger(found) or found end
    return nil, ("a number from %g to %g expected, got '%s'"):format(least, most, value)
  end
end

function M.declare(parser)
  parser:argument("name", "a module or pipeline"):argname("NAME"):args "?"
  session.declare_store(parser)
  parser:option("--percent", "begin a trial: of the runs that begin"):argname("P"):convert(number(0.01, 100))
  parser:option("--minimum", "calls of the new version before it is looked at first; 10"):argname("N"):convert(number(1, 1e6))
  parser:option("--calls", "calls after which it is promoted; 100"):argname("N"):convert(number(1, 1e6))
  parser:option("--alpha", "how often one that is no worse may be rolled back; 0.05"):argname("A"):convert(number(0, 1))
  parser:option("--policy", "that decides; canary"):argname "NAME"
  parser:flag("--promote", "end the trial: the new version serves")
  parser:flag("--rollback", "end it: the old version goes on, runs with the new one are paused")
  parser:flag("--stop", "end it: the old version goes on")
  parser:option("--why", "for the record"):argname "T"
end

local ENDS = { { "promote", "promoted" }, { "rollback", "rolled_back" }, { "stop", "stopped" } }

-- What is asked for: the state in which a trial ends; nil for one that begins or is shown.
local function ending_of(arguments)
  local found
  for _, pair in ipairs(ENDS) do
    if arguments[pair[1]] then
      if found then failure.raise("invalid", "one of --promote, --rollback and --stop") end
      found = pair[2]
    end
  end
  if found and arguments.percent then failure.raise("invalid", "--percent begins a trial, --%s ends one", found) end
  return found
end

local function line_of(shaped)
  local function part(of) return ("%s  %d of %d failed"):format(of.version:sub(1, SHORT), of.failed, of.ok + of.failed) end
  return ("%s  %s at %g %%  old %s  new %s"):format(shaped.name, shaped.state:gsub("_", " "), shaped.percent, part(shaped.old),
    part(shaped.new))
end

local function say(context, store, one, arguments)
  local shaped = view.shape(store, one)
  if arguments.json then return context.out:line(shape.line(shaped)) end
  context.out:line(line_of(shaped))
  if type(shaped.reason) == "string" then context.out:line("  " .. context.out:paint("dim", text.safe(shaped.reason))) end
end

local function list(context, store, arguments)
  local all = canary.list(store)
  for _, one in ipairs(all) do say(context, store, one, arguments) end
  if #all == 0 and not arguments.json then context.err:line "no version has been on trial; `weir canary NAME --percent P` begins" end
end

local function show(context, store, full, arguments)
  for _, one in ipairs(canary.list(store)) do
    if one.name == full then return say(context, store, one, arguments) end
  end
  failure.raise("not_found", "no version of '%s' has been on trial; `weir canary %s --percent P` begins", full, full)
end

local function options_of(arguments)
  local options = { minimum = arguments.minimum, calls = arguments.calls, alpha = arguments.alpha }
  return next(options) ~= nil and options or nil
end

function M.run(arguments, context)
  local ending = ending_of(arguments)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local engine = session.engine(here, store)
    if not arguments.name then
      list(context, store, arguments)
      return status.finished
    end
    local full = revise.resolve(engine.project.registry, arguments.name)
    if ending then
      say(context, store, canary.finish(engine, full, ending, { via = "cli", reason = arguments.why }), arguments)
    elseif arguments.percent then
      say(context, store, canary.start(engine, full, { percent = arguments.percent, policy = arguments.policy,
        options = options_of(arguments), via = "cli" }), arguments)
    else
      show(context, store, full, arguments)
    end
    return status.finished
  end)
end

return M

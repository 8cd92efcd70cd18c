--- What commands do about reflection: go on with what follows a run in the foreground, and say what came of it.

local client = require "weir.serve.client"
local failure = require "weir.failure"
local progress = require "weir.cli.progress"
local recovery = require "weir.run.recovery"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local waiting = require "weir.cli.waiting"

local M = {}

local SHORT = 12

local STOPPED = {
  rounds = "all rounds are done", canary = "a part of the runs tries it",
  no_proposal = "nothing more is proposed", no_improvement = "nothing better was found",
  limit = "a limit was reached", rejected = "a person said no", stale = "something else came to serve", failed = "it failed",
}

local function number(value) return type(value) == "number" and ("%.4g"):format(value) or "?" end

local function side(label, scores)
  if not scores.before then return nil end
  return ("%s %s to %s"):format(label, number(scores.before), number(scores.after))
end

local function say_proposed(err, proposed)
  if not proposed then return end
  if proposed.why then return err:line(("  %s: %s"):format(proposed.state, text.safe(proposed.why))) end
  err:line(("  proposed: %s"):format(text.safe(proposed.reason)))
  for _, line in ipairs(require("weir.view.candidates").changes(proposed)) do err:line("    " .. text.safe(line)) end
end

--- Says what came of a run that has reflected.
---@param context weir.cli.Context
---@param run weir.Run
function M.say(context, run)
  local err, output = context.err, run.output
  if run.status ~= "finished" then
    local why = run.error and run.error.message or ""
    return err:line(("%s not reflected: %s"):format(progress.sign(context.console, run.status), text.safe(why)))
  end
  local known, held = output.scores.tuning, output.scores.holdout
  local parts = { side("known", known), side("held out", held) }
  local kept = #output.kept == 0 and "nothing changed"
    or ("%s serves now in the place of %s"):format(output.to:sub(1, SHORT), output.from:sub(1, SHORT))
  if #output.kept > 0 and output.to == output.from then kept = "a module has another source now" end
  err:line(("%s reflected on %s: %s, %s%s; %s"):format(progress.sign(context.console, "finished"), output.pipeline,
    text.count(output.rounds, "candidate"), kept, #parts > 0 and ", " .. table.concat(parts, ", ") or "",
    text.safe(("%s (%s)"):format(STOPPED[output.stopped.code] or output.stopped.code, output.stopped.why))))
  say_proposed(err, output.proposed)
end

--- Goes on with a run that reflects, until it ends or only waits. Waits.
---@param context weir.cli.Context
---@param arguments { quiet: boolean?, store: string? }
---@param run weir.Run
---@return integer status
function M.carry(context, arguments, run)
  local run_command = require "weir.cli.run"
  local display = progress.new(context.console, { quiet = true })
  local interrupted = run_command.execute(context, display, run)
  if not arguments.quiet then
    if run.ended_ms then M.say(context, run) else waiting.say(context, run, arguments) end
  end
  return interrupted and status.interrupted or status.of_run(run.status)
end

--- What follows a run that a command has executed: it is reflected on here, unless a host does. What comes of it changes nothing
--- about the run. Waits.
---@param context weir.cli.Context
---@param arguments { quiet: boolean?, store: string? }
---@param run weir.Run with a `reflection`
function M.after(context, arguments, run)
  if client.host() then return end
  local ok, result = pcall(function() return M.carry(context, arguments, recovery.open(run.engine, run.reflection)) end)
  if ok then return result end
  require("weir.native.scheduler").recover()
  local err = failure.of(result)
  context.err:line(("the run is not reflected on yet: %s; `weir resume %s` goes on"):format(text.safe(err.message), run.reflection))
end

return M

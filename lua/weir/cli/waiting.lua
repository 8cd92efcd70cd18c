--- What a run that has not ended waits for, and what to type about it.

local clock = require "weir.port.clock"
local text = require "weir.cli.text"

local M = {}

local function when(wait)
  return wait.due_ms and (" until " .. clock.rfc3339(wait.due_ms)) or ""
end

-- By kind: what is waited for, and the command that ends it.
local SAYS = {
  approval = function(wait)
    return ("a decision: %s%s"):format(wait.name or "", when(wait)), ("weir approve %s, or weir reject %s"):format(wait.id, wait.id)
  end,
  in_doubt = function(wait)
    return wait.name or "whether it was done", ("weir approve %s (it was done) or weir reject %s (do it again)"):format(wait.id, wait.id)
  end,
  signal = function(wait, run_id)
    local name = wait.name or "NAME"
    return ("the signal %s%s"):format(name, when(wait)), ("weir signal %s %s"):format(run_id, name)
  end,
  event = function(wait)
    local name = wait.name or "TYPE"
    return ("the event %s%s"):format(name, when(wait)), ("weir event send %s"):format(name)
  end,
  run = function(wait) return "the run " .. wait.id, "weir show " .. wait.id end,
  pause = function(_, run_id) return "somebody to resume it", "weir resume " .. run_id end,
}

local function by_time(wait)
  return (wait.kind == "retry" and "another attempt" or "its time") .. when(wait), "weir resume"
end

--- One line about a wait.
---@param wait { step: string, kind: string, id: string?, name: string?, due_ms: integer? }
---@param run_id string
---@return string
function M.line(wait, run_id)
  local what, command = (SAYS[wait.kind] or by_time)(wait, run_id)
  return text.safe(("%s waits for %s"):format(wait.step, what)), command
end

M.of_run = require("weir.view.shape").waits_of

local SHOWN = 10

--- Says what a run waits for, or that it was stopped, or why it is set aside.
---@param context weir.cli.Context
---@param run weir.Run
---@param arguments { store: string? }
function M.say(context, run, arguments)
  local err, signs = context.err, context.console.signs
  local store = arguments.store and " --store " .. arguments.store or ""
  local list = M.of_run(run)
  for index = 1, math.min(#list, SHOWN) do
    local line, command = M.line(list[index], run.id)
    err:line(("  %s %s  %s"):format(err:paint("yellow", signs.waiting or signs.dot), line, err:paint("dim", command .. store)))
  end
  if #list > SHOWN then err:line(("  and %d more"):format(#list - SHOWN)) end
  local what = run.status == "running" and "is stopped" or run.status == "in_doubt" and "is in doubt" or run.status
  err:line(("%s %s %s %s"):format(err:paint("yellow", signs.waiting or signs.dot), err:paint("bold", run.id), what,
    err:paint("dim", ("%s weir resume%s %s weir show %s%s"):format(signs.dot, store, signs.dot, run.id, store))))
end

return M

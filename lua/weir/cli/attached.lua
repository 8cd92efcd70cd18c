--- Runs that a host executes while a client watches them. What the client does to its own command, and that it goes,
--- ends the watching; the run goes on.

local client = require "weir.serve.client"
local failure = require "weir.failure"
local interrupt = require "weir.cli.interrupt"
local native = require "weir.native.scheduler"
local progress = require "weir.cli.progress"
local recovery = require "weir.run.recovery"
local run_command = require "weir.cli.run"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {}

local NEAR = 60 -- seconds within which what only time ends is waited for, as in a process of its own

--- Has the host execute a run, outside of the command. Does not wait.
---@param run weir.Run
---@return { err: any } outcome see `carry` of the host
function M.carry(run)
  return client.host():carry(run)
end

-- A run that is watched tells at once that it only waits.
local function hurry(run)
  run.patience, run.near = 0, NEAR
end

local function say_left(context, display, run)
  display:say(context.err:paint("yellow", ("run %s goes on in the host; `weir cancel %s` cancels it"):format(run.id, run.id)))
end

-- Until the run has left memory, or the client does not wait any more.
local function follow(context, display, run)
  local waiter = native.waiter()
  run:leaving():tell(waiter)
  local watch = interrupt.watch(context.err, function()
    say_left(context, display, run)
    waiter:wake "left"
  end)
  local ok, why = pcall(waiter.wait, waiter, "a run of the host")
  watch:close()
  if not ok then error(why, 0) end
  return why == "left"
end

local function raise_unkept(run, err)
  err = failure.of(err)
  err.run, err.status = run.id, status.store
  error(err, 0)
end

--- Has the host execute a prepared run, and watches it until it ends or only waits. Waits.
---@param context weir.cli.Context
---@param display weir.cli.Progress
---@param run weir.Run
---@return boolean interrupted
---@return boolean goes_on
function M.execute(context, display, run)
  hurry(run)
  local outcome = M.carry(run)
  local left = follow(context, display, run)
  display:close()
  if outcome.err then raise_unkept(run, outcome.err) end
  return left, left
end

--- Has the host execute a prepared run, and waits until it ends or only waits.
---@param run weir.Run
---@return weir.Run
function M.await(run)
  hurry(run)
  local outcome = M.carry(run)
  run:await_left()
  if outcome.err then raise_unkept(run, outcome.err) end
  return run
end

-- Where the run is now: at work, or opened here and carried by the host; nil when it has ended.
local function at_work(host, id)
  local engine = host.engine
  while true do
    local live = engine:at_work(id)
    if live then return live end
    local row, message, code = host.store:row(id)
    if not row then failure.raise(code or "not_found", "%s", message) end
    if engine:has_ended(id) then return nil end
    local ok, run = pcall(recovery.open, engine, id, { anyway = row.status == "quarantined" })
    if ok then
      hurry(run)
      M.carry(run)
      return run
    end
    native.recover()
    if not engine:at_work(id) then error(run, 0) end
  end
end

--- Goes on with a run in the host, or joins those who watch it, until it ends or only waits; says what became of it.
--- Waits.
---@param context weir.cli.Context
---@param arguments { json: boolean?, quiet: boolean?, store: string? }
---@param id string
---@param end_status fun(run: weir.Run): integer
---@return integer status
function M.go_on(context, arguments, id, end_status)
  local host, display = client.host(), nil
  local take_back = host:watch(id, function(event) if display then display:notify(event) end end)
  local ok, run = pcall(at_work, host, id)
  if not ok then
    take_back()
    error(run, 0)
  end
  if not run then
    take_back()
    run = host.engine:rejoin(id)
    run_command.report(context, run, arguments)
    return end_status(run)
  end
  hurry(run)
  display = progress.new(context.console, { quiet = arguments.quiet })
  if not arguments.quiet then context.err:line(("going on with %s (%s)"):format(id, text.safe(run.plan.name))) end
  local followed, left = pcall(follow, context, display, run)
  take_back()
  display:close()
  if not followed then error(left, 0) end
  if left then return status.interrupted end
  run_command.report(context, run, arguments)
  return end_status(run)
end

return M

--- Retries of every run that fits a query, side by side.

local client = require "weir.cli.client"
local failure = require "weir.failure"
local fork = require "weir.run.fork"
local forking = require "weir.cli.forking"
local interrupt = require "weir.cli.interrupt"
local native = require "weir.native.scheduler"
local run_command = require "weir.cli.run"
local selection = require "weir.view.selection"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local task = require "weir.task"
local text = require "weir.cli.text"

local M = {}

local AT_ONCE = 16 -- runs
local SHOWN = 20
local RETRIED = { failed = true, cancelled = true, finished = true, quarantined = true }

local function query_of(given)
  local query = selection.parse(given)
  query.status = query.status or "failed"
  if not RETRIED[query.status] then
    failure.raise("invalid", "--where: only runs that have ended are retried: status failed, cancelled, finished or quarantined, got '%s'",
      query.status)
  end
  return query
end

local function say_found(context, found)
  local rows = {}
  for index = 1, math.min(#found, SHOWN) do
    local entry = found[index]
    local err = type(entry.row.error) == "table" and entry.row.error or {}
    rows[index] = { "  " .. entry.id, text.safe(entry.row.pipeline or ""), entry.row.status, err.code or "",
      text.shorten(text.first_line(tostring(err.message or "")), 60) }
  end
  for _, line in ipairs(text.columns(rows)) do context.err:line(line) end
  if #found > SHOWN then context.err:line(("  and %d more"):format(#found - SHOWN)) end
  context.err:line(("%s would be retried"):format(text.count(#found, "run")))
end

local function dry_run(context, arguments, engine, found)
  if not arguments.json then
    say_found(context, found)
    context.err:line "nothing was run"
    return status.finished
  end
  for _, entry in ipairs(found) do
    context.out:line(shape.line(forking.shape(engine.store, fork.retry(engine, entry.id, { latest = arguments.latest }))))
  end
  return status.finished
end

-- Many effects may be repeated, so a person says yes, at a terminal or by --yes.
local function confirm(context, arguments, found)
  if arguments.yes then return true end
  if not client.stdin().is_terminal then
    failure.raise("invalid", "%s would be retried; add --yes, or look first with --dry-run", text.count(#found, "run"))
  end
  say_found(context, found)
  context.err:write(("retry %s? [y/N] "):format(#found == 1 and "it" or "them"))
  context.err:flush()
  local answer = client.stdin():read "l"
  return answer ~= nil and answer:lower():match "^%s*y" ~= nil
end

local function end_status(run)
  if run.interrupted == "stopped" then return status.interrupted end
  if run.error and rawget(run.error, "mismatch") then return status.of_error(run.error) end
  return status.of_run(run.status)
end

local function refused(context, arguments, run_id, err)
  err.run = err.run or run_id
  if arguments.json then
    context.out:line(shape.line(shape.refusal(err)))
  else
    context.err:line(context.err:paint("red", ("run %s: "):format(run_id)) .. text.safe(err.message))
  end
  return status.of_error(err)
end

local function retry_one(context, arguments, engine, run_id)
  local ok, run = pcall(function()
    local id = fork.retry(engine, run_id, { latest = arguments.latest }):make()
    if not arguments.quiet then context.err:line(("retrying %s as %s"):format(run_id, id)) end
    local run = engine:reopen(id)
    if client.host() then return require("weir.cli.attached").await(run) end
    return run:execute()
  end)
  if not ok then
    native.recover()
    return refused(context, arguments, run_id, failure.of(run))
  end
  run_command.report(context, run, arguments)
  return end_status(run)
end

local function side_by_side(context, arguments, engine, found, state)
  local highest, position = status.finished, 0
  local ok, err = task.within({}, function()
    for _ = 1, math.min(AT_ONCE, #found) do
      task.spawn(function()
        while position < #found and not engine.is_stopping and not state.is_left do
          position = position + 1
          highest = math.max(highest, retry_one(context, arguments, engine, found[position].id))
        end
      end)
    end
  end)
  if not ok then error(err, 0) end
  return highest
end

--- Retries every run that fits `--where`. Waits.
---@param context weir.cli.Context
---@param arguments table of `weir retry`
---@param engine weir.Engine
---@return integer status the highest of the runs'
function M.run(context, arguments, engine)
  local found = selection.runs(engine.store, query_of(arguments.where))
  if #found == 0 then
    if not arguments.json then context.err:line "no run fits" end
    return status.finished
  end
  if arguments.dry_run then return dry_run(context, arguments, engine, found) end
  if not confirm(context, arguments, found) then
    context.err:line "nothing was run"
    return status.finished
  end
  local state = {}
  local watch = interrupt.watch(context.err, function(name)
    state.is_left = true
    if client.host() then return end -- those that were begun go on there
    context.err:line(("%s: stopping; the runs go on when they are resumed"):format(name:upper()))
    engine:stop("stopped by " .. name:upper())
  end)
  local ok, result = pcall(side_by_side, context, arguments, engine, found, state)
  watch:close()
  if not ok then error(result, 0) end
  return watch.came and status.interrupted or result
end

return M

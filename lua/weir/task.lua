--- Tasks and scopes: what waits, what runs side by side, and what ends together.
--- A task cannot outlive the scope it was spawned in; cancelling a scope cancels its tree.

local native = require "weir.native.scheduler"

local M = {
  now = native.now,
  sleep = native.sleep,
  yield = native.yield,
  current = native.current,
  tasks = native.tasks,
  waiter = native.waiter,
  get_local = native.get_local,
  set_local = native.set_local,
  is_virtual = native.is_virtual,
}

local GRACE = 5 -- seconds for what was deferred

-- What an agent spawns outside of every scope of its own belongs to the attempt that runs, and ends with it.
-- A run is not parked while it goes on.
local function enter_attempt(body)
  local frame = native.context()
  if not frame then return body end
  if not frame.attempt_scope then
    local _, scopes = native.deferred()
    if frame.scopes == scopes then frame.attempt_scope = native.open_scope() end
  end
  local run = frame.run
  return run and run.counted and run:counted(body) or body
end

--- Starts a task in the scope that is open.
---@param body fun(...): any
---@return weir.Task
function M.spawn(body, ...)
  return native.spawn(enter_attempt(body), ...)
end

--- The same with a name, a lane, and a key: tasks of one key, and those that they start, share what the tasks of
--- another key have alone. Without a key that of the task that calls.
---@param options { name: string?, lane: integer?, scope: any, key: string? }
---@param body fun(...): any
---@return weir.Task
function M.start(options, body, ...)
  if not options.scope then body = enter_attempt(body) end
  return native.start(options, body, ...)
end

--- Runs what was deferred since `mark`, last first; a cancellation does not cut it short, its own
--- deadline (5 s) does. Waits.
---@param mark integer as given by `weir.native.scheduler.deferred()`
function M.unwind(mark)
  if native.deferred() <= mark then return end
  local shield = native.open_scope { shield = true, timeout = GRACE }
  for deferred in native.undefer, mark do pcall(deferred) end
  shield:join()
  shield:close()
end

local function explain(err)
  if type(err) ~= "string" then return err end
  return { code = "failed", message = err, traceback = debug.traceback(err, 2) }
end

local function finish(scope, mark, ok, ...)
  if ok and native.deferred() <= mark and scope:end_quietly() then return true, ... end
  local code, reason = scope:why()
  if not ok then
    native.recover()
    scope:cancel "the body of the scope has failed"
  end
  M.unwind(mark)
  scope:join()
  if ok then code, reason = scope:why() end
  local failure = scope:error()
  scope:close()
  if failure ~= nil then return false, failure end
  if code then return false, { code = code, message = reason } end
  return ok, ...
end

--- Runs a function in a scope of its own and waits until every task that it spawned has ended.
--- Whatever it deferred has run when this returns.
---@param options { timeout: number?, shield: boolean? } seconds; a shield keeps cancellations out
---@param body fun(scope, ...): any
---@return boolean ok
---@return any ... its results, or the error: {code, message}, code `timeout` when the deadline passed
function M.within(options, body, ...)
  local mark = native.deferred()
  local scope = native.open_scope(options)
  return finish(scope, mark, xpcall(body, explain, scope, ...))
end

--- Starts a task outside of every scope that works as long as its owner does, in a scope of its own. What ends it, but for a
--- cancellation, is reported, since nobody waits for it. Does not wait.
---@param body fun(scope, ...)
---@return weir.Task
function M.serve(body, ...)
  return native.spawn_root(function(...)
    local ok, err = M.within({}, body, ...)
    if not ok and not native.cancelled() then error(err, 0) end
  end, ...)
end

return M

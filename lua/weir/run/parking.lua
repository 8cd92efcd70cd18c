--- Waits that may take long, and when a run that only waits is parked: its coroutines are dropped, its
--- record stays, and what it waits for wakes it.
---
--- `run.busy` counts the tasks of the run that do something. A task that waits durably does not count, nor
--- does one that waits for others of its run: whoever spawns counts what it spawned and steps aside
--- (`aside`), and the one that ends its wait hands its own count over (`hand_over`). At nought, with a
--- durable wait, there is nothing left to do but wait.

local clock = require "weir.port.clock"
local duration = require "weir.duration"
local native = require "weir.native.scheduler"
local proof = require "weir.proof"

local M = {}

local LONGEST = 3600 -- seconds; the wall clock is asked again, since it may be set

-- What only time ends. What people or other runs end needs the store, which a waiting process may hold.
local BY_TIME = { sleep = true, retry = true, deadline = true }

--- When the soonest of the run's waits and time limits is due, ms since 1970; nil when none is. What is due later than
--- keys can tell is looked at before: the key would stand among those that are due.
---@param run weir.Run
---@return integer|nil ms
---@return boolean only_time  whether time alone ends all of its waits
function M.due(run)
  local due, only_time = nil, true
  for _, wait in pairs(run.waits) do
    only_time = only_time and BY_TIME[wait.kind] == true
    if wait.due_ms and (not due or wait.due_ms < due) then due = wait.due_ms end
  end
  for _, limit in pairs(run.limits_ms) do
    if not due or limit < due then due = limit end
  end
  return due and duration.tellable(due), only_time
end

-- Seconds from now until the run may be parked; nil: what it waits for is near, or due already.
local function patience(run)
  local engine = run.engine
  local due, only_time = M.due(run)
  if due and due - clock.wall_ms() <= (only_time and (run.near or engine.near) * 1000 or 0) then return nil end
  return run.patience or engine.patience
end

--- Says until when something of the run may last, also while it is parked; nil: it has ended.
---@param run weir.Run
---@param name string
---@param due_ms integer|nil since 1970
function M.limit(run, name, due_ms)
  if not rawget(run, "limits_ms") then run.limits_ms = {} end
  run.limits_ms[name] = due_ms
end

local function park(run)
  run.interrupted = "parked"
  run.scope:cancel "the run is parked"
end

local function stay(run)
  local watch = run.idle_watch
  if not watch then return end
  run.idle_watch = nil
  watch:cancel "the run goes on"
end

local function idle(run)
  if not run.scope or run.interrupted or run.cancel_reason or next(run.waits) == nil or not run.journal then return end
  local seconds = patience(run)
  if not seconds or run.idle_watch then return end
  if seconds == 0 then return park(run) end
  run.idle_watch = native.spawn_root(function()
    native.sleep(seconds)
    run.idle_watch = nil
    if run.busy == 0 and run.scope and not run.interrupted and not run.cancel_reason then park(run) end
  end)
end

--- A task of the run waits for others of its run, which are `more` new ones.
function M.aside(run, more)
  run.busy = run.busy + more - 1
  if run.busy == 0 then idle(run) end
end

--- A task of the run has ended, and nobody goes on because of it.
function M.left(run)
  run.busy = run.busy - 1
  if run.busy == 0 then idle(run) end
end

--- A task of the run goes on that had stepped aside, and no one has handed over to it.
function M.back(run)
  run.busy = run.busy + 1
  stay(run)
end

-- What is left until a moment, in seconds: of the wall clock, which may be set. Before another attempt it is a time that has to
-- pass: while a run waits for it, that does not become longer.
local function left_until(due_ms, kind)
  local ends = kind == "retry" and clock.now() + (due_ms - clock.wall_ms()) / 1000 or math.huge
  return function() return math.min((due_ms - clock.wall_ms()) / 1000, ends - clock.now()) end
end

-- In pieces, because a moment of the wall clock is meant.
local function until_due(waiter, wait)
  local left_of = wait.due_ms and left_until(wait.due_ms, wait.kind) or function() return LONGEST end
  while true do
    local left = left_of()
    if left <= 0 then return false end
    local woken, _, code = waiter:wait(wait.kind, math.min(left, LONGEST))
    if code ~= "timeout" then return woken end
  end
end

--- Waits durably. Waits; raises when the step is cancelled or the run is parked.
---@param run weir.Run
---@param key string of the step
---@param wait { kind: string, id: string?, name: string?, since_ms: integer?, due_ms: integer? }
---@return boolean woken false: its time has come
function M.wait(run, key, wait)
  local waiter = native.waiter()
  wait.key, wait.waiter, wait.since_ms = key, waiter, wait.since_ms or clock.wall_ms()
  if not rawget(run, "waits") then run.waits = {} end
  run.waits[key] = wait
  if run.listener then
    run:notify { kind = "waiting", step = key, wait = wait.kind, id = wait.id, name = wait.name, until_ms = wait.due_ms }
  end
  M.aside(run, 0)
  local ok, woken = pcall(until_due, waiter, wait)
  if not run.interrupted then run.waits[key] = nil end -- else it is what the run is parked on
  if not wait.is_woken then M.back(run) end
  if ok then return woken end
  if not run.interrupted then proof.stopped(wait.kind) end
  error(woken, 0)
end

--- Ends a durable wait, if the run waits under this key.
---@param run weir.Run
---@param key string
---@return boolean
function M.wake(run, key)
  local wait = run.waits[key]
  if not wait or wait.is_woken or run.interrupted then return false end
  wait.is_woken = true
  M.back(run)
  wait.waiter:wake(true)
  return true
end

--- Lets time pass until a moment. Waits.
---@param run weir.Run
---@param key string
---@param kind "sleep"|"retry"
---@param due_ms integer since 1970
function M.sleep_until(run, key, kind, due_ms)
  if not run.journal then
    local left_of = left_until(due_ms, kind)
    local left = left_of()
    while left > 0 do
      clock.sleep(math.min(left, LONGEST))
      left = left_of()
    end
    return
  end
  if due_ms > clock.wall_ms() then M.wait(run, key, { kind = kind, due_ms = due_ms }) end
end

--- Ends what watches an idle run. Waits for it.
function M.close(run)
  local watch = run.idle_watch
  if not watch then return end
  stay(run)
  watch:join()
end

return M

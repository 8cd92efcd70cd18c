--- The attempts of a step: one; one within its timeouts, with the streams that it reads; as many as its policy and the
--- supervisors allow; all of them under its critics, within its deadline and its budget. What an attempt does is the affair
--- of the step's kind, what becomes of the last one that of weir.run.step.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local misfit = require "weir.run.misfit"
local outcome = require "weir.run.outcome"
local parking = require "weir.run.parking"
local proof = require "weir.proof"
local retry = require "weir.run.retry"
local task = require "weir.task"

local M = {}

local wall_ms, locate = clock.wall_ms, outcome.locate

-- What an attempt spawned and left behind ends with it; what failed among it is the attempt's failure.
local function end_attempt_scope(frame)
  local scope = frame.attempt_scope
  frame.attempt_scope = nil
  local err = scope:error()
  scope:cancel "the attempt has ended"
  scope:join()
  scope:close()
  return err
end

--- One attempt, with nothing around it. Waits as the kind does.
---@param frame table
---@param step table of the plan
---@param key string
---@param input any
---@param attempt integer from 1
---@param feedback any of critics, about the draft before
---@return boolean ok
---@return any value its output, or its error
---@return string|nil label
function M.once(frame, step, key, input, attempt, feedback)
  local mark, scopes = native.attempt()
  frame.scopes, frame.staged = scopes, nil -- nothing is kept of what an earlier attempt wrote
  local ok, output, label = xpcall(step.kind.execute, failure.explain, frame, step, key, input, attempt, feedback)
  frame.scopes = nil
  if not ok then native.recover() end
  if native.deferred() > mark then task.unwind(mark) end
  if frame.attempt_scope then
    local err = end_attempt_scope(frame)
    if err ~= nil then ok, output = false, err end
  end
  if not ok then return false, locate(misfit.of(frame, step, input, output), key) end
  if step.label then
    frame.data[step.name] = output
    label = step.label(frame.data)
  end
  return true, output, label
end

-- Cancels the attempt when its stream stands still for too long.
local function watch_idle(frame, step, scope)
  local own = frame.streams and frame.streams[step.name]
  local latest = clock.now()
  if own then own.on_item = function() latest = clock.now() end end
  return native.spawn(function()
    while true do
      local left = latest + step.idle_timeout - clock.now()
      if left <= 0 then return scope:cancel(("no item came for %g s"):format(step.idle_timeout), "timeout") end
      clock.sleep(left)
    end
  end)
end

-- Cancels the attempt when nothing is heard of it for too long: it neither logs, nor measures, nor gives items, nor asks anybody.
local function watch_life(frame, key, scope)
  local run, seconds = frame.run, frame.run.stuck_s
  run.heard = run.heard or {}
  run.heard[key] = clock.now()
  local watch = native.spawn(function()
    while true do
      local left = run.heard[key] + seconds - clock.now()
      if left <= 0 then return scope:cancel(("no sign of life for %g s"):format(seconds), "timeout") end
      clock.sleep(left)
    end
  end)
  return function()
    watch:cancel "the attempt has ended"
    run.heard[key] = nil
  end
end

local function timed_out(err, step, key)
  if err.code ~= "timeout" then return err end
  local is_stuck = err.message:find "^no sign of life"
  local is_own = is_stuck or err.message:find "^no item came"
  local why = is_own and err.message or ("it took longer than its timeout of %g s"):format(step.timeout or 0)
  local found = failure.new("timeout", "step '%s': %s", key, why)
  found.step, found.class = key, is_stuck and "stuck" or nil
  return found
end

-- A limit that holds also while the run is parked.
local function hold_limit(run, name, due_ms, body, ...)
  parking.limit(run, name, due_ms)
  local results = table.pack(body(...))
  if not run.interrupted then parking.limit(run, name, nil) end -- else it is to wake the run
  return table.unpack(results, 1, results.n)
end

local function closing(body) return setmetatable({}, { __close = body }) end

local function within_timeout(frame, step, key, input, attempt, feedback, seconds)
  return task.within({ timeout = seconds }, function(scope)
    local watch = step.idle_timeout and watch_idle(frame, step, scope)
    local heard <close> = frame.run.stuck_s and not step.kind.has_steps and closing(watch_life(frame, key, scope)) or nil -- luacheck: ignore
    local passed, output, label = M.once(frame, step, key, input, attempt, feedback)
    if watch then watch:cancel "the attempt has ended" end
    return passed, output, label
  end)
end

-- One attempt within its timeout. The code `timeout` is the attempt's own only if nobody outside cancelled.
-- What has steps of its own goes on with an attempt of an earlier life, and with what is left of its time.
local function timed(frame, step, key, input, attempt, feedback, from_ms)
  local is_watched = frame.run.stuck_s and not step.kind.has_steps
  if step.kind.is_durable or not (step.timeout or step.idle_timeout or is_watched) then
    return M.once(frame, step, key, input, attempt, feedback)
  end
  local ok, passed, output, label
  if step.timeout and step.kind.has_steps then
    local due_ms = from_ms + math.ceil(step.timeout * 1000)
    ok, passed, output, label = hold_limit(frame.run, key .. "/timeout", due_ms, within_timeout, frame, step, key, input, attempt,
      feedback, math.max(0, (due_ms - wall_ms()) / 1000))
  else
    ok, passed, output, label = within_timeout(frame, step, key, input, attempt, feedback, step.timeout)
  end
  if ok then return passed, output, label end
  return false, timed_out(locate(passed, key), step, key)
end

-- What a supervisor decided about a step that is not tried again, or of a run that keeps nothing.
local function keep_incident(run, operations)
  if #operations > 0 then require("weir.healing.incident").commit(run.engine.store, operations) end
end

-- Remedies that another attempt does not follow at once, or not at all.
local NO_ATTEMPT = { quarantine = true, escalate = true }

local function keep_attempt(frame, key, asked, entry)
  local journal = frame.run.journal
  if journal then
    local err = outcome.recorded_error(entry.error)
    err.stopped, err.usage, err.remedy = proof.take(frame), frame.run:take_usage(key), entry.remedy
    journal:append_with(entry.operations or {}, { "attempt", key, entry.attempt, entry.from_ms, entry.to_ms, err, entry.delay,
      frame.run.memories and frame.run.memories[key] }, true)
    journal:forget_inner(key)
  elseif entry.operations then
    keep_incident(frame.run, entry.operations)
  end
  if entry.written then entry.written() end
  if entry.remedy and NO_ATTEMPT[entry.remedy.name] then return end
  frame.run:notify { kind = "retry", step = key, attempt = entry.attempt, error = entry.error, delay = entry.delay, asked = asked,
    remedy = entry.remedy and entry.remedy.name }
end

-- A step of a run with supervisors, as a definition has it: what a step asks on its way is that step's affair, what waits
-- for people or time does not fail by itself, and a failure that supervisors have given up on is not brought to them again.
local function supervised(frame, step, key, input)
  local run = frame.run
  if not run.is_supervised or not step.is_defined or step.kind.is_durable or run.is_undoing or run.rehearsal then return nil end
  return require("weir.healing.supervision").of_step(frame, step, key, input)
end

local NOT_HEALED = { cancelled = true, conflict = true, rejected = true } -- what a person has refused is no failure

local function decide(healing, frame, step, err, attempt)
  if NOT_HEALED[err.code] then return nil end
  if err.healing and not (step.pipeline and frame.run:pipeline_of(step.pipeline).supervise) then return nil end
  local remedy, operations, written = healing:decide(err, attempt)
  if remedy then return remedy, operations, written end
  keep_incident(frame.run, operations)
  written()
end

-- A step that reads streams is begun anew when what it has read is taken back; that is no attempt of its own.
local function heard(frame, step, key, input, attempt, feedback, from_ms)
  local sources = step.from and frame.sources and frame.sources[step.name]
  if not sources then return timed(frame, step, key, input, attempt, feedback, from_ms) end
  local journal = frame.run.journal
  if attempt > 1 or feedback then sources:restart() end
  frame.is_anew = false
  local ok, passed, output, label = sources:read(function()
    return timed(frame, step, key, input, attempt, feedback, from_ms)
  end, task.within, function()
    frame.is_anew = key
    if journal then journal:forget_inner(key) end
  end)
  if ok then return passed, output, label end
  return false, locate(passed, key)
end

-- Attempts until one succeeds or the policy has had enough. Attempts of earlier lives count, and the delay
-- behind them is kept. The first begins with the step, or when the draft before was refused.
local function retried(frame, step, key, input, asked, feedback, refused_ms, healing)
  local run = frame.run
  local journal = run.journal
  local failed = journal and journal:take_attempts(key)
  local attempt, from_ms = 1, refused_ms or frame.began_ms or wall_ms()
  if failed then
    attempt, from_ms = failed.attempt + 1, failed.again_ms
    parking.sleep_until(run, key, "retry", from_ms)
    local err = healing and healing:resume(failed)
    if err then return false, locate(err, key), nil, attempt - 1 end
  end
  while true do
    frame.attempt_ms = from_ms
    local ok, output, label = heard(frame, step, key, input, attempt, feedback, from_ms)
    if ok then
      if healing then healing:succeeded() end
      return true, output, label, attempt
    end
    if native.cancelled() or output.mismatch then return false, output, nil, attempt end
    local delay, remedy, operations, written
    if retry.again(step.retry, attempt, output.code) then
      delay = retry.delay(step.retry, attempt)
    else
      if healing then remedy, operations, written = decide(healing, frame, step, output, attempt) end
      if not remedy then return false, output, nil, attempt end
      delay = remedy.args.delay or 0
    end
    local to_ms = clock.wall_ms()
    if frame.on_attempt_failed then frame.on_attempt_failed(output) end
    keep_attempt(frame, key, asked, { attempt = attempt, from_ms = from_ms, to_ms = to_ms, error = output, delay = delay,
      remedy = remedy, operations = operations, written = written })
    from_ms = to_ms + math.ceil(delay * 1000)
    parking.sleep_until(run, key, "retry", from_ms)
    local err = remedy and healing:carry_out(remedy, output)
    if err then return false, locate(err, key), nil, attempt end
    attempt = attempt + 1
  end
end

-- The same under supervision; what remedies have changed ends with the step.
local function healed(frame, step, key, input, asked, feedback, refused_ms)
  local healing = supervised(frame, step, key, input)
  if not healing then return retried(frame, step, key, input, asked, feedback, refused_ms) end
  local closing_it <close> = closing(function() healing:close() end) -- luacheck: ignore 211
  return retried(frame, step, key, input, asked, feedback, refused_ms, healing)
end

-- All drafts of a step with critics, or its only one.
local function drafts(frame, step, key, input, asked)
  if not step.critic then return healed(frame, step, key, input, asked) end
  return require("weir.flow.critic").review(frame, step, key, input, function(feedback, refused_ms)
    return healed(frame, step, key, input, asked, feedback, refused_ms)
  end)
end

local function within_deadline(frame, step, key, input, asked, seconds)
  return task.within({ timeout = seconds }, function() return drafts(frame, step, key, input, asked) end)
end

-- The deadline counts from when the step was begun first, in whichever life.
local function bounded(frame, step, key, input, asked)
  if not step.deadline then return drafts(frame, step, key, input, asked) end
  local due_ms = (frame.began_ms or wall_ms()) + math.ceil(step.deadline * 1000)
  local ok, passed, output, label, attempt, verdict = hold_limit(frame.run, key .. "/deadline", due_ms, within_deadline, frame, step,
    key, input, asked, math.max(0, (due_ms - wall_ms()) / 1000))
  if ok then return passed, output, label, attempt, verdict end
  local err = locate(passed, key)
  if err.code == "timeout" then
    err = failure.new("timeout", "step '%s' did not finish within its deadline of %g s", key, step.deadline)
    err.step = key
  end
  return false, err
end

local function over_budget(budget, usage)
  for _, name in ipairs { "tokens", "usd" } do
    if budget[name] and (usage[name] or 0) > budget[name] then return name end
  end
end

--- All attempts of a step, until one of them is its outcome. Waits. A step may have a budget of its own, for all of its
--- attempts and drafts and all inside of it; what crosses it is the last.
---@param frame table
---@param step table of the plan
---@param key string
---@param input any
---@param asked integer|nil hash of what is asked, for the journal
---@return boolean ok
---@return any value its output, or its error
---@return string|nil label
---@return integer|nil attempt the last one
---@return table|nil verdict of its critics
function M.run(frame, step, key, input, asked)
  local budget, run, scope = step.budget, frame.run, nil
  if not budget then return bounded(frame, step, key, input, asked) end
  local function refusal(name)
    return failure.new("limit", "step '%s' has used its budget of %g %s", key, budget[name], name)
  end
  local meter = run:meter(key, function(usage)
    local name = scope and over_budget(budget, usage)
    if name then scope:cancel(refusal(name).message, "limit") end
  end)
  local results = table.pack(task.within({}, function(own)
    local name = over_budget(budget, meter.usage)
    if name then error(refusal(name), 0) end
    scope = own
    return bounded(frame, step, key, input, asked)
  end))
  run:unmeter(meter)
  if results[1] then return table.unpack(results, 2, results.n) end
  return false, locate(results[2], key)
end

return M

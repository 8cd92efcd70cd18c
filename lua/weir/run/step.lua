--- One step of a run: is it due, has it been done before, its attempts, its deadline, its critic, its
--- outcome in the journal. What a step does (an agent, a map, a child run) is its kind's affair.

local clock = require "weir.port.clock"
local critic = require "weir.flow.critic"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local retry = require "weir.run.retry"
local task = require "weir.task"

local M = {}

local wall_ms = clock.wall_ms

-- An error that says where it happened.
local function locate(err, key)
  local found = failure.of(err)
  if not found.step then found.step = key end
  return found
end

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

local function once(frame, step, key, input, attempt, feedback)
  local mark, scopes = native.attempt()
  frame.scopes = scopes
  local ok, output, label = xpcall(step.kind.execute, failure.explain, frame, step, key, input, attempt, feedback)
  frame.scopes = nil
  if not ok then native.recover() end
  if native.deferred() > mark then task.unwind(mark) end
  if frame.attempt_scope then
    local err = end_attempt_scope(frame)
    if err ~= nil then ok, output = false, err end
  end
  if ok then return true, output, label end
  return false, locate(output, key)
end

-- Cancels the attempt when its stream stands still for too long.
local function watch_idle(frame, step, scope)
  local own = frame.streams and frame.streams[step.name]
  local latest = clock.now()
  if own then own.on_item = function() latest = clock.now() end end
  return task.spawn(function()
    while true do
      local left = latest + step.idle_timeout - clock.now()
      if left <= 0 then return scope:cancel(("no item came for %g s"):format(step.idle_timeout), "timeout") end
      clock.sleep(left)
    end
  end)
end

local function timed_out(err, step, key)
  if err.code ~= "timeout" then return err end
  local why = err.message:find "^no item came" and err.message or ("it took longer than its timeout of %g s"):format(step.timeout or 0)
  local found = failure.new("timeout", "step '%s': %s", key, why)
  found.step = key
  return found
end

-- One attempt within its timeout. The code `timeout` is the attempt's own only if nobody outside cancelled.
local function timed(frame, step, key, input, attempt, feedback)
  if not (step.timeout or step.idle_timeout) then return once(frame, step, key, input, attempt, feedback) end
  local ok, passed, output, label = task.within({ timeout = step.timeout }, function(scope)
    local watch = step.idle_timeout and watch_idle(frame, step, scope)
    local passed, output, label = once(frame, step, key, input, attempt, feedback)
    if watch then watch:cancel "the attempt has ended" end
    return passed, output, label
  end)
  if ok then return passed, output, label end
  return false, timed_out(locate(passed, key), step, key)
end

local function recorded_error(err)
  return { code = err.code, message = err.message, step = err.step, traceback = err.traceback }
end

local function keep_attempt(frame, key, asked, entry)
  local journal = frame.run.journal
  if journal then
    journal:append { "attempt", key, entry.attempt, entry.from_ms, entry.to_ms, recorded_error(entry.error), entry.delay,
      frame.run.memories and frame.run.memories[key] }
  end
  frame.run:notify { kind = "retry", step = key, attempt = entry.attempt, error = entry.error, delay = entry.delay, asked = asked }
end

-- Attempts until one succeeds or the policy has had enough. Attempts of before a crash count.
local function attempts(frame, step, key, input, asked, feedback)
  local journal = frame.run.journal
  local failed = journal and journal.attempts[key] or {}
  local attempt = #failed + 1
  while true do
    local from_ms = clock.wall_ms()
    local ok, output, label = timed(frame, step, key, input, attempt, feedback)
    if ok then return true, output, label, attempt end
    if native.cancelled() or not retry.again(step.retry, attempt, output.code) then return false, output, nil, attempt end
    local delay = retry.delay(step.retry, attempt)
    keep_attempt(frame, key, asked, { attempt = attempt, from_ms = from_ms, to_ms = clock.wall_ms(), error = output, delay = delay })
    clock.sleep(delay)
    attempt = attempt + 1
  end
end

-- All drafts of a step with critics, or its only one.
local function drafts(frame, step, key, input, asked)
  if not step.critic then return attempts(frame, step, key, input, asked) end
  return critic.review(frame, step, key, input, function(feedback)
    return attempts(frame, step, key, input, asked, feedback)
  end)
end

local function bounded(frame, step, key, input, asked)
  if not step.deadline then return drafts(frame, step, key, input, asked) end
  local ok, passed, output, label, attempt, verdict = task.within({ timeout = step.deadline }, function()
    return drafts(frame, step, key, input, asked)
  end)
  if ok then return passed, output, label, attempt, verdict end
  local err = locate(passed, key)
  if err.code == "timeout" then
    err = failure.new("timeout", "step '%s' did not finish within its deadline of %g s", key, step.deadline)
    err.step = key
  end
  return false, err
end

local function skipped(frame, step, key)
  local run = frame.run
  if run.journal and not run.journal.recorded[key] then
    local now = clock.wall_ms()
    run.journal:note { "step", key, 0, "skipped", now, now, 0 }
  end
  if run.listener then run:notify { kind = "step", step = key, name = step.name, status = "skipped" } end
  return "skipped"
end

local function outcome_of(record)
  local status, value, extra = record[4], record[8], record[9]
  if status ~= "finished" then
    local err = failure.of(value)
    err.step = value and value.step
    return status, err
  end
  return status, value, extra and extra.label
end

local function extra_of(label, verdict)
  if label == nil and verdict == nil then return nil end
  return { label = label, verdict = verdict }
end

local function conclude(ok, output)
  if ok then return "finished" end
  if native.cancelled() then return "cancelled" end
  if output.code == "conflict" then error(output, 0) end
  return "failed"
end

-- A step that may be started only once says so on disk first. Found begun and without an outcome, it is
-- not begun again: only a person can know what happened.
local function begin(journal, step, key, asked, from_ms)
  if not step.once then return journal:begin(key, asked, 1, from_ms) end
  if journal.starts[key] then
    failure.raise("conflict", "step '%s' may be started only once and was begun before the host ended: its outcome is in doubt", key)
  end
  journal:append { "start", key, asked, 1, from_ms }
end

-- With a journal: what happened before is not done again, what happens now is kept before it is used.
local function journaled(frame, step, key, input)
  local run, journal = frame.run, frame.run.journal
  local asked = journal:ask(step.kind.name, step.module, input)
  local record = journal:recall(key, asked)
  if record and record[4] ~= "cancelled" then
    frame.at_ms = record[6]
    return outcome_of(record)
  end
  if run.plan.budget then run:spend_step() end
  local from_ms = wall_ms()
  local token = begin(journal, step, key, asked, from_ms)
  if run.listener then run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from_ms } end
  local ok, output, label, attempt, verdict
  if step.is_simple then
    ok, output, label = once(frame, step, key, input, 1)
  else
    ok, output, label, attempt, verdict = bounded(frame, step, key, input, asked)
  end
  local status = conclude(ok, output)
  local to_ms = wall_ms()
  frame.at_ms = to_ms
  if status == "cancelled" then
    journal:note { "step", key, asked, status, from_ms, to_ms, attempt or 1, recorded_error(output) }
  elseif status == "finished" then
    local refusal = journal:finish(token, key, asked, status, from_ms, to_ms, attempt or 1, output, extra_of(label, verdict))
    if refusal then
      ok, status, output = false, "failed", locate(refusal, key)
    end
  end
  if status == "failed" then
    journal:finish(token, key, asked, status, from_ms, to_ms, attempt or 1, recorded_error(output), extra_of(nil, verdict))
  end
  if run.listener then
    run:notify { kind = "step", step = key, name = step.name, status = status, at_ms = to_ms, seconds = (to_ms - from_ms) / 1000,
      error = not ok and output or nil, attempt = attempt }
  end
  return status, output, label
end

local function plain(frame, step, key, input)
  local run = frame.run
  if run.plan.budget then run:spend_step() end
  local listener, from = run.listener, nil
  if listener then
    from = clock.wall_ms()
    run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from }
  end
  local ok, output, label, attempt
  if step.is_simple then
    ok, output, label = once(frame, step, key, input, 1)
  else
    ok, output, label, attempt = bounded(frame, step, key, input)
  end
  local status = ok and "finished" or conclude(ok, output)
  if listener then
    run:notify { kind = "step", step = key, name = step.name, status = status, at_ms = clock.wall_ms(),
      seconds = (clock.wall_ms() - from) / 1000, error = not ok and output or nil, attempt = attempt }
  end
  return status, output, label
end

local function refuse_input(frame, step, key, message, code)
  local err = failure.new(code or "invalid", "step '%s': %s", key, message)
  err.step = key
  local run = frame.run
  if run.listener then run:notify { kind = "step", step = key, name = step.name, status = "failed", error = err } end
  return "failed", err
end

--- Runs a step to its outcome. Waits. Raises only what stops the whole run: `conflict`.
---@param frame table {run, data, prefix, visit}
---@param step table of the plan
---@param key string
---@return "finished"|"failed"|"skipped"|"cancelled" status
---@return any value  its output, or the error {code, message, step}
---@return string|nil label the branch label it emitted
function M.run(frame, step, key)
  if step.when and not step.when(frame.data) then return skipped(frame, step, key) end
  local input, message, code = step.input(frame.data)
  if input == nil and message then return refuse_input(frame, step, key, message, code) end
  if frame.run.journal then return journaled(frame, step, key, input) end
  return plain(frame, step, key, input)
end

return M

--- One step of a run: is it due, has it been done before, its attempts, its deadline, its critic, its
--- outcome in the journal. What a step does (an agent, a map, a child run) is its kind's affair.

local allowance = require "weir.run.allowance"
local approval = require "weir.run.kinds.approval"
local clock = require "weir.port.clock"
local critic = require "weir.flow.critic"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local doubt = require "weir.run.doubt"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local proof = require "weir.proof"
local retry = require "weir.run.retry"
local task = require "weir.task"
local upgrade = require "weir.run.upgrade"

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
  frame.scopes, frame.staged = scopes, nil -- nothing is kept of what an earlier attempt wrote
  local ok, output, label = xpcall(step.kind.execute, failure.explain, frame, step, key, input, attempt, feedback)
  frame.scopes = nil
  if not ok then native.recover() end
  if native.deferred() > mark then task.unwind(mark) end
  if frame.attempt_scope then
    local err = end_attempt_scope(frame)
    if err ~= nil then ok, output = false, err end
  end
  if not ok then return false, locate(output, key) end
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
    local passed, output, label = once(frame, step, key, input, attempt, feedback)
    if watch then watch:cancel "the attempt has ended" end
    return passed, output, label
  end)
end

-- One attempt within its timeout. The code `timeout` is the attempt's own only if nobody outside cancelled.
-- What has steps of its own goes on with an attempt of an earlier life, and with what is left of its time.
local function timed(frame, step, key, input, attempt, feedback, from_ms)
  local is_watched = frame.run.stuck_s and not step.kind.has_steps
  if step.kind.is_durable or not (step.timeout or step.idle_timeout or is_watched) then
    return once(frame, step, key, input, attempt, feedback)
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

local function recorded_error(err)
  return { code = err.code, message = err.message, step = err.step, traceback = err.traceback, class = err.class,
    healing = err.healing }
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
    local err = recorded_error(entry.error)
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
local function attempts(frame, step, key, input, asked, feedback, refused_ms, healing)
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
  if not healing then return attempts(frame, step, key, input, asked, feedback, refused_ms) end
  local closing_it <close> = closing(function() healing:close() end) -- luacheck: ignore 211
  return attempts(frame, step, key, input, asked, feedback, refused_ms, healing)
end

-- All drafts of a step with critics, or its only one.
local function drafts(frame, step, key, input, asked)
  if not step.critic then return healed(frame, step, key, input, asked) end
  return critic.review(frame, step, key, input, function(feedback, refused_ms)
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

-- A step has a budget of its own, for all of its attempts and drafts and all inside of it. What crosses it is the last.
local function budgeted(frame, step, key, input, asked)
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
  if status == "skipped" then return status end
  if status ~= "finished" then
    local err = failure.of(value)
    err.step = value and value.step
    return status, err
  end
  return status, value, extra and extra.label
end

-- What is to be done if the run fails or is cancelled later: known with the outcome, kept with it.
local function undo_of(frame, step, input, output)
  local undo = step.undo
  if not undo then return nil end
  local given
  if undo.input then
    local message, code
    given, message, code = undo.input(setmetatable({ [step.name] = output }, { __index = frame.data }))
    if given == nil and message then failure.raise(code or "invalid", "undo: %s", message) end
  else
    given = { input = input, output = output }
  end
  return { agent = undo.agent, options = undo.options, input = given }
end

-- Of a step of a plan: what it did, by content, and the step that had done it before.
local function take_content(frame)
  local content, reused = rawget(frame, "content"), rawget(frame, "reused")
  if content then frame.content, frame.reused = nil, nil end
  return content, reused
end

local function extra_of(frame, key, label, verdict, undo, stopped)
  local usage = frame.run.usage_of and frame.run:take_usage(key)
  local model, content, reused = rawget(frame, "asked_model"), nil, nil
  if frame.planned then content, reused = take_content(frame) end
  if label == nil and verdict == nil and undo == nil and usage == nil and stopped == nil and model == nil and content == nil then
    return nil
  end
  return { label = label, verdict = verdict, undo = undo, usage = usage, stopped = stopped, model = model, content = content,
    reused = reused }
end

-- A step that is not needed any more commits nothing: what finished a moment too late was cancelled. When
-- the run itself is cancelled what has finished is kept, so that it can be undone.
local function conclude(frame, ok, output)
  local run = frame.run
  local code, reason = native.cancelled()
  if ok then
    if code and not run.interrupted and not run.cancel_reason then return "cancelled", failure.new(code, reason) end
    return "finished", output
  end
  if output.mismatch then error(output, 0) end
  if not code and output.healing and output.healing.set_aside then return "skipped", output end
  if not code then return "failed", output end
  if run.interrupted then error(output, 0) end
  return "cancelled", output
end

-- A step that may be started only once says so on disk first.
local function begin(journal, step, key, asked, from_ms)
  if not step.once then return journal:begin(key, asked, 1, from_ms, step.kind.is_durable) end
  journal:append { "start", key, asked, 1, from_ms }
end

local COMMITS = 20 -- tries, when what a step writes meets what others have written meanwhile

-- Steps of one run do not meet in conflicts with one another: one commits after the other.
local function one_at_a_time(run, body, ...)
  while run.is_committing do
    local waiter = native.waiter()
    run.commits = run.commits or {}
    table.insert(run.commits, waiter)
    waiter:wait "the commit of another step"
  end
  run.is_committing = true
  local results = table.pack(pcall(body, ...))
  run.is_committing = false
  local commits = run.commits
  run.commits = nil
  for _, waiter in ipairs(commits or {}) do waiter:wake() end
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function keep_written(journal, staged, ...)
  local refusal
  for _ = 1, COMMITS do
    local operations = {}
    for _, source in ipairs(staged) do
      local list = source:operations()
      table.move(list, 1, #list, #operations + 1, operations)
    end
    refusal = journal:finish_with(operations, ...)
    if not refusal or refusal.code ~= "conflict" then break end
  end
  if not refusal then
    for _, source in ipairs(staged) do source:committed() end
  end
  return refusal
end

local DISPUTES = 20 -- that arbiters settle for one step, while others write the same texts

-- The outcome, in one transaction with what the step has written. An arbiter works while others may commit.
local function keep_finished(frame, step, token, key, ...)
  local run, staged = frame.run, rawget(frame, "staged")
  if not staged then return run.journal:finish(token, key, ...) end
  frame.staged = nil
  for round = 1, DISPUTES do
    local ok, refusal = pcall(one_at_a_time, run, keep_written, run.journal, staged, key, ...)
    if ok then return refusal end
    if round == DISPUTES or not documents.settle(frame, step, key, staged, refusal) then error(refusal, 0) end
  end
end

local function keep_cancelled(frame, key, asked, from_ms, to_ms, attempt, err)
  frame.run.journal:note { "step", key, asked, "cancelled", from_ms, to_ms, attempt or 1, recorded_error(err),
    extra_of(frame, key, nil, nil, nil, proof.take(frame)) }
end

-- Nothing but its outcome is to be kept.
local function is_bare(frame, step)
  return not step.undo and not step.post and not rawget(frame, "staged")
end

-- Finished, unless its outcome cannot be kept.
local function finish(frame, step, key, input, token, asked, from_ms, to_ms, attempt, output, label, verdict)
  if is_bare(frame, step) then
    local refusal = frame.run.journal:finish(token, key, asked, "finished", from_ms, to_ms, attempt or 1, output,
      extra_of(frame, key, label, verdict))
    if refusal then return "failed", locate(refusal, key) end
    return "finished", output
  end
  local ok, refusal = pcall(function()
    local undo = undo_of(frame, step, input, output)
    if step.post then documents.post(frame, step, key, output) end
    local refusal = keep_finished(frame, step, token, key, asked, "finished", from_ms, to_ms, attempt or 1, output,
      extra_of(frame, key, label, verdict, undo))
    if undo and not refusal then frame.run:note_undo(key, undo) end
    return refusal
  end)
  if ok and not refusal then return "finished", output end
  if not ok and native.cancelled() then error(refusal, 0) end
  return "failed", locate(refusal, key)
end

-- How a call of a version on trial has ended.
local function note_call(frame, step, key, status)
  require("weir.healing.canary").note(frame.run, step, key, status, frame.held)
end

-- A step that nobody tries again, looks after or feeds while it runs.
local function takes_one_attempt(run, step) return step.is_simple and not run.is_supervised and not step.from end

-- Does the work and keeps what becomes of it.
local function carry_out(frame, step, key, input, asked, token, from_ms)
  local run, journal = frame.run, frame.run.journal
  local ok, output, label, attempt, verdict
  if takes_one_attempt(run, step) then
    ok, output, label = once(frame, step, key, input, 1)
  else
    ok, output, label, attempt, verdict = budgeted(frame, step, key, input, asked)
  end
  frame.verdict = verdict
  local status
  status, output = conclude(frame, ok, output)
  local to_ms = wall_ms()
  if run.canaries then note_call(frame, step, key, status) end
  frame.at_ms = to_ms
  if status == "cancelled" then
    keep_cancelled(frame, key, asked, from_ms, to_ms, attempt, output)
  elseif status == "finished" then
    status, output = finish(frame, step, key, input, token, asked, from_ms, to_ms, attempt, output, label, verdict)
  end
  if status == "failed" or status == "skipped" then
    journal:finish(token, key, asked, status, from_ms, to_ms, attempt or 1, recorded_error(output),
      extra_of(frame, key, nil, verdict, nil, proof.take(frame)))
  end
  if run.listener then
    run:notify { kind = "step", step = key, name = step.name, status = status, at_ms = to_ms, seconds = (to_ms - from_ms) / 1000,
      error = status ~= "finished" and output or nil, attempt = attempt }
  end
  if status == "skipped" then return status end
  return status, output, label
end

-- A step that asks before it runs: what a person lets through, perhaps changed, is its input.
local function let_through(frame, step, key, input)
  local before = { name = step.name, approval = step.asked_before.approval }
  local record = approval.ask(frame, before, key .. "/approval", input)
  approval.result(before, key, record)
  if record.decision == "edit" then return record.answer end
  return input
end

-- What keeps a step from beginning is its outcome.
local function refused(frame, key, asked, from_ms, err)
  local status
  status, err = conclude(frame, false, locate(err, key))
  local to_ms = wall_ms()
  if status == "cancelled" then
    keep_cancelled(frame, key, asked, from_ms, to_ms, 1, err)
  else
    frame.run.journal:finish(nil, key, asked, status, from_ms, to_ms, 1, recorded_error(err),
      extra_of(frame, key, nil, nil, nil, proof.take(frame)))
  end
  return status, err
end

-- With a journal: what happened before is not done again, what happens now is kept before it is used.
local function journaled(frame, step, key, input)
  local run, journal = frame.run, frame.run.journal
  local asked = journal:ask(step.kind.name, step.module, input)
  if run.rehearsal then run.rehearsal:ask(step, key, input) end
  local record, is_again = journal:recall(key, asked, step.kind.has_steps)
  if record and record[4] ~= "cancelled" then
    frame.at_ms = record[6]
    if run.canaries then note_call(frame, step, key, record[4]) end
    return outcome_of(record)
  end
  native.check()
  if run.rehearsal then run.rehearsal:beyond(step, key) end
  if run.counts_steps and not is_again then allowance.spend(frame, key) end
  if run.plan.upgrade and not frame.planned then frame.held = upgrade.held_for(run, key) end
  local from_ms = wall_ms()
  local began_ms = journal.began[key]
  frame.began_ms = began_ms or from_ms
  if run.listener then
    run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from_ms, again = began_ms ~= nil }
  end
  if step.once and began_ms then
    frame.staged = nil -- of an earlier step of the frame
    local done, output = doubt.settle(frame, step, key, input)
    if done then return finish(frame, step, key, input, nil, asked, began_ms, wall_ms(), 1, output) end
  end
  if step.approve_if and step.approve_if(frame.data) then
    local ok, given = pcall(let_through, frame, step, key, input)
    if not ok then return refused(frame, key, asked, from_ms, given) end
    input = given
  end
  local token = begin(journal, step, key, asked, from_ms)
  return carry_out(frame, step, key, input, asked, token, frame.began_ms)
end

local function plain(frame, step, key, input)
  local run = frame.run
  if step.approve_if and step.approve_if(frame.data) then
    local ok, given = pcall(let_through, frame, step, key, input)
    if not ok then return conclude(frame, false, locate(given, key)) end
  end
  frame.began_ms = nil
  if run.counts_steps then allowance.spend(frame, key) end
  if run.plan.upgrade and not frame.planned then frame.held = upgrade.held_for(run, key) end
  local listener, from = run.listener, nil
  if listener then
    from = clock.wall_ms()
    run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from }
  end
  local ok, output, label, attempt
  if takes_one_attempt(run, step) then
    ok, output, label = once(frame, step, key, input, 1)
  else
    ok, output, label, attempt = budgeted(frame, step, key, input)
  end
  local status
  status, output = conclude(frame, ok, output)
  if status == "finished" and step.post then documents.post(frame, step, key, output) end
  if status == "finished" and step.undo then run:note_undo(key, undo_of(frame, step, input, output)) end
  if listener then
    run:notify { kind = "step", step = key, name = step.name, status = status, at_ms = clock.wall_ms(),
      seconds = (clock.wall_ms() - from) / 1000, error = status ~= "finished" and output or nil, attempt = attempt }
  end
  if status == "skipped" then return status end
  return status, output, label
end

local function refuse_input(frame, step, key, message, code)
  local err = failure.new(code or "invalid", "step '%s': %s", key, message)
  err.step = key
  local run = frame.run
  if run.listener then run:notify { kind = "step", step = key, name = step.name, status = "failed", error = err } end
  return "failed", err
end

local function has_written(frame)
  for _, source in ipairs(rawget(frame, "staged") or {}) do
    if #source:operations() > 0 then return true end
  end
  return false
end

-- What the step wrote to the workspace and published is kept with its outcome, which then stands in the journal too.
local function keep_staged(frame, step, key, input, from_ms, output)
  local asked = frame.run.journal:ask(step.kind.name, step.module, input)
  return finish(frame, step, key, input, nil, asked, from_ms, wall_ms(), 1, output)
end

local function unkept(frame, step, key, input)
  local run, from_ms = frame.run, wall_ms()
  frame.began_ms = nil
  if run.plan.budget then allowance.spend(frame, key) end
  if run.plan.upgrade then frame.held = upgrade.held_for(run, key) end
  local ok, output
  if takes_one_attempt(run, step) then
    ok, output = once(frame, step, key, input, 1)
  else
    ok, output = budgeted(frame, step, key, input, 0)
  end
  local status
  status, output = conclude(frame, ok, output)
  if run.canaries then note_call(frame, step, key, status) end
  if status == "finished" and not frame.is_made_again and run.journal and has_written(frame) then
    status, output = keep_staged(frame, step, key, input, from_ms, output)
  end
  if status == "failed" and run.listener then
    run:notify { kind = "step", step = key, name = step.name, status = status, at_ms = wall_ms(), error = output }
  end
  if status == "skipped" then return status end
  return status, output
end

--- Runs a step whose outcome somebody else keeps. Waits. Raises what stops the whole run.
---@param frame table with `is_made_again` every life of the run does it again, and nothing of what it writes is kept
---@param step table of the plan, without critic, undo, post, once
---@param key string
---@return "finished"|"failed"|"skipped"|"cancelled" status
---@return any value
function M.run_unkept(frame, step, key)
  local run = frame.run
  if step.when and not step.when(frame.data) then return "skipped" end
  if run.journal and run.journal.has_past and not frame.is_made_again then
    local status, value = M.recorded(frame, key, step)
    if status then return status, value end
  end
  local input, message, code = step.input(frame.data)
  if input == nil and message then return refuse_input(frame, step, key, message, code) end
  native.check()
  if run.rehearsal and not frame.is_made_again then run.rehearsal:beyond(step, key) end
  local outer = native.context()
  native.set_context(frame)
  frame.stopped, frame.attempt_ms, frame.draft = nil, false, false
  local status, value = unkept(frame, step, key, input)
  native.set_context(outer)
  return status, value
end

--- The outcome that an earlier life recorded under a key, without asking what was asked: for definitions that
--- are data, whose version the run has pinned.
---@param frame table of a run with a journal
---@param key string
---@param step table|nil of the plan
---@return "finished"|"failed"|"skipped"|nil status nil: there is none, or it was cancelled
---@return any value
---@return string|nil label
---@return integer|nil n of the record
function M.recorded(frame, key, step)
  local record = frame.run.journal:standing(key)
  if not record then return nil end
  if step and frame.run.canaries then note_call(frame, step, key, record[4]) end
  frame.at_ms = record[6]
  local status, value, label = outcome_of(record)
  return status, value, label, record.n
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
  local outer = native.context()
  native.set_context(frame)
  frame.stopped, frame.attempt_ms, frame.draft = nil, false, false
  local status, value, label = (frame.run.journal and journaled or plain)(frame, step, key, input)
  native.set_context(outer)
  return status, value, label
end

return M

--- One step of a run: is it due, has it been done before, may it begin; then its attempts (weir.run.attempts) and its
--- outcome (weir.run.outcome). What a step does (an agent, a map, a child run) is its kind's affair.

local attempts = require "weir.run.attempts"
local clock = require "weir.port.clock"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local outcome = require "weir.run.outcome"

local M = {}

local wall_ms = clock.wall_ms

local function skipped(frame, step, key)
  local run = frame.run
  if run.journal and not run.journal.recorded[key] then
    local now = clock.wall_ms()
    run.journal:note { "step", key, 0, "skipped", now, now, 0 }
  end
  if run.listener then run:notify { kind = "step", step = key, name = step.name, status = "skipped" } end
  return "skipped"
end

-- A step that may be started only once says so on disk first.
local function begin(journal, step, key, asked, from_ms)
  if not step.once then return journal:begin(key, asked, 1, from_ms, step.kind.is_durable) end
  journal:append { "start", key, asked, 1, from_ms }
end

-- How a call of a version on trial has ended.
local function note_call(frame, step, key, status)
  require("weir.healing.canary").note(frame.run, step, key, status, frame.held)
end

local function spend(frame, key) require("weir.run.allowance").spend(frame, key) end

-- The versions with which a step of a run that changes over to others begins.
local function held_for(run, key) return require("weir.run.upgrade").held_for(run, key) end

-- A step that nobody tries again, looks after or feeds while it runs.
local function takes_one_attempt(run, step) return step.is_simple and not run.is_supervised and not step.from end

-- Does the work and keeps what becomes of it.
local function carry_out(frame, step, key, input, asked, token, from_ms)
  local run = frame.run
  local ok, output, label, attempt, verdict
  if takes_one_attempt(run, step) then
    ok, output, label = attempts.once(frame, step, key, input, 1)
  else
    ok, output, label, attempt, verdict = attempts.run(frame, step, key, input, asked)
  end
  frame.verdict = verdict
  local status
  status, output = outcome.conclude(frame, ok, output)
  local to_ms = wall_ms()
  if run.canaries then note_call(frame, step, key, status) end
  frame.at_ms = to_ms
  if status == "cancelled" then
    outcome.keep_cancelled(frame, key, asked, from_ms, to_ms, attempt, output)
  elseif status == "finished" then
    status, output = outcome.finish(frame, step, key, input, token, asked, from_ms, to_ms, attempt, output, label, verdict)
  end
  if status == "failed" or status == "skipped" then
    outcome.keep_failed(frame, token, key, asked, status, from_ms, to_ms, attempt, output, verdict)
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
  local approval = require "weir.run.kinds.approval"
  local before = { name = step.name, approval = step.asked_before.approval }
  local record = approval.ask(frame, before, key .. "/approval", input)
  approval.result(before, key, record)
  if record.decision == "edit" then return record.answer end
  return input
end

-- What keeps a step from beginning is its outcome.
local function refused(frame, key, asked, from_ms, err)
  local status
  status, err = outcome.conclude(frame, false, outcome.locate(err, key))
  local to_ms = wall_ms()
  if status == "cancelled" then
    outcome.keep_cancelled(frame, key, asked, from_ms, to_ms, 1, err)
  else
    outcome.keep_failed(frame, nil, key, asked, status, from_ms, to_ms, 1, err)
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
    return outcome.of(record)
  end
  native.check()
  if run.rehearsal then run.rehearsal:beyond(step, key) end
  if run.counts_steps and not is_again then spend(frame, key) end
  if run.plan.upgrade and not frame.planned then frame.held = held_for(run, key) end
  local from_ms = wall_ms()
  local began_ms = journal.began[key]
  frame.began_ms = began_ms or from_ms
  if run.listener then
    run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from_ms, again = began_ms ~= nil }
  end
  if step.once and began_ms then
    frame.staged = nil -- of an earlier step of the frame
    local done, output = require("weir.run.doubt").settle(frame, step, key, input)
    if done then return outcome.finish(frame, step, key, input, nil, asked, began_ms, wall_ms(), 1, output) end
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
    if not ok then return outcome.conclude(frame, false, outcome.locate(given, key)) end
  end
  frame.began_ms = nil
  if run.counts_steps then spend(frame, key) end
  if run.plan.upgrade and not frame.planned then frame.held = held_for(run, key) end
  local listener, from = run.listener, nil
  if listener then
    from = clock.wall_ms()
    run:notify { kind = "step", step = key, name = step.name, status = "running", at_ms = from }
  end
  local ok, output, label, attempt
  if takes_one_attempt(run, step) then
    ok, output, label = attempts.once(frame, step, key, input, 1)
  else
    ok, output, label, attempt = attempts.run(frame, step, key, input)
  end
  local status
  status, output = outcome.conclude(frame, ok, output)
  if status == "finished" and step.post then documents.post(frame, step, key, output) end
  if status == "finished" and step.undo then run:note_undo(key, outcome.undo_of(frame, step, input, output)) end
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

-- What the step wrote to the workspace and published is kept with its outcome, which then stands in the journal too.
local function keep_staged(frame, step, key, input, from_ms, output)
  local asked = frame.run.journal:ask(step.kind.name, step.module, input)
  return outcome.finish(frame, step, key, input, nil, asked, from_ms, wall_ms(), 1, output)
end

local function unkept(frame, step, key, input)
  local run, from_ms = frame.run, wall_ms()
  frame.began_ms = nil
  if run.plan.budget then spend(frame, key) end
  if run.plan.upgrade then frame.held = held_for(run, key) end
  local ok, output
  if takes_one_attempt(run, step) then
    ok, output = attempts.once(frame, step, key, input, 1)
  else
    ok, output = attempts.run(frame, step, key, input, 0)
  end
  local status
  status, output = outcome.conclude(frame, ok, output)
  if run.canaries then note_call(frame, step, key, status) end
  if status == "finished" and not frame.is_made_again and run.journal and outcome.has_written(frame) then
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
  local status, value, label = outcome.of(record)
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

--- The outcome of a step: what it is, and that it is kept. One transaction of the journal holds it together with what the
--- step has written, and with what is to be done if it is taken back.

local documents = require "weir.run.documents"
local failure = require "weir.failure"
local lock_of = require "weir.lock"
local native = require "weir.native.scheduler"
local proof = require "weir.proof"

local M = {}

--- An error that says where it happened.
---@param err any
---@param key string of the step; one that the error names already stays
---@return table err {code, message, step}
function M.locate(err, key)
  local found = failure.of(err)
  if not found.step then found.step = key end
  return found
end

--- An error as the journal has it.
---@param err table
---@return table
function M.recorded_error(err)
  return { code = err.code, message = err.message, step = err.step, traceback = err.traceback, class = err.class,
    healing = err.healing }
end

--- The outcome that a record of the journal says.
---@param record table
---@return "finished"|"failed"|"skipped"|"cancelled" status
---@return any value
---@return string|nil label
function M.of(record)
  local status, value, extra = record[4], record[8], record[9]
  if status == "skipped" then return status end
  if status ~= "finished" then
    local err = failure.of(value)
    err.step = value and value.step
    return status, err
  end
  return status, value, extra and extra.label
end

--- What is to be done if the run fails or is cancelled later: known with the outcome, kept with it.
---@param frame table
---@param step table of the plan
---@param input any
---@param output any
---@return { agent: string, options: table?, input: any }|nil
function M.undo_of(frame, step, input, output)
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

--- How a step has ended. One that is not needed any more commits nothing: what finished a moment too late was cancelled.
--- When the run itself is cancelled what has finished is kept, so that it can be undone. Raises what stops the whole run.
---@param frame table
---@param ok boolean
---@param output any or the error
---@return "finished"|"failed"|"skipped"|"cancelled" status
---@return any value
function M.conclude(frame, ok, output)
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

local COMMITS = 20 -- tries, when what a step writes meets what others have written meanwhile

-- Steps of one run do not meet in conflicts with one another: one commits after the other.
local function one_at_a_time(run, body, ...)
  run.committing = run.committing or lock_of.new "the commit of another step"
  return run.committing:hold(body, ...)
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

--- Keeps that a step was cancelled. Does not wait.
---@param frame table
---@param key string
---@param asked integer
---@param from_ms integer
---@param to_ms integer
---@param attempt integer|nil
---@param err table
function M.keep_cancelled(frame, key, asked, from_ms, to_ms, attempt, err)
  frame.run.journal:note { "step", key, asked, "cancelled", from_ms, to_ms, attempt or 1, M.recorded_error(err),
    extra_of(frame, key, nil, nil, nil, proof.take(frame)) }
end

--- Keeps that a step failed, or that a supervisor has set it aside. Waits until that is on disk.
---@param frame table
---@param token any of the journal's `begin`, nil: it was never begun
---@param key string
---@param asked integer
---@param status "failed"|"skipped"
---@param from_ms integer
---@param to_ms integer
---@param attempt integer|nil
---@param err table
---@param verdict table|nil
function M.keep_failed(frame, token, key, asked, status, from_ms, to_ms, attempt, err, verdict)
  frame.run.journal:finish(token, key, asked, status, from_ms, to_ms, attempt or 1, M.recorded_error(err),
    extra_of(frame, key, nil, verdict, nil, proof.take(frame)))
end

--- Whether a step has written what is to be kept with its outcome.
---@param frame table
---@return boolean
function M.has_written(frame)
  local staged = rawget(frame, "staged")
  if not staged then return false end
  for _, source in ipairs(staged) do
    if #source:operations() > 0 then return true end
  end
  return false
end

-- Nothing but its outcome is to be kept.
local function is_bare(frame, step)
  return not step.undo and not step.post and not rawget(frame, "staged")
end

--- Keeps that a step finished, unless its outcome cannot be kept. Waits until that is on disk.
---@param frame table
---@param step table of the plan
---@param key string
---@param input any
---@param token any of the journal's `begin`, nil: it was never begun
---@param asked integer
---@param from_ms integer
---@param to_ms integer
---@param attempt integer|nil
---@param output any
---@param label string|nil
---@param verdict table|nil
---@return "finished"|"failed" status
---@return any value the output, or why it could not be kept
function M.finish(frame, step, key, input, token, asked, from_ms, to_ms, attempt, output, label, verdict)
  if is_bare(frame, step) then
    local refusal = frame.run.journal:finish(token, key, asked, "finished", from_ms, to_ms, attempt or 1, output,
      extra_of(frame, key, label, verdict))
    if refusal then return "failed", M.locate(refusal, key) end
    return "finished", output
  end
  local ok, refusal = pcall(function()
    local undo = M.undo_of(frame, step, input, output)
    if step.post then documents.post(frame, step, key, output) end
    local refusal = keep_finished(frame, step, token, key, asked, "finished", from_ms, to_ms, attempt or 1, output,
      extra_of(frame, key, label, verdict, undo))
    if undo and not refusal then frame.run:note_undo(key, undo) end
    return refusal
  end)
  if ok and not refusal then return "finished", output end
  if not ok and native.cancelled() then error(refusal, 0) end
  return "failed", M.locate(refusal, key)
end

return M

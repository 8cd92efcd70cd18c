--- Critics: each draft of a step is judged; it is accepted, tried again with advice, edited, or refused.
--- A chain is asked in order until one does not approve; a quorum asks all and counts the approvals.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local context = require "weir.run.context"
local native = require "weir.native.scheduler"

local M = {}

local VERDICTS = { approve = true, retry = true, edit = true, escalate = true, abort = true }

local function check(verdict, name)
  if type(verdict) ~= "table" or not VERDICTS[verdict.verdict] then
    failure.raise("invalid", "critic '%s' returned no verdict {verdict = approve|retry|edit|escalate|abort, score = 0..1}", name)
  end
  if verdict.score ~= nil and type(verdict.score) ~= "number" then
    failure.raise("invalid", "critic '%s': score must be a number from 0 to 1, got %s", name, type(verdict.score))
  end
  if verdict.verdict == "edit" and verdict.value == nil then
    failure.raise("invalid", "critic '%s' says edit without a value", name)
  end
  return verdict
end

local function ask(frame, judge, key, input, draft, earlier)
  local ctx = context.new(frame, judge, key .. "/" .. judge.name, input, #earlier + 1)
  ctx.drafts = earlier
  local module = (frame.held or frame.run).modules[judge.module]
  local verdict
  if module.atomic then
    verdict = native.atomic(module.review, ctx, draft)
  else
    verdict = module.review(ctx, draft)
  end
  frame.run:move_usage(ctx._key, key)
  return check(verdict, judge.name)
end

local RANK = { abort = 5, escalate = 4, retry = 3, edit = 2, approve = 1 }

local function worse(a, b)
  if not a then return b end
  return RANK[b.verdict] > RANK[a.verdict] and b or a
end

local function chain(frame, critics, key, input, draft, earlier)
  local lowest = 1
  local last
  for _, judge in ipairs(critics.uses) do
    last = ask(frame, judge, key, input, draft, earlier)
    last.critic = judge.name
    lowest = math.min(lowest, last.score or 1)
    if last.verdict ~= "approve" then return last end
  end
  return { verdict = "approve", score = lowest, critic = last.critic, evidence = last.evidence }
end

local function panel(frame, critics, key, input, draft, earlier)
  local approvals, total, worst = 0, 0, nil
  for _, judge in ipairs(critics.uses) do
    local verdict = ask(frame, judge, key, input, draft, earlier)
    verdict.critic = judge.name
    total = total + (verdict.score or (verdict.verdict == "approve" and 1 or 0))
    if verdict.verdict == "approve" then approvals = approvals + 1 end
    worst = worse(worst, verdict)
  end
  if worst.verdict == "abort" or approvals < critics.quorum then return worst end
  return { verdict = "approve", score = total / #critics.uses, critic = "panel" }
end

local function judged(frame, step, key, input, draft, earlier)
  local mark = native.deferred()
  local ok, verdict = xpcall(step.critic.quorum and panel or chain, failure.explain, frame, step.critic, key, input, draft, earlier)
  if native.deferred() > mark then require("weir.task").unwind(mark) end
  if ok then return verdict end
  native.recover()
  error(verdict, 0)
end

local function best_of(earlier)
  local best = earlier[1]
  for _, draft in ipairs(earlier) do
    if draft.score > best.score then best = draft end
  end
  return best
end

local function summary(verdict)
  return { verdict = verdict.verdict, score = verdict.score, advice = verdict.advice, critic = verdict.critic, evidence = verdict.evidence }
end

local function refused(step, key, verdict, count)
  local text = verdict.advice and (": " .. verdict.advice) or ""
  local what = verdict.verdict == "abort" and "stopped it" or ("does not approve after %d draft%s"):format(count, count == 1 and "" or "s")
  local err = failure.new("rejected", "step '%s': critic '%s' %s%s", key, verdict.critic or step.critic.uses[1].name, what, text)
  err.step = key
  return err
end

-- What happens when no draft is left: the best is taken, or the step fails. Where nobody can be asked,
-- `escalate` fails too.
local function exhausted(step, key, verdict, earlier, label, attempt)
  if step.critic.otherwise == "accept_best" then
    local best = best_of(earlier)
    return true, best.draft, label, attempt, summary(best)
  end
  return false, refused(step, key, verdict, #earlier), nil, attempt, summary(verdict)
end

-- Another draft follows: a later life begins with it, not with the first one.
local function keep_draft(frame, key, draft, at_ms)
  local run = frame.run
  if not run.journal then return end
  local kept = { at_ms = at_ms, usage = run:take_usage(key) }
  for name, value in pairs(draft) do kept[name] = value end
  run.journal:append { "draft", key, kept, run.memories and run.memories[key] }
  run.journal:forget_inner(key)
end

-- Those of earlier lives, and when the latest was refused, ms since 1970.
local function earlier_drafts(frame, key)
  local drafts, at_ms = frame.run.journal and frame.run.journal:take_drafts(key) or {}, nil
  for _, draft in ipairs(drafts) do at_ms, draft.at_ms, draft.usage = draft.at_ms, nil, nil end
  return drafts, at_ms
end

local function feedback_of(draft)
  return draft and { verdict = draft.verdict, score = draft.score, advice = draft.advice, draft = draft.draft }
end

--- Makes drafts until one is approved.
---@param frame table
---@param step table with `critic`: {uses, attempts, otherwise, quorum}
---@param key string
---@param input any
---@param draw fun(feedback: table|nil, refused_ms: integer|nil): boolean, any, string?, integer? makes one draft, after
---   the one that was refused then
---@return boolean ok
---@return any output
---@return string|nil label
---@return integer|nil attempt
---@return table|nil verdict {verdict, score, advice, critic}
function M.review(frame, step, key, input, draw)
  local earlier, refused_ms = earlier_drafts(frame, key)
  while true do
    frame.draft = #earlier + 1
    local ok, output, label, attempt = draw(feedback_of(earlier[#earlier]), refused_ms)
    if not ok then return false, output, nil, attempt end
    local judged_ok, verdict = pcall(judged, frame, step, key, input, output, earlier)
    if not judged_ok then
      local err = failure.of(verdict)
      err.step = err.step or key
      return false, err, nil, attempt
    end
    if verdict.score then frame.run:score(key, verdict.score, "critic") end
    frame.run:notify { kind = "verdict", step = key, verdict = verdict.verdict, score = verdict.score, advice = verdict.advice }
    if verdict.verdict == "approve" then return true, output, label, attempt, summary(verdict) end
    if verdict.verdict == "edit" then return true, verdict.value, label, attempt, summary(verdict) end
    earlier[#earlier + 1] = { draft = output, verdict = verdict.verdict, score = verdict.score or 0, advice = verdict.advice,
      critic = verdict.critic }
    if verdict.verdict == "abort" then return false, refused(step, key, verdict, #earlier), nil, attempt, summary(verdict) end
    if verdict.verdict == "escalate" or #earlier >= step.critic.attempts then
      return exhausted(step, key, verdict, earlier, label, attempt)
    end
    refused_ms = clock.wall_ms()
    keep_draft(frame, key, earlier[#earlier], refused_ms)
  end
end

return M

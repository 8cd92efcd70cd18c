--- Critics: each draft of a step is judged; it is accepted, tried again with advice, edited, shown to a person, or refused.
--- A chain is asked in order until one does not approve, so what is cheap and certain stands first; a panel (`quorum`) asks
--- all. Drafts that were refused are in the journal with their verdicts, so a later life goes on behind them.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local live = require "weir.flow.live"
local panel = require "weir.flow.panel"
local person = require "weir.flow.person"
local proof = require "weir.proof"
local verdict_of = require "weir.flow.verdict"

local M = {}

local function chain(frame, critics, key, input, draft, earlier)
  local lowest, last = 1, nil
  for _, use in ipairs(critics.uses) do
    last = verdict_of.of_draft(frame, use, key, input, draft, earlier)
    lowest = math.min(lowest, last.score or 1)
    if last.verdict ~= "approve" then return last end
  end
  last.score = lowest
  return last
end

--- Has the critics of a step, a chain or a panel, look at one draft. Waits, as they do. Raises as `verdict.of_draft` does.
---@param frame weir.Frame
---@param critics table as a plan has them: {uses, quorum, disagreement}
---@param key string
---@param input any of the step
---@param draft any
---@param earlier table[]
---@return weir.Verdict
function M.judge(frame, critics, key, input, draft, earlier)
  return (critics.quorum and panel.ask or chain)(frame, critics, key, input, draft, earlier)
end

local function best_of(earlier)
  local best = earlier[1]
  for _, draft in ipairs(earlier) do
    if draft.score > best.score then best = draft end
  end
  return best
end

local function refused(step, key, verdict, count)
  local text = verdict.advice and (": " .. verdict.advice) or ""
  local what = verdict.verdict == "abort" and "stopped it" or ("does not approve after %d draft%s"):format(count, count == 1 and "" or "s")
  local err = failure.new("rejected", "step '%s': critic '%s' %s%s", key, verdict.critic or step.critic.uses[1].name, what, text)
  err.step = key
  return err
end

-- Drafts in the journal ----------------------------------------------------------------------------

-- A draft that was refused: a later life begins behind it, not with the first one.
local function keep_draft(frame, key, draft, at_ms)
  local run = frame.run
  run:note_refusal(key)
  if not run.journal then return end
  local kept = { at_ms = at_ms, usage = run:take_usage(key), stopped = proof.take(frame) }
  for name, value in pairs(draft) do kept[name] = value end
  run.journal:append { "draft", key, kept, run.memories and run.memories[key] }
  run.journal:forget_inner(key)
end

-- Those of earlier lives, and when the latest was refused, ms since 1970.
local function earlier_drafts(frame, key)
  local drafts, at_ms = frame.run.journal and frame.run.journal:take_drafts(key) or {}, nil
  for _, draft in ipairs(drafts) do at_ms, draft.at_ms, draft.usage, draft.stopped = draft.at_ms, nil, nil, nil end
  return drafts, at_ms
end

-- What a person says goes before what the critic said.
local function feedback_of(draft, told)
  return draft and { verdict = draft.verdict, score = draft.score, advice = told or draft.advice, draft = draft.draft }
end

-- Judging ----------------------------------------------------------------------------------------------

---@class weir.Review the drafts of one step, while they are made
---@field frame weir.Frame
---@field step table
---@field key string
---@field input any
---@field draw function
---@field earlier table[] refused drafts {draft, verdict, score, advice, critic, label, asks}
---@field refused_ms integer|nil
---@field told string|nil advice of a person for the next draft
local Review = {}
Review.__index = Review

local function accepted(self, output, label, attempt, verdict)
  return true, output, label, attempt, verdict_of.summary(verdict)
end

-- Whether another draft may be made: of its own, and of what steps around it let all inside of them have.
local function has_drafts_left(self)
  if #self.earlier >= self.step.critic.attempts then return false end
  return self.frame.run:may_refuse(self.key)
end

local function decided_by_person(self, label, attempt)
  local decision = person.ask(self.frame, self.step, self.key, self.earlier, best_of(self.earlier), self.refused_ms)
  if decision.err then return false, decision.err, nil, attempt, decision.verdict end
  if decision.advice then
    self.told = decision.advice
    return nil
  end
  return true, decision.value, decision.label or label, attempt, decision.verdict
end

-- What happens when no draft is left: the best is taken, a person is asked, or the step fails.
local function exhausted(self, verdict, label, attempt)
  local otherwise = verdict.verdict == "escalate" and "escalate" or self.step.critic.otherwise
  if otherwise == "accept_best" then
    local best = best_of(self.earlier)
    return true, best.draft, best.label or label, attempt, verdict_of.summary(best)
  end
  if otherwise == "escalate" and self.frame.run.journal then
    local last = self.earlier[#self.earlier]
    last.asks, self.refused_ms = true, clock.wall_ms()
    keep_draft(self.frame, self.key, last, self.refused_ms)
    return decided_by_person(self, label, attempt)
  end
  return false, refused(self.step, self.key, verdict, #self.earlier), nil, attempt, verdict_of.summary(verdict)
end

-- What becomes of a verdict; nil: another draft is to be made.
local function conclude(self, output, label, attempt, verdict, stopped)
  local run, key = self.frame.run, self.key
  if verdict.score then run:score(key, verdict.score, "critic") end
  run:notify { kind = "verdict", step = key, verdict = verdict.verdict, score = verdict.score, advice = verdict.advice,
    critic = verdict.critic, version = verdict.version, saved = stopped and stopped.saved }
  if verdict.verdict == "approve" then return accepted(self, output, label, attempt, verdict) end
  if verdict.verdict == "edit" then return accepted(self, verdict.value, label, attempt, verdict) end
  local draft = verdict_of.summary(verdict)
  draft.draft, draft.score, draft.label, draft.saved = output, verdict.score or 0, label, stopped and stopped.saved
  self.earlier[#self.earlier + 1] = draft
  if verdict.verdict == "abort" then
    return false, refused(self.step, key, verdict, #self.earlier), nil, attempt, verdict_of.summary(verdict)
  end
  if verdict.verdict == "escalate" or not has_drafts_left(self) then return exhausted(self, verdict, label, attempt) end
  self.refused_ms = clock.wall_ms()
  keep_draft(self.frame, key, draft, self.refused_ms)
end

local function draw(self)
  local feedback = feedback_of(self.earlier[#self.earlier], self.told)
  self.told = nil
  if not self.step.critic.live then return nil, self.draw(feedback, self.refused_ms) end
  return live.draw(self.frame, self.step, self.key, self.input, self.earlier, function() return self.draw(feedback, self.refused_ms) end)
end

-- One draft, from its making to what becomes of it; nil: another one is to be made.
local function one(self)
  self.frame.draft = #self.earlier + 1
  local stopped, ok, output, label, attempt = draw(self)
  if stopped then return conclude(self, stopped.draft, nil, 1, stopped.verdict, stopped) end
  if not ok then return false, output, nil, attempt end
  local judged_ok, verdict = pcall(M.judge, self.frame, self.step.critic, self.key, self.input, output, self.earlier)
  if judged_ok then return conclude(self, output, label, attempt, verdict) end
  local err = failure.of(verdict)
  err.step = err.step or self.key
  return false, err, nil, attempt
end

--- Makes drafts until one is approved.
---@param frame table
---@param step table with `critic`: {uses, attempts, otherwise, quorum, budget, disagreement, ask, live}
---@param key string
---@param input any
---@param draft_of fun(feedback: table|nil, refused_ms: integer|nil): boolean, any, string?, integer? makes one draft, after
---   the one that was refused then
---@return boolean ok
---@return any output
---@return string|nil label
---@return integer|nil attempt
---@return table|nil verdict {verdict, score, advice, critic, version, rubric, evidence, panel, by}
function M.review(frame, step, key, input, draft_of)
  local earlier, refused_ms = earlier_drafts(frame, key)
  local self = setmetatable({ frame = frame, step = step, key = key, input = input, draw = draft_of, earlier = earlier,
    refused_ms = refused_ms }, Review)
  local limit <close> = frame.run:limit_refusals(key, step.critic.budget) -- luacheck: ignore 211
  local last = earlier[#earlier]
  local ok, output, label, attempt, verdict
  if last and last.asks then ok, output, label, attempt, verdict = decided_by_person(self) end
  while ok == nil do ok, output, label, attempt, verdict = one(self) end
  return ok, output, label, attempt, verdict
end

return M

--- A person decides where critics cannot: all drafts are shown with their verdicts; one is taken, another value is given,
--- or advice for one draft more.

local approval = require "weir.approval"
local failure = require "weir.failure"
local json = require "weir.native.json"
local question = require "weir.run.question"
local sleep = require "weir.run.kinds.sleep"
local verdict_of = require "weir.flow.verdict"

local M = {}

local function shown(earlier)
  local list = json.list {}
  for number, draft in ipairs(earlier) do
    list[number] = { number = number, draft = draft.draft, verdict = draft.verdict, score = draft.score, advice = draft.advice,
      critic = draft.critic, version = draft.version, panel = draft.panel }
  end
  return list
end

local function number_of(earlier, wanted)
  for number, draft in ipairs(earlier) do
    if draft == wanted then return number end
  end
end

local function form_of(earlier, best)
  return { type = "object", additionalProperties = false, default = { draft = number_of(earlier, best) }, properties = {
    draft = { type = "integer", minimum = 1, maximum = #earlier, description = "the draft that is taken" },
    value = { description = "what stands in its place" },
    advice = { type = "string", minLength = 1, description = "what another draft is to do differently" } } }
end

local function ask(frame, step, key, earlier, best, asked_ms)
  local rules, last = step.critic.ask or {}, earlier[#earlier]
  return question.ask(frame, key, { kind = "approval",
    title = ("%s: is a draft of '%s' good enough? critic '%s' says %s%s"):format(frame.run.plan.name, step.name, last.critic,
      last.verdict, last.advice and ": " .. last.advice or ""),
    show = { critic = last.critic, drafts = shown(earlier) }, form = form_of(earlier, best), who = rules.who,
    not_initiator = rules.not_initiator, quorum = rules.quorum, on_timeout = rules.on_timeout,
    due_ms = rules.timeout and sleep.after(rules.timeout, asked_ms) or nil })
end

local function refused(key, result)
  local what = ("%s rejected its drafts"):format(result.by or "its time limit")
  local err = failure.new("rejected", "step '%s': %s%s", key, what, result.comment and (", saying '%s'"):format(result.comment) or "")
  err.step = key
  return err
end

local function verdict_by(result, draft)
  local verdict = verdict_of.summary(draft)
  verdict.verdict, verdict.by, verdict.advice = result.decision == "approve" and "approve" or "abort", result.by, result.comment
  return verdict
end

--- Asks. Waits durably.
---@param frame weir.Frame
---@param step table with `critic.ask`: {who, not_initiator, quorum, timeout, on_timeout}
---@param key string
---@param earlier table[] the drafts; the last one is why a person is asked
---@param best table the one of them that an approval without more takes
---@param asked_ms integer when that was, ms since 1970
---@return { err: table|nil, value: any, label: string|nil, advice: string|nil, verdict: table }
function M.ask(frame, step, key, earlier, best, asked_ms)
  local result, message, code = approval.result(ask(frame, step, key, earlier, best, asked_ms))
  if not result then failure.raise(code, "step '%s': %s", key, message) end
  local answer = result.answer or {}
  if result.decision ~= "approve" then
    frame.run:score(key, 0, "person")
    return { err = refused(key, result), verdict = verdict_by(result, earlier[#earlier]) }
  end
  if answer.advice then return { advice = answer.advice } end
  local draft = earlier[answer.draft or number_of(earlier, best)]
  frame.run:score(key, 1, "person")
  if answer.value ~= nil then return { value = answer.value, label = draft.label, verdict = verdict_by(result, draft) } end
  return { value = draft.draft, label = draft.label, verdict = verdict_by(result, draft) }
end

return M

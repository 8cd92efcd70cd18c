--- Panels: several critics look at one draft, and their verdicts are counted. `quorum` is the weight of the approvals that
--- suffice, one with a veto has to be among them, one abort is too much, and where they disagree too far a person decides.

local verdict_of = require "weir.flow.verdict"

local M = {}

local RANK = { abort = 5, escalate = 4, retry = 3, edit = 2, approve = 1 }

local function worse(a, b)
  if not a then return b end
  return RANK[b.verdict] > RANK[a.verdict] and b or a
end

-- What all of those have to say that do not approve.
local function advice_of(verdicts)
  local lines = {}
  for _, verdict in ipairs(verdicts) do
    if verdict.verdict ~= "approve" and verdict.advice then lines[#lines + 1] = verdict.advice end
  end
  return #lines > 0 and table.concat(lines, "; ") or nil
end

local function counted(critics, verdicts)
  local tally = { approvals = 0, weight = 0, score = 0, lowest = 1, highest = 0 }
  for index, verdict in ipairs(verdicts) do
    local use, score = critics.uses[index], verdict_of.score(verdict)
    local weight = use.weight or 1
    tally.weight, tally.score = tally.weight + weight, tally.score + weight * score
    tally.lowest, tally.highest = math.min(tally.lowest, score), math.max(tally.highest, score)
    if verdict.verdict == "approve" then
      tally.approvals = tally.approvals + weight
    elseif use.veto then
      tally.veto = worse(tally.veto, verdict)
    end
    tally.worst = worse(tally.worst, verdict)
  end
  return tally
end

local function summaries(verdicts)
  local list = {}
  for index, verdict in ipairs(verdicts) do list[index] = verdict_of.summary(verdict) end
  return list
end

local function as(verdict, verdicts, tally)
  local result = {}
  for name, value in pairs(verdict) do result[name] = value end
  result.advice, result.panel, result.score = advice_of(verdicts), summaries(verdicts), tally.score / tally.weight
  return result
end

--- Has all critics look at a draft, one after the other. Waits, as they do. Raises as `verdict.of_draft` does.
---@param frame weir.Frame
---@param critics table {uses with `weight` and `veto`, quorum, disagreement}
---@param key string
---@param input any
---@param draft any
---@param earlier table[]
---@return weir.Verdict verdict with `panel`, what each said
function M.ask(frame, critics, key, input, draft, earlier)
  local verdicts = {}
  for index, use in ipairs(critics.uses) do verdicts[index] = verdict_of.of_draft(frame, use, key, input, draft, earlier) end
  local tally = counted(critics, verdicts)
  if tally.worst.verdict == "abort" then return as(tally.worst, verdicts, tally) end
  if critics.disagreement and tally.highest - tally.lowest > critics.disagreement then
    return as({ verdict = "escalate", critic = "panel" }, verdicts, tally)
  end
  if tally.veto then return as(tally.veto, verdicts, tally) end
  if tally.approvals < critics.quorum then return as(tally.worst, verdicts, tally) end
  local result = as({ verdict = "approve", critic = "panel" }, verdicts, tally)
  result.advice = nil
  return result
end

return M

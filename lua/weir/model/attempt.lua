--- One call of one model, or of two that race (hedge.lua): measured, counted, and given back to the admission whatever
--- becomes of it.

local clock_port = require "weir.port.clock"
local failure = require "weir.failure"
local hedge = require "weir.model.hedge"
local native = require "weir.native.scheduler"
local price = require "weir.model.price"

local M = {}

local ENOUGH = 5 -- calls before a 95th percentile says something

---@class weir.ModelAttempt
---@field model string
---@field class string|nil   of the failure; nil: it worked
---@field seconds number
---@field hedge boolean|nil  it was the second call of a race
---@field lost boolean|nil   the other one of the race was faster

local function has_content(delta)
  return delta.text ~= nil or delta.reasoning ~= nil or delta.tool_call ~= nil or delta.refusal ~= nil
end

local function add_usage(usage, given)
  usage = usage or {}
  for name, value in pairs(given) do usage[name] = value end
  return usage
end

--- What a call cost, by the candidate's price. nil: not known.
---@param candidate weir.ModelCandidate
---@param usage table|nil
---@return number|nil usd
function M.usd(candidate, usage)
  return price.usd(candidate.price, usage)
end

-- Lanes: a call under way ------------------------------------------------------------------------------

local function lane_of(one, view, pass)
  return { view = view, pass = pass, began = clock_port.now(), deltas = 0, one = one }
end

-- Only the first that has something to say is heard.
local function emitter(one, lane, claim)
  return function(delta)
    if delta.usage then lane.usage = add_usage(lane.usage, delta.usage) end
    if not lane.emitted and has_content(delta) then
      if claim and not claim() then
        lane.lost = true
        native.check()
        failure.raise("cancelled", "%s", hedge.faster)
      end
      lane.first_s = lane.first_s or clock_port.now() - lane.began
      lane.emitted = true
    end
    if one.choice.emit then one.choice.emit(delta) end
  end
end

local function request_of(one)
  local seconds = one.left.seconds
  if not seconds or one.request.timeout and one.request.timeout <= seconds then return one.request end
  local request = {}
  for name, value in pairs(one.request) do request[name] = value end
  request.timeout = seconds
  return request
end

local function tokens_of(usage)
  if not usage or not (usage.input_tokens or usage.output_tokens) then return nil end
  return (usage.input_tokens or 0) + (usage.output_tokens or 0)
end

local function usd_of(one, lane)
  if one.choice.usd then return one.choice.usd(lane.view, lane.usage) end
  return M.usd(lane.view, lane.usage)
end

-- A call that lost a race took at least so long to its first word: counted, or who is slow would look quick.
local function record(one, lane, outcome)
  local usage = lane.usage or {}
  one.router.statistics:record { model = lane.view.name, label = one.choice.label, ok = outcome.ok, class = outcome.class,
    first_token_s = lane.first_s or lane.lost and outcome.seconds or nil, total_s = outcome.seconds, usd = outcome.usd,
    input_tokens = usage.input_tokens, output_tokens = usage.output_tokens }
end

local function note(one, lane, outcome)
  one.attempts[#one.attempts + 1] = { model = lane.view.name, class = outcome.class, seconds = outcome.seconds,
    hedge = lane.is_hedge, lost = lane.lost }
  one.outcomes[#one.outcomes + 1] = { model = lane.view.name, ok = outcome.ok, class = outcome.class, seconds = outcome.seconds,
    usd = outcome.usd, tokens = tokens_of(lane.usage) }
  one.counts[lane.view.name] = (one.counts[lane.view.name] or 0) + 1
end

-- Whatever became of it, the call is over: who else wants the model may have it.
local function leave(one, lane, outcome)
  outcome.view, outcome.emitted = lane.view, lane.emitted
  outcome.seconds = clock_port.now() - lane.began
  outcome.usd = usd_of(one, lane)
  one.router.admission:leave(lane.pass, { ok = outcome.ok, class = outcome.class,
    retry_after = outcome.detail and outcome.detail.retry_after, tokens = tokens_of(lane.usage) })
  record(one, lane, outcome)
  note(one, lane, outcome)
  return outcome
end

local function refused(lane, message, code, detail)
  detail = type(detail) == "table" and detail or {}
  if detail.usage then lane.usage = add_usage(lane.usage, detail.usage) end
  code = failure.codes[code] and code or "failed"
  return { ok = false, message = tostring(message or "the model gave neither an answer nor a reason"), code = code, detail = detail,
    class = detail.class or code }
end

local function run_lane(one, lane, claim)
  local done, response, message, code, detail = xpcall(one.call, failure.explain, lane.view, request_of(one), emitter(one, lane, claim))
  if not done and (native.cancelled() or response.code == "cancelled") then
    local _, reason = native.cancelled()
    lane.lost = lane.lost or reason == hedge.faster or nil
    leave(one, lane, { ok = false, class = "cancelled" })
    error(response, 0)
  end
  if not done then
    native.recover()
    return leave(one, lane, refused(lane, response.message, response.code))
  end
  if response == nil then return leave(one, lane, refused(lane, message, code, detail)) end
  if response.usage then lane.usage = add_usage(lane.usage, response.usage) end
  local is_heard = not claim or claim()
  lane.lost = not is_heard or nil
  return leave(one, lane, { ok = true, response = response, lost = lane.lost })
end

-- Racing -----------------------------------------------------------------------------------------------

--- Seconds after which a second call is made; nil: none is.
---@param one table
---@param view weir.ModelCandidate
---@return number|nil
function M.hedge_after(one, view)
  local given = one.options.hedge
  if type(given) == "number" then return given end
  if given ~= "p95" then return nil end
  local metrics = one.metrics.of[view.name]
  if not metrics or metrics.calls < ENOUGH then return nil end
  return metrics.first_token_p95 or metrics.total_p95
end

-- The next candidate that is let in.
local function second_lane(one, others)
  for _, view in ipairs(others) do
    local pass = one.router.admission:enter(view)
    if pass then
      local lane = lane_of(one, view, pass)
      lane.is_hedge = true
      return lane
    end
  end
end

local function outcome_of(result, index)
  local packed = result.results[index]
  if not packed then return nil end
  if packed[1] then return packed[2] end
  return nil, packed[2]
end

local function note_hedge(one, lanes, result, after)
  if not result.hedged then return end
  local winner = result.winner or 1
  local loser = lanes[3 - winner]
  one.hedged = { model = lanes[2].view.name, after_s = after, won = result.winner == 2, wasted = loser.usage,
    wasted_usd = usd_of(one, loser) }
end

local function race(one, lane, others, after)
  local lanes = { lane }
  local result = hedge.race(after, function(claim) return run_lane(one, lane, claim) end, function()
    lanes[2] = second_lane(one, others)
    return lanes[2] and function(claim) return run_lane(one, lanes[2], claim) end
  end)
  note_hedge(one, lanes, result, after)
  local outcome, err = outcome_of(result, result.winner or 1)
  if not outcome and not result.winner then outcome, err = outcome_of(result, 2) end
  if not outcome then error(err, 0) end
  return outcome
end

---@class weir.ModelOutcome
---@field ok boolean
---@field view weir.ModelCandidate whose it is
---@field response table|nil
---@field message string|nil
---@field code string|nil
---@field class string|nil
---@field detail table|nil
---@field emitted boolean|nil something was given out
---@field seconds number

--- Calls a model that was let in, and another one too when it is late and hedging is on. Waits; raises when it is cancelled.
---@param one table the call of `route` that this belongs to
---@param view weir.ModelCandidate
---@param pass weir.ModelPass
---@param others weir.ModelCandidate[] who could be the second
---@return weir.ModelOutcome
function M.run(one, view, pass, others)
  local lane = lane_of(one, view, pass)
  local after = #others > 0 and M.hedge_after(one, view)
  if not after then return run_lane(one, lane) end
  return race(one, lane, others, after)
end

return M

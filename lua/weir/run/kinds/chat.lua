--- One call of a language model, as a step of its own: what was answered is in the journal, and is not asked again after a
--- crash. Which model answers is chosen when it is asked.

local allowance = require "weir.run.allowance"
local cache = require "weir.model.cache"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local models = require "weir.model"
local value_of = require "weir.value"

local M = { name = "chat" }

-- What a call has used counts for its step; what a provider did not count is estimated.
local function count(run, key, model, usage, estimate, usd)
  local input, output = usage.input_tokens, usage.output_tokens
  local labels = { model = model }
  for name, amount in pairs(usage) do
    if type(amount) == "number" then run:measure(name, amount, labels, key) end
  end
  if input and output then
    run:measure("tokens", input + output, labels, key)
  else
    run:measure("tokens_estimated", estimate.tokens, labels, key)
  end
  if usd then
    run:measure("usd", usd, labels, key)
  elseif estimate.usd > 0 then
    run:measure("usd_estimated", estimate.usd, labels, key)
  end
end

-- Hands on what comes, and measures how it came: seconds to the first of it, between two of them, and those in which
-- whoever reads it kept it waiting.
local function hearing(emit)
  local began, last = clock.now(), nil
  local flow = { blocked_s = 0, pieces = 0, longest_gap_s = 0 }
  return flow, function(delta)
    local now = clock.now()
    if delta.text or delta.reasoning or delta.tool_call then
      flow.first_token_s = flow.first_token_s or now - began
      if last then flow.longest_gap_s = math.max(flow.longest_gap_s, now - last) end
      flow.pieces = flow.pieces + 1
    end
    if emit then
      emit(delta)
      local after = clock.now()
      flow.blocked_s, now = flow.blocked_s + after - now, after
    end
    last = now
  end
end

local function refuse(message, code, detail)
  local err = failure.new(failure.codes[code] and code or "failed", "%s", message)
  err.class = detail and detail.class
  error(err, 0)
end

local function rounded(seconds) return seconds and math.floor(seconds * 1e6 + 0.5) / 1e6 end

local function timing(flow, total_s)
  return { first_token_s = rounded(flow.first_token_s), total_s = rounded(total_s), blocked_s = rounded(flow.blocked_s),
    longest_gap_s = rounded(flow.longest_gap_s), pieces = flow.pieces }
end

-- The request goes to the journal before it goes out, with what it may use, so that a kill does not make it free.
local function keep_turn(run, key, asked, estimate)
  local journal = run.journal
  if not journal then return end
  local turn = asked.conversation:turn(key, asked.request.messages, asked.hashes, estimate)
  local budget = run.plan.budget
  if budget and (budget.tokens or budget.usd) then
    journal:append(turn)
  else
    journal:note(turn)
  end
end

local function provider_of(candidates, model)
  for _, entry in ipairs(candidates) do
    if entry.name == model then return entry.provider end
  end
end

-- What a call costs has to be known where money is limited.
local function affordable(run, candidates)
  local budget = run.plan.budget
  if not (budget and budget.usd) then return candidates end
  local priced, names = {}, {}
  for index, entry in ipairs(candidates) do
    names[index] = entry.name
    if entry.price then priced[#priced + 1] = entry end
  end
  if #priced > 0 then return priced end
  failure.raise("invalid", "the run has a budget of money, and no price is known of %s; `models` in weir.lua may state it",
    table.concat(names, ", "))
end

local function ask(frame, key, asked, emit)
  local run = frame.run
  local service = models.of(run.engine)
  local candidates, policy = service:choice(asked.model)
  candidates = affordable(run, candidates)
  local estimate = service:estimate(candidates, asked.request)
  local reservation <close> = allowance.reserve(frame, key, estimate)
  local place = { pipeline = run.plan.name, label = asked.label, run = run.id, step = key, left = function() return allowance.left(run) end,
    admit = function(model_key)
      allowance.shared(frame, key, function() return service.budgets:crossed { pipeline = run.plan.name, key = model_key } end)
    end,
    used = function(model, usage, usd, estimated) count(run, key, model, usage, estimated, usd) end }
  keep_turn(run, key, asked, estimate)
  local began = clock.now()
  local flow, hear = hearing(emit)
  local response, message, code, detail = service:chat(place, candidates, policy, asked.request, hear, asked.can_roll_back)
  local decision = place.decision or {}
  frame.asked_model = { name = decision.model, why = decision, timing = timing(flow, clock.now() - began) }
  reservation:close()
  run:notify { kind = "model", step = key, model = decision.model, provider = provider_of(candidates, decision.model),
    outcome = response and "ok" or detail and detail.class or code, decision = decision, usage = place.usage, usd = place.usd,
    timing = frame.asked_model.timing }
  if not response then refuse(message, code, detail) end
  run:note_answer(key, decision.model, asked.label)
  return response
end

-- A kept answer comes in one piece.
local function from_cache(frame, key, asked, emit)
  local names = {}
  for index, entry in ipairs((models.of(frame.run.engine):choice(asked.model))) do names[index] = entry.name end
  asked.cache_key = cache.key(names, asked.settings, asked.hashes)
  local response = cache.get(frame.run.engine.store, asked.cache_key, asked.ttl)
  if not response then return nil end
  frame.asked_model = { name = response.model, why = { reason = "kept by `cache`" } }
  frame.run:notify { kind = "model", step = key, model = response.model, is_cached = true }
  if emit and response.message.content ~= "" then emit { text = response.message.content } end
  return response
end

function M.execute(frame, step, key)
  local asked = step.asked
  asked.was_heard = true
  local response = asked.ttl and from_cache(frame, key, asked, asked.emit)
  if not response then
    response = ask(frame, key, asked, asked.emit)
    if asked.ttl then cache.put(frame.run.engine.store, asked.cache_key, value_of.copy(response), asked.ttl) end
  end
  return response
end

return M

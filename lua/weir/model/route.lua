--- Which model answers: asks the policy, calls, and when a model refuses tries again, falls back or gives up, by the class
--- of the refusal (reaction.lua), for as long as time, attempts and models are left. What was given out is never given out
--- twice: after the first word another model is asked only when the one that ran the call says how to go on.

local admission = require "weir.model.admission"
local attempt = require "weir.model.attempt"
local decisions = require "weir.model.decisions"
local default_clock = require "weir.port.clock"
local failure = require "weir.failure"
local keeper = require "weir.model.keeper"
local native = require "weir.native.scheduler"
local random = require "weir.port.random"
local reaction = require "weir.model.reaction"
local statistics = require "weir.model.statistics"

local M = {}

--- What a choice may set, and what holds if it does not.
M.defaults = {
  attempts = 3,         -- at one model
  backoff = 0.5,        -- seconds before the second one, at most; doubled each time
  backoff_max = 30,
  patience = 10,        -- seconds that are waited for a model while another one is ready
  wait_max = 600,       -- seconds that are waited while none is
  all_cooling = "wait", -- or "fail", or "last_resort"
  last_resort = nil,    -- the model that is asked then, whatever stands against it
  hedge = nil,          -- "p95", or seconds: a second call when the first word is later than that
  on = nil,             -- by class an action, or a list of them, over those of reaction.lua
}

local ENOUGH = 3 -- calls with a label before they say more than all of the model's

---@class weir.Router what all calls of a host share
---@field statistics weir.ModelStatistics
---@field admission weir.Admission
---@field decisions weir.Decisions
---@field clock table
local Router = {}
Router.__index = Router

--- What the calls of a host share: statistics, breakers and rates, and the log of choices. Reads the store; does not wait.
---@param store weir.Store|nil
---@param options { clock: table?, draw: (fun(): number)?, breaker: table?, half_life: number? }|nil breaker: options of
---  breaker.lua; half_life: of statistics, in seconds
---@return weir.Router
function M.new(store, options)
  options = options or {}
  local clock = options.clock or default_clock
  local kept = keeper.new(store, clock)
  return setmetatable({ clock = clock, keeper = kept, draw = options.draw or random.float,
    statistics = statistics.new(store, clock, { keeper = kept, half_life = options.half_life }),
    decisions = decisions.new(store, clock, { keeper = kept, draw = options.draw }),
    admission = admission.new(clock, options.breaker) }, Router)
end

--- Writes what is left to the store, and ends. Before the store is closed. Waits. Safe twice.
---@return true|nil
---@return string|nil message
---@return string|nil code
function Router:close()
  return self.keeper:close()
end

-- One call ---------------------------------------------------------------------------------------------

---@class weir.ModelChoice what `call` is given
---@field router weir.Router
---@field candidates weir.ModelCandidate[] a table each, made for this call: their `estimate` is the caller's; `state`, `ready_in`
---  and `running` are put in here
---@field policy { name: string, module: table, state: any } module: of kind policy, serving models; state: what its `setup` returned
---@field label string|nil the task label
---@field options table|nil over `defaults`
---@field left (fun(): { seconds: number?, usd: number?, tokens: number? })|nil what the run has left; nil fields: no limit
---@field emit (fun(delta: table))|nil is given what the winning call streams; may wait
---@field on_choice (fun(decision: weir.ModelDecision))|nil called once, at the end, also of a call that failed
---@field usd (fun(candidate: weir.ModelCandidate, usage: table?): number?)|nil default: by the candidate's price

---@class weir.ModelDecision
---@field model string|nil  that answered, or was asked last; nil: none was asked
---@field ok boolean
---@field policy string
---@field reason string
---@field label string|nil
---@field candidates { name: string, state: string, ready_in: number }[] as they were when the policy was asked first
---@field attempts weir.ModelAttempt[]
---@field waited_s number   between attempts, or for a model to be ready
---@field hedged { model: string, after_s: number, won: boolean, wasted: table?, wasted_usd: number? }|nil

local function options_of(given)
  if not given then return M.defaults end
  local options = {}
  for name, value in pairs(M.defaults) do options[name] = value end
  for name, value in pairs(given or {}) do options[name] = value end
  return options
end

local function begin(choice, request, call)
  return { choice = choice, router = choice.router, request = request, call = call, options = options_of(choice.options),
    views = choice.candidates, counts = {}, used = {}, attempts = {}, outcomes = {}, waited = 0, left = {} }
end

local function refuse(one, code, class, message, ...)
  return { ok = false, code = code, class = class, message = message:format(...), detail = { class = class }, is_final = true, one = one }
end

-- What is usable ----------------------------------------------------------------------------------------

-- Why a model cannot do what is asked; nil: it can, as far as is known.
local function lack_of(view, request)
  local can, limits = view.capabilities, view.limits
  if can and can.tools == false and request.tools and #request.tools > 0 then return "tools" end
  if can and can.schema == false and request.schema then return "schema" end
  if not (limits and limits.context) then return nil end
  local needed = (view.estimate and view.estimate.input_tokens or 0) + (request.max_tokens or 0)
  if needed > limits.context then return "context" end
end

-- Asked as often as it may be (the second of a race counts, too), or not worth asking again.
local function is_used(one, view)
  return one.used[view.name] or (one.counts[view.name] or 0) >= one.options.attempts
end

-- Those that may be asked now, and those that have to be waited for.
local function sort_out(one)
  local ready, waiting, lacks = {}, {}, nil
  local admission_of, now = one.router.admission, one.router.clock.now()
  for _, view in ipairs(one.views) do
    local lack = lack_of(view, one.request)
    if lack then
      view.state, view.ready_in, lacks = "unfit", 0, lack
    else
      admission_of:look(view, now)
      local list = view.ready_in > 0 and waiting or ready
      if not is_used(one, view) then list[#list + 1] = view end
    end
  end
  return ready, waiting, lacks
end

local function snapshot(one)
  local list = {}
  for index, view in ipairs(one.views) do
    list[index] = { name = view.name, state = view.state, ready_in = view.ready_in, running = view.running }
  end
  return list
end

-- What the policy sees ----------------------------------------------------------------------------------

local function metrics_for(one, ready)
  local router, label, of = one.router, one.choice.label, {}
  local known, now = router.statistics, router.clock.wall_ms() / 1000
  for _, view in ipairs(ready) do
    local found = label and known:of(view.name, label, now)
    if not found or found.recent.calls < ENOUGH then found = known:of(view.name, nil, now) end
    of[view.name] = found
  end
  return { now = now, label = label, left = one.left, draw = router.draw, of = of,
    last = known:last(label) }
end

local function in_order(names, ready)
  local by_name, order = {}, {}
  for _, view in ipairs(ready) do by_name[view.name] = view end
  for _, name in ipairs(names) do
    order[#order + 1], by_name[name] = by_name[name], nil
  end
  return order
end

local function log(one, ready, chosen)
  local seen = {}
  for index, view in ipairs(ready) do
    seen[index] = { name = view.name, provider = view.provider, price = view.price, weight = view.weight, running = view.running,
      limits = view.limits, estimate = view.estimate, state = view.state, ready_in = 0 }
  end
  one.logged = { at_ms = one.router.clock.wall_ms(), label = one.choice.label, policy = one.choice.policy.name, chosen = chosen,
    candidates = seen, of = one.metrics.of, left = one.left, outcomes = one.outcomes }
end

local function must_be_list(policy, names)
  if type(names) == "table" then return end
  failure.raise("invalid", "policy '%s': pick has to return a list of names, got %s", policy.name, type(names))
end

-- A policy never waits and keeps the processor; one that raises fails the call, by name.
local function pick(one, ready)
  local policy = one.choice.policy
  local ok, names, reason = pcall(native.atomic, policy.module.pick, ready, one.metrics, one.request, policy.state)
  if ok then return names, reason end
  native.recover()
  local err = failure.of(names)
  failure.raise(err.code, "policy '%s': %s", policy.name, err.message)
end

-- Asks the policy. Only the first choice of a call counts as one.
local function choose(one, ready)
  local policy = one.choice.policy
  one.metrics = metrics_for(one, ready)
  local names, reason = pick(one, ready)
  must_be_list(policy, names)
  local order = in_order(names, ready)
  if #order == 0 then failure.raise("invalid", "policy '%s' has chosen none of %d models that are ready", policy.name, #ready) end
  if not one.reason then
    one.reason, one.seen = reason or "", snapshot(one)
    one.router.statistics:chosen(one.choice.label, order[1].name)
    log(one, ready, order[1].name)
  end
  return order
end

-- Waiting -----------------------------------------------------------------------------------------------

-- What the run has left; a refusal when that is nothing.
local function look_at_budget(one)
  one.left = one.choice.left and one.choice.left() or {}
  local left = one.left
  if left.seconds and left.seconds <= 0 then return refuse(one, "timeout", "timeout", "no time is left to call a model") end
  if left.usd and left.usd <= 0 then return refuse(one, "limit", nil, "no money is left to call a model") end
  if left.tokens and left.tokens <= 0 then return refuse(one, "limit", nil, "no tokens are left to call a model") end
end

local function fits(one, seconds)
  return (not one.left.seconds or seconds < one.left.seconds) and one.waited + seconds <= one.options.wait_max
end

local function pause(one, seconds)
  local began = one.router.clock.now()
  one.router.clock.sleep(seconds)
  one.waited = one.waited + one.router.clock.now() - began
  return look_at_budget(one)
end

local function wait_for(one, view)
  local began = one.router.clock.now()
  one.router.admission:wait(view.ready_in)
  one.waited = one.waited + one.router.clock.now() - began
  return look_at_budget(one)
end

local function soonest_of(waiting)
  local soonest
  for _, view in ipairs(waiting) do
    if not soonest or view.ready_in < soonest.ready_in then soonest = view end
  end
  return soonest
end

local function say_none_is_ready(one, soonest)
  local refusal = refuse(one, "unavailable", "overloaded", "no model is ready; '%s' is the first, in %.1f s (%s)%s", soonest.name,
    soonest.ready_in, soonest.state, one.last and "; the latest failure: " .. one.last.message or "")
  refusal.detail.retry_after = soonest.ready_in
  return refusal
end

-- Judging a refusal --------------------------------------------------------------------------------------

local function can_go_on(one, outcome)
  if not outcome.emitted then return true end
  local resume = outcome.detail.resume
  if outcome.class ~= "cut" or type(resume) ~= "table" then return false end
  one.request = resume
  return true
end

-- What follows: "fail", "next", or the seconds until the same model is tried again.
local function follow_up(one, outcome)
  local actions = reaction.actions(outcome.detail, one.options.on)
  if actions[1] == "fail" or not can_go_on(one, outcome) then return "fail" end
  if actions[1] == "fall_back" then return "next" end
  local tried = one.counts[outcome.view.name]
  if tried >= one.options.attempts then return actions[2] == "fall_back" and "next" or "fail" end
  return reaction.delay(tried, outcome.detail.retry_after, one.options, one.router.draw)
end

-- The loop ------------------------------------------------------------------------------------------------

local function unused(one, order, from)
  local list = {}
  for index = from, #order do
    if not is_used(one, order[index]) then list[#list + 1] = order[index] end
  end
  return list
end

-- Calls one model until it answers, or another one has to be asked (nothing is returned then).
local function try(one, view, others, is_forced)
  while true do
    local pass = one.router.admission:enter(view, is_forced)
    if not pass then return nil end
    one.has_asked = true
    local outcome = attempt.run(one, view, pass, others)
    if outcome.ok then return outcome end
    one.last = outcome
    local follows = follow_up(one, outcome)
    outcome.is_final = follows == "fail"
    if follows == "fail" then return outcome end
    if follows == "next" or not fits(one, follows) then
      one.used[outcome.view.name] = true
      return nil
    end
    if follows > one.options.patience and #others > 0 then return nil end -- it cools down; others are ready
    local refusal = pause(one, follows)
    if refusal then return refusal end
    if outcome.view ~= view then return nil end
  end
end

local function try_all(one, order, is_forced)
  for index, view in ipairs(order) do
    if not is_used(one, view) then
      local outcome = try(one, view, unused(one, order, index + 1), is_forced)
      if outcome then return outcome end
      local refusal = look_at_budget(one)
      if refusal then return refusal end
    end
  end
end

local function last_resort_of(one, waiting)
  for _, view in ipairs(waiting) do
    if view.name == one.options.last_resort then return view end
  end
end

-- Nobody is ready: by option the first is waited for, a last one asked, or the call fails. A model whose places are all
-- taken is waited for in any case.
local function without_ready(one, waiting)
  local soonest = soonest_of(waiting)
  local mode = soonest.state ~= "busy" and one.options.all_cooling or "wait"
  if mode == "last_resort" then
    local view = last_resort_of(one, waiting)
    if not view then return say_none_is_ready(one, soonest) end
    one.metrics = metrics_for(one, { view })
    one.reason, one.seen = one.reason or ("last resort: no model is ready"), one.seen or snapshot(one)
    local outcome = try_all(one, { view }, true)
    one.used[view.name] = true
    return outcome
  end
  if mode == "fail" or not fits(one, soonest.ready_in) then return say_none_is_ready(one, soonest) end
  one.seen = one.seen or snapshot(one)
  return wait_for(one, soonest)
end

local LACKS = { tools = { "invalid", "invalid_request", "offers tools" }, schema = { "invalid", "invalid_request", "keeps to a schema" },
  context = { "limit", "context_length", "takes so much text" } }

local function give_up(one, lack)
  if one.last then return one.last end
  local words = lack and LACKS[lack]
  if words then return refuse(one, words[1], words[2], "none of %d models %s", #one.views, words[3]) end
  return refuse(one, "not_found", "not_found", "there is no model to choose from; name some in `models` of weir.lua")
end

local function run(one)
  local refusal = look_at_budget(one)
  if refusal then return refusal end
  while true do
    local ready, waiting, lack = sort_out(one)
    local outcome
    if #ready > 0 then
      outcome = try_all(one, choose(one, ready))
    elseif #waiting > 0 then
      outcome = without_ready(one, waiting)
    else
      return give_up(one, lack)
    end
    if outcome then return outcome end
  end
end

local function decide(one, outcome)
  local last = one.attempts[#one.attempts]
  return { model = outcome.view and outcome.view.name or last and last.model, ok = outcome.ok, policy = one.choice.policy.name,
    reason = one.reason or "no model was asked", label = one.choice.label, candidates = one.seen or snapshot(one),
    attempts = one.attempts, waited_s = one.waited, hedged = one.hedged }
end

local function finish(one, outcome)
  local decision = decide(one, outcome)
  if one.logged then one.router.decisions:note(one.logged) end
  if one.choice.on_choice then one.choice.on_choice(decision) end
  return decision
end

local function several(one)
  local names, seen = {}, {}
  for _, tried in ipairs(one.attempts) do
    if not seen[tried.model] then
      seen[tried.model] = true
      names[#names + 1] = "'" .. tried.model .. "'"
    end
  end
  if #one.attempts < 2 then return "" end
  return (" (after %d attempts at %s)"):format(#one.attempts, table.concat(names, ", "))
end

local NOTHING = {} -- was asked yet

--- Which models would be asked now, in which order. Nothing is called, counted or logged; a policy that draws may draw otherwise
--- next time. How each model stands is put into its candidate. Does not wait.
---@param choice weir.ModelChoice
---@param request table
---@return string[] names empty when none is ready
---@return string reason
function M.preview(choice, request)
  local one = { choice = choice, router = choice.router, request = request, options = M.defaults, views = choice.candidates,
    counts = NOTHING, used = NOTHING, left = choice.left and choice.left() or NOTHING }
  local ready = sort_out(one)
  if #ready == 0 then return {}, "no model is ready" end
  one.metrics = metrics_for(one, ready)
  local names, reason = pick(one, ready)
  must_be_list(choice.policy, names)
  return names, reason or ""
end

--- Has a model answer. Waits; raises when it is cancelled (every call has ended then).
---@param choice weir.ModelChoice
---@param request table
---@param call fun(candidate: weir.ModelCandidate, request: table, emit: fun(delta: table)): table|nil, string?, string?, table?
---  runs one model once. When it refuses with the class `cut` after something was emitted, and knows how to go on without
---  saying it twice, its detail has `resume`: the request to go on with, at this model or another one
---@return table|nil response
---@return string|nil message
---@return string|nil code that of the latest refusal; `unavailable`: no model is ready; `limit`, `timeout`: nothing is left;
---  `not_found`: no models; `invalid`: no model can do what is asked
---@return table|nil detail { class, attempts, ... }
---@return weir.ModelDecision decision
function M.call(choice, request, call)
  local one = begin(choice, request, call)
  local outcome = run(one)
  local decision = finish(one, outcome)
  if outcome.ok then return outcome.response, nil, nil, nil, decision end
  local detail = outcome.detail
  detail.attempts = one.attempts
  return nil, outcome.message .. several(one), outcome.code, detail, decision
end

return M

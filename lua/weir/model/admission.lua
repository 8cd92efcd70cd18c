--- Whether a model may be called now: its breaker, the cool-down that its server asked for, the rates of its provider, and
--- how many of its calls may run at once. One for all runs of a host, since they share the provider's limits.

local breaker = require "weir.model.breaker"
local default_clock = require "weir.port.clock"
local rates = require "weir.model.rates"
local task = require "weir.task"

local M = {}

local LOOK_AGAIN = 1 -- seconds; when a place becomes free is not known beforehand

---@class weir.ModelCandidate what a policy sees of a model
---@field name string
---@field module string
---@field provider string|nil
---@field price { input: number?, output: number?, cached: number? }|nil usd for 1,000,000 tokens
---@field limits { requests_per_minute: integer?, tokens_per_minute: integer?, concurrency: integer?, context: integer? }|nil
---@field weight number|nil
---@field capabilities { tools: boolean?, schema: boolean?, stream: boolean? }|nil false: it cannot; nil: not known
---@field estimate { input_tokens: integer?, output_tokens: integer? }|nil of this call
---@field state "closed"|"open"|"half_open"|"cooling"|"busy"|"unfit"
---@field ready_in number seconds until it may be called, 0: now
---@field running integer calls under way

---@class weir.ModelPass of a call that was let in
---@field candidate weir.ModelCandidate
---@field tokens number expected
---@field is_probe boolean

---@class weir.Admission
local Admission = {}
Admission.__index = Admission

--- An admission that knows of nothing yet.
---@param clock table|nil now()
---@param options table|nil of breakers (breaker.lua)
---@return weir.Admission
function M.new(clock, options)
  return setmetatable({ clock = clock or default_clock, options = options, breakers = {}, rates = rates.new(), running = {},
    waiters = {} }, Admission)
end

local function breaker_of(self, name)
  local found = self.breakers[name]
  if found then return found end
  found = breaker.new(self.options)
  self.breakers[name] = found
  return found
end

local function tokens_of(candidate)
  local estimate = candidate.estimate
  return estimate and (estimate.input_tokens or 0) + (estimate.output_tokens or 0) or 0
end

local function is_busy(self, candidate, limit)
  return limit ~= nil and (self.running[candidate.name] or 0) >= limit
end

local function state_of(self, candidate, now)
  local one, limits = breaker_of(self, candidate.name), candidate.limits
  local state, ready_in = one:state(now)
  if ready_in > 0 then return state, ready_in end
  if state == "half_open" and one.probing then return "busy", LOOK_AGAIN end
  if not limits then return state, 0 end
  if is_busy(self, candidate, limits.concurrency) then return "busy", LOOK_AGAIN end
  local wait = self.rates:ready_in(candidate, tokens_of(candidate), now)
  if wait > 0 then return "cooling", wait end
  return state, 0
end

--- Puts into a candidate how it stands: `state`, `ready_in`, `running`. Does not wait.
---@param candidate weir.ModelCandidate
---@param now number|nil of the clock, for who looks at many
function Admission:look(candidate, now)
  candidate.state, candidate.ready_in = state_of(self, candidate, now or self.clock.now())
  candidate.running = self.running[candidate.name] or 0
end

--- Lets a call begin, or does not. Every call that was let in has to `leave`. Does not wait.
---@param candidate weir.ModelCandidate
---@param is_forced boolean|nil lets it in whatever stands against it, but for how many may run at once
---@return weir.ModelPass|nil
---@return number|nil ready_in seconds
function Admission:enter(candidate, is_forced)
  local now, name = self.clock.now(), candidate.name
  local state, ready_in = state_of(self, candidate, now)
  if ready_in > 0 and (not is_forced or state == "busy") then return nil, ready_in end
  local _, is_probe = breaker_of(self, name):admit(now)
  self.rates:take(candidate, tokens_of(candidate), now)
  self.running[name] = (self.running[name] or 0) + 1
  return { candidate = candidate, tokens = tokens_of(candidate), is_probe = is_probe }
end

--- Ends a call that was let in. Does not wait.
---@param pass weir.ModelPass
---@param outcome { ok: boolean, class: string?, retry_after: number?, tokens: integer? } tokens: used, when known
function Admission:leave(pass, outcome)
  local now, name = self.clock.now(), pass.candidate.name
  self.running[name] = self.running[name] > 1 and self.running[name] - 1 or nil
  local one = breaker_of(self, name)
  one:done(now, outcome.ok, outcome.class, pass.is_probe)
  if outcome.retry_after and outcome.retry_after > 0 then one:cool_down(now, outcome.retry_after) end
  if outcome.tokens then self.rates:settle(pass.candidate, pass.tokens, outcome.tokens, now) end
  local waiters = self.waiters
  self.waiters = {}
  for _, waiter in ipairs(waiters) do waiter:wake(true) end
end

-- However the wait ends, whoever has waited is not woken any more.
local function forget(waiters, waiter)
  for index, one in ipairs(waiters) do
    if one == waiter then return table.remove(waiters, index) end
  end
end

--- Keeps calls away from a model for a while, whatever it answers: somebody has opened its breaker. Does not wait.
---@param name string
---@param seconds number 0: calls may pass again
function Admission:hold(name, seconds)
  breaker_of(self, name).cooling_until = self.clock.now() + seconds
end

--- Waits until a call has left, or the time is over.
---@param seconds number
function Admission:wait(seconds)
  local waiter = task.waiter()
  local _ <close> = setmetatable({}, { __close = function() forget(self.waiters, waiter) end })
  table.insert(self.waiters, waiter)
  waiter:wait("a model to be ready", seconds)
end

return M

--- A circuit breaker: keeps calls away from a model that fails, and tries it again with single calls after a while.
---
---   closed     every call may pass; the outcomes of the last minute are counted
---   open       no call passes until the cool-down is over
---   half_open  one call at a time passes, a probe; some that work close it, one that fails opens it again, for twice as
---              long
---   cooling    the server asked for a pause (Retry-After): as open, but it says nothing about the model's health
---
--- Source: the pattern of Nygard, "Release It!", 2nd edition, 2018, with a window of outcomes in place of a count.
--- Pure; the caller says what time it is. Never waits.

local M = {}

local BUCKETS = 10

M.defaults = {
  window = 60,   -- seconds whose calls count
  minimum = 10,  -- fewer calls than that say nothing
  rate = 0.5,    -- share of failures that opens it
  cool = 60,     -- seconds it is open at first
  cool_max = 600,
  probes = 3,    -- that have to work in a row
}

-- What says that the model or the way to it is ill. A request that is wrong, too long or refused is not, nor a call
-- that was cancelled; a rate limit has a cool-down of its own.
local COUNTS = { server = true, overloaded = true, timeout = true, connection = true, protocol = true, cut = true, not_found = true }

---@class weir.Breaker
local Breaker = {}
Breaker.__index = Breaker

--- A breaker that is closed.
---@param options table|nil over `defaults`
---@return weir.Breaker
function M.new(options)
  local self = { buckets = {}, opened = 0, until_s = 0, cooling_until = 0, probing = false, passed = 0 }
  for name, value in pairs(M.defaults) do self[name] = options and options[name] or value end
  return setmetatable(self, Breaker)
end

--- Whether failures of a class count against a model.
---@param class string|nil
---@return boolean
function M.counts(class)
  return COUNTS[class] == true
end

--- How it stands.
---@param now number seconds
---@return "closed"|"open"|"half_open"|"cooling" state
---@return number ready_in seconds until a call may pass; 0: now
function Breaker:state(now)
  if now < self.cooling_until then return "cooling", math.max(self.cooling_until, self.until_s) - now end
  if self.opened == 0 then return "closed", 0 end
  if now < self.until_s then return "open", self.until_s - now end
  return "half_open", 0
end

--- Lets a call pass, or does not.
---@param now number seconds
---@return boolean passed
---@return boolean is_probe
function Breaker:admit(now)
  local state, ready_in = self:state(now)
  if ready_in > 0 then return false, false end
  if state ~= "half_open" then return true, false end
  if self.probing then return false, false end
  self.probing = true
  return true, true
end

local function bucket_of(self, now)
  local number = math.floor(now / (self.window / BUCKETS))
  local place = number % BUCKETS
  local bucket = self.buckets[place]
  if not bucket or bucket.number ~= number then
    bucket = { number = number, calls = 0, failures = 0 }
    self.buckets[place] = bucket
  end
  return bucket, number
end

local function open(self, now)
  self.opened, self.passed, self.buckets = self.opened + 1, 0, {}
  self.until_s = now + math.min(self.cool_max, self.cool * 2 ^ (self.opened - 1))
end

local function close(self)
  self.opened, self.passed, self.buckets = 0, 0, {}
end

local function end_probe(self, now, ok, counts)
  self.probing = false
  if counts then return open(self, now) end
  if not ok then return end
  self.passed = self.passed + 1
  if self.passed >= self.probes then close(self) end
end

local function is_ill(self, number)
  local calls, failures = 0, 0
  for _, bucket in pairs(self.buckets) do
    if bucket.number > number - BUCKETS then calls, failures = calls + bucket.calls, failures + bucket.failures end
  end
  return calls >= self.minimum and failures >= self.rate * calls
end

--- Notes how a call that had passed has ended. Of a call that had passed before it was opened nothing is learnt.
---@param now number seconds
---@param ok boolean
---@param class string|nil of the failure
---@param is_probe boolean|nil as `admit` said
function Breaker:done(now, ok, class, is_probe)
  local counts = not ok and M.counts(class)
  if is_probe then return end_probe(self, now, ok, counts) end
  if self.opened > 0 or not (ok or counts) then return end
  local bucket, number = bucket_of(self, now)
  bucket.calls = bucket.calls + 1
  if counts then bucket.failures = bucket.failures + 1 end
  if counts and is_ill(self, number) then open(self, now) end
end

--- Keeps calls away for a while, as the server asked.
---@param now number seconds
---@param seconds number
function Breaker:cool_down(now, seconds)
  self.cooling_until = math.max(self.cooling_until, now + seconds)
end

return M

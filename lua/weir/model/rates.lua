--- Limits of requests and of tokens a minute: token buckets, one of each kind for a provider's limits. Models of one
--- provider that have the same limits share them; one with limits of its own has its own.
---
--- Source: the token bucket of RFC 2697's kind: a minute's worth at most, filled evenly. The tokens of a call are an
--- estimate when it begins, and what they were is put right when it has ended. Pure; the caller says what time it is.

local M = {}

local MINUTE = 60

---@class weir.Rates
local Rates = {}
Rates.__index = Rates

--- Rates with nothing used.
---@return weir.Rates
function M.new()
  return setmetatable({ buckets = {} }, Rates)
end

local function bucket_of(self, name, per_minute, now)
  local bucket = self.buckets[name]
  if not bucket then
    bucket = { level = per_minute, at = now, per_minute = per_minute }
    self.buckets[name] = bucket
  end
  bucket.level = math.min(per_minute, bucket.level + math.max(0, now - bucket.at) * per_minute / MINUTE)
  bucket.at = now
  return bucket
end

local function buckets_of(self, candidate, now)
  local limits = candidate.limits
  local requests, tokens = limits and limits.requests_per_minute, limits and limits.tokens_per_minute
  if not requests and not tokens then return nil end
  local name = ("%s %s %s"):format(candidate.provider or candidate.name, requests or "-", tokens or "-")
  return requests and bucket_of(self, "requests " .. name, requests, now), tokens and bucket_of(self, "tokens " .. name, tokens, now)
end

-- More than the bucket holds can never be there: such a call goes when it is full.
local function wait_of(bucket, wanted)
  if not bucket then return 0 end
  local lack = math.min(wanted, bucket.per_minute) - bucket.level
  return lack > 1e-9 and lack * MINUTE / bucket.per_minute or 0
end

--- Seconds until a call may go; 0: now.
---@param candidate weir.ModelCandidate
---@param tokens number expected of the call
---@param now number seconds
---@return number
function Rates:ready_in(candidate, tokens, now)
  local requests_bucket, tokens_bucket = buckets_of(self, candidate, now)
  return math.max(wait_of(requests_bucket, 1), wait_of(tokens_bucket, tokens))
end

--- Counts a call that goes.
function Rates:take(candidate, tokens, now)
  local requests_bucket, tokens_bucket = buckets_of(self, candidate, now)
  if requests_bucket then requests_bucket.level = requests_bucket.level - 1 end
  if tokens_bucket then tokens_bucket.level = tokens_bucket.level - tokens end
end

--- Puts right what was an estimate.
---@param candidate weir.ModelCandidate
---@param expected number
---@param used number
---@param now number
function Rates:settle(candidate, expected, used, now)
  local _, tokens_bucket = buckets_of(self, candidate, now)
  if tokens_bucket then tokens_bucket.level = math.min(tokens_bucket.per_minute, tokens_bucket.level + expected - used) end
end

return M

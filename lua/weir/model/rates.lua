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
  return setmetatable({ buckets = {}, of = {} }, Rates)
end

local function bucket_of(self, name, per_minute, now)
  local bucket = self.buckets[name]
  if not bucket then
    bucket = { level = per_minute, at = now, per_minute = per_minute }
    self.buckets[name] = bucket
  end
  return bucket
end

local function fill(bucket, now)
  local level = bucket.level + (now - bucket.at) * bucket.per_minute / MINUTE
  bucket.level, bucket.at = level < bucket.per_minute and level or bucket.per_minute, now
end

local function is_of(found, candidate, limits)
  return found and found.provider == candidate.provider and found.per_minute == limits.requests_per_minute
    and found.tokens_per_minute == limits.tokens_per_minute
end

local function find(self, candidate, limits, now)
  local requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
  local name = ("%s %s %s"):format(candidate.provider or candidate.name, requests or "-", tokens or "-")
  local found = { provider = candidate.provider, per_minute = requests, tokens_per_minute = tokens,
    requests = requests and bucket_of(self, "requests " .. name, requests, now),
    tokens = tokens and bucket_of(self, "tokens " .. name, tokens, now) }
  self.of[candidate.name] = found
  return found
end

-- The buckets of a candidate, which are found once, and again when its limits have changed. Models of one provider are looked
-- at in one moment, so most are filled already.
local function buckets_of(self, candidate, now)
  local limits = candidate.limits
  if not limits or not (limits.requests_per_minute or limits.tokens_per_minute) then return nil end
  local found = self.of[candidate.name]
  if not is_of(found, candidate, limits) then found = find(self, candidate, limits, now) end
  local requests, tokens = found.requests, found.tokens
  if requests and now > requests.at then fill(requests, now) end
  if tokens and now > tokens.at then fill(tokens, now) end
  return requests, tokens
end

-- More than the bucket holds can never be there: such a call goes when it is full.
local function wait_of(bucket, wanted)
  local lack = (wanted < bucket.per_minute and wanted or bucket.per_minute) - bucket.level
  return lack > 1e-9 and lack * MINUTE / bucket.per_minute or 0
end

--- Seconds until a call may go; 0: now.
---@param candidate weir.ModelCandidate
---@param tokens number expected of the call
---@param now number seconds
---@return number
function Rates:ready_in(candidate, tokens, now)
  local requests_bucket, tokens_bucket = buckets_of(self, candidate, now)
  local for_requests = requests_bucket and wait_of(requests_bucket, 1) or 0
  local for_tokens = tokens_bucket and wait_of(tokens_bucket, tokens) or 0
  return for_requests > for_tokens and for_requests or for_tokens
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

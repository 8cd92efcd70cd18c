--- Whether one version fails more often than another: Fisher's exact test, one-sided, on the two-by-two table of calls that finished
--- and calls that failed (Fisher, "The Design of Experiments", 1935, section 11: the hypergeometric distribution of one cell when all
--- margins are given). Exact for any numbers, so also for the few calls that a new version has at first. Pure.

local M = {}

local log_factorials = { [0] = 0 }

local function log_factorial(n)
  for k = #log_factorials + 1, n do log_factorials[k] = log_factorials[k - 1] + math.log(k) end
  return log_factorials[n]
end

local function log_choose(n, k)
  return log_factorial(n) - log_factorial(k) - log_factorial(n - k)
end

--- How probable it is that the new version has at least so many of the failures if it fails no more often than the old one.
---@param old { ok: integer, failed: integer }
---@param new { ok: integer, failed: integer }
---@return number p 0..1; 1 when nothing failed, or there is nothing to compare with
function M.worse(old, new)
  local calls, others = new.ok + new.failed, old.ok + old.failed
  local failed = new.failed + old.failed
  if failed == 0 or calls == 0 or others == 0 then return 1 end
  local all = log_choose(calls + others, failed)
  local p = 0
  for k = new.failed, math.min(failed, calls) do
    if failed - k <= others then p = p + math.exp(log_choose(calls, k) + log_choose(others, failed - k) - all) end
  end
  return math.min(1, p)
end

--- How probable it is that a version which fails at a given rate has at least so many failures (binomial, one-sided): what is asked
--- where there are no calls of an old version to compare with.
---@param rate number 0..1
---@param new { ok: integer, failed: integer }
---@return number p 0..1
function M.exceeds(rate, new)
  local calls, p = new.ok + new.failed, 0
  if new.failed == 0 or rate >= 1 then return 1 end
  if rate <= 0 then return 0 end
  for k = new.failed, calls do
    p = p + math.exp(log_choose(calls, k) + k * math.log(rate) + (calls - k) * math.log(1 - rate))
  end
  return math.min(1, p)
end

--- The numbers of calls of a new version at which it is looked at: the least, then twice as many each time, and all. To look often
--- and stop at the first bad look would find too many versions bad; so there are few looks, and each has its part of the error.
---@param minimum integer
---@param calls integer
---@return integer[]
function M.looks(minimum, calls)
  local looks, at = {}, minimum
  while at < calls do
    looks[#looks + 1], at = at, at * 2
  end
  looks[#looks + 1] = calls
  return looks
end

--- What is to become of a new version, when it is to be looked at now. The error of the first kind (to roll back a version that is
--- no worse) is at most `alpha` over all looks: each is tested at alpha divided by their number (Bonferroni).
---@param options { minimum: integer, calls: integer, alpha: number, baseline: number } baseline: the rate of failures against which
---   the new version is held when the old one has had no calls
---@param old { ok: integer, failed: integer }
---@param new { ok: integer, failed: integer }
---@param looked integer calls of the new version at the last look; 0
---@return "promote"|"rollback"|nil
---@return integer looked
---@return number|nil p of this look
function M.judge(options, old, new, looked)
  local looks, calls, due = M.looks(options.minimum, options.calls), new.ok + new.failed, 0
  for _, at in ipairs(looks) do
    if at <= calls then due = at end
  end
  if due <= looked then return nil, looked end
  local has_others = old.ok + old.failed > 0
  local p = has_others and M.worse(old, new) or M.exceeds(options.baseline, new)
  if p < options.alpha / #looks then return "rollback", due, p end
  return due >= options.calls and "promote" or nil, due, p
end

return M

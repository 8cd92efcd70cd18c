--- The model with the best reward, learnt from what comes back; one that is little known, or was not called for long, is
--- tried now and then.
---
---   reward = success * (quality * Q + latency * L + cost * C) / (quality + latency + cost)
---
--- Q is the mean score of critics and people; L and C are the time and the money of the best model as a share of this one's.
--- A part of which nobody knows anything is left out; a model of which a part is not known gets the best of the others,
--- which makes it worth a try.
---
--- Source: Thompson sampling with Gaussian draws, Agrawal and Goyal, "Further Optimal Regret Bounds for Thompson Sampling",
--- AISTATS 2013: a model's reward is drawn from a normal distribution around its mean that narrows with what is known.
--- What is known decays by calls (the statistics keep the last ten or so) and by time (`half_life`), as in Raj and Kalyani,
--- "Taming Non-stationary Bandits: A Bayesian Approach", 2017. A bad name is forgotten more slowly (`forget`).
---
--- It does not flap. At most `switches` changes of model fall into a minute, as far as it is up to the policy; a model
--- stays until another is better by `margin`; and one that is not known to be better is tried only after `explore` seconds
--- without a change. The price: a model that degrades within a minute after such a try may be kept until the minute is over.

local price = require "weir.model.price"

local M = {
  kind = "policy", name = "bandit", api = 1, serves = "models",
  doc = "The model with the best reward, learnt from critics, people, time and money",
  options = {
    quality = { type = "number", minimum = 0, default = 1 },
    latency = { type = "number", minimum = 0, default = 0.2 },
    cost = { type = "number", minimum = 0, default = 0.1 },
    half_life = { type = "number", exclusiveMinimum = 0, default = 300 },  -- seconds; of what the latest calls say
    forget = { type = "number", exclusiveMinimum = 0, default = 3600 },    -- seconds; of what all calls say
    spread = { type = "number", minimum = 0, default = 0.15 },             -- standard deviation of one reward
    margin = { type = "number", minimum = 0, default = 0.03 },
    switches = { type = "integer", minimum = 1, default = 2 },             -- in a minute
    explore = { type = "number", minimum = 0, default = 300 },             -- seconds
  },
}

local max, sqrt, log, cos, sin, pi = math.max, math.sqrt, math.log, math.cos, math.sin, math.pi

local MINUTE = 60
local BEFORE = 2     -- what all calls say counts as so many
local HOPE = 0.1     -- and as so many calls that went as well as anybody's
local FREE = 0.000001    -- usd; nothing costs less than that in a comparison
local INSTANT = 0.000001 -- seconds; and nothing takes less

--- Keeps the options, which `pick` is not given. What it learns stands in the statistics, so a reload loses nothing.
---@param options table
---@return table state
function M.setup(options)
  local state = { arms = {} }
  for name in pairs(M.options) do state[name] = options[name] end
  return state
end

-- How much the latest calls, and all, weigh now.
local function weights_of(metrics, state)
  local idle = metrics.idle_s
  if not idle then return 0, 0 end
  return 2 ^ (-idle / state.half_life), BEFORE * 2 ^ (-idle / state.forget)
end

local function mean(recent, count, slow, weight, best)
  if not recent and not slow then return best end
  local sum, n = best * HOPE, HOPE
  if recent and count > 0 then sum, n = sum + recent * count, n + count end
  if slow then sum, n = sum + slow * weight, n + weight end
  return sum / n
end

-- An arm for each candidate, and the best that is known of any. The arms of the choice before are used again: a choice is
-- made often, and new tables are what it would cost most.
local function first_look(candidates, of, arms)
  local best_score, best_seconds, best_usd
  for index = 1, #candidates do
    local candidate = candidates[index]
    local metrics, arm = of[candidate.name], arms[index]
    local recent = metrics.recent
    local score, seconds, usd = recent.score or metrics.score, recent.seconds or metrics.total_p50, price.expected(candidate, metrics)
    if score and (not best_score or score > best_score) then best_score = score end
    if seconds and (not best_seconds or seconds < best_seconds) then best_seconds = max(seconds, INSTANT) end
    if usd and (not best_usd or usd < best_usd) then best_usd = max(usd, FREE) end
    if not arm then
      arm = { mean = 0, n = 0, drawn = 0 }
      arms[index] = arm
    end
    arm.name, arm.metrics, arm.usd, arm.is_new = candidate.name, metrics, usd, metrics.calls == 0
  end
  for index = #candidates + 1, #arms do arms[index] = nil end
  return best_score, best_seconds, best_usd
end

-- What the best one needs as a share of what this one needs, which is taken for `least` at least.
local function share(best, own, least)
  if own < least then own = least end
  return best < own and best / own or 1
end

-- What a model's calls are worth on the whole, and how many of them that rests on.
local function value(arm, state, best_score, best_seconds, best_usd)
  local metrics = arm.metrics
  local recent, fresh, slow = metrics.recent, weights_of(metrics, state)
  local count, sum, weights = recent.calls * fresh, 0, 0
  if best_score and state.quality > 0 then
    sum = state.quality * mean(recent.score, recent.scores * fresh, metrics.score, slow, best_score)
    weights = state.quality
  end
  if best_seconds and state.latency > 0 then
    local seconds = mean(recent.seconds, count, metrics.total_p50, slow, best_seconds)
    sum, weights = sum + state.latency * share(best_seconds, seconds, INSTANT), weights + state.latency
  end
  if best_usd and state.cost > 0 then
    sum, weights = sum + state.cost * share(best_usd, arm.usd or best_usd, FREE), weights + state.cost
  end
  local success = mean(recent.success, count, metrics.success, slow, 1)
  arm.mean, arm.n = success * (weights > 0 and sum / weights or 1), count + slow
end

-- Whether the latest calls are worse than all: no time for trying others out, since that would use up the changes of a minute.
local function is_falling(metrics, margin)
  local recent, score, success = metrics.recent, metrics.score, metrics.success
  return recent.score ~= nil and score ~= nil and recent.score < score - margin
    or recent.success ~= nil and success ~= nil and recent.success < success - margin
end

-- Box and Muller's way from two even draws to two normal ones.
local function normals(draw)
  local radius, angle = sqrt(-2 * log(1 - draw())), 2 * pi * draw()
  return radius * cos(angle), radius * sin(angle)
end

local function is_before(a, b)
  if a.drawn ~= b.drawn then return a.drawn > b.drawn end
  return a.name < b.name
end

local function arms_of(candidates, metrics, state)
  local arms = state.arms
  local best_score, best_seconds, best_usd = first_look(candidates, metrics.of, arms)
  local normal, spare
  for index = 1, #arms do
    local arm = arms[index]
    value(arm, state, best_score, best_seconds, best_usd)
    if spare then normal, spare = spare, nil else normal, spare = normals(metrics.draw) end
    arm.drawn = arm.mean + state.spread / sqrt(1 + arm.n) * normal
  end
  table.sort(arms, is_before)
  return arms
end

local function switches_within(last, seconds)
  local count = 0
  for _, age in ipairs(last.ages) do
    if age < seconds then count = count + 1 end
  end
  return count
end

-- Why the one that was chosen last is left for another; nil: it is not.
local function reason_to_leave(arm, other, last, state)
  if other.drawn <= arm.drawn + state.margin then return nil end
  if other.mean > arm.mean + state.margin then return "is better" end
  if other.is_new then return "was never tried" end
  if switches_within(last, state.explore) == 0 and not is_falling(arm.metrics, state.margin) then return "is tried again" end
end

local function best_by_mean(arms)
  local best = arms[1]
  for _, arm in ipairs(arms) do
    if arm.mean > best.mean then best = arm end
  end
  return best
end

-- The last change of a minute leads to where it is best to stay.
local function change_to(arms, current, last, state)
  local left = state.switches - switches_within(last, MINUTE)
  if left <= 0 then return nil end
  if left == 1 and state.switches > 1 then
    local best = best_by_mean(arms)
    if best.mean > current.mean + state.margin and best.drawn > current.drawn then return best, "is better" end
    return nil
  end
  for _, other in ipairs(arms) do
    local why = other ~= current and reason_to_leave(current, other, last, state)
    if why then return other, why end
  end
end

local function first_of(arms, last, state)
  local current
  for _, arm in ipairs(arms) do
    if last and arm.name == last.name then current = arm end
  end
  if not current then return arms[1], last and "takes over" or "is the first" end
  local other, why = change_to(arms, current, last, state)
  if other then return other, why end
  return current, "stays"
end

--- Chooses by drawn rewards; the others follow as fallbacks, by theirs. Pure but for the draws; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { of: table<string, weir.ModelMetrics>, draw: fun(): number, last: { name: string, ages: number[] }? }
---@param _ table request, not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, metrics, _, state)
  local arms = arms_of(candidates, metrics, state)
  local first, why = first_of(arms, metrics.last, state)
  local names, next_arm = { first.name }, nil
  for _, arm in ipairs(arms) do
    if arm ~= first then
      names[#names + 1] = arm.name
      next_arm = next_arm or arm
    end
  end
  if not next_arm then return names, ("'%s' %s: reward %.2f"):format(first.name, why, first.mean) end
  return names, ("'%s' %s: reward %.2f; next '%s' %.2f"):format(first.name, why, first.mean, next_arm.name, next_arm.mean)
end

return M

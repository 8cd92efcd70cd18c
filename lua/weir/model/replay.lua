--- What another policy would have chosen, and about what it would have cost: asked again of every logged choice, with what
--- the policy saw then.
---
--- Where it chooses what was chosen, what really came of it counts. Elsewhere the mean of what that model did in the log
--- counts, of the same label if there is any, else of all. Source: the direct method, Dudik, Langford and Li, "Doubly Robust
--- Policy Evaluation and Learning", ICML 2011. Not inverse propensity: most of these policies choose the same in the same
--- situation, so what they did not choose has no probability to divide by.
---
--- Its limits: it takes the calls that a model was given for typical of those that it was not given; a model that was
--- never asked has no mean, and such choices are left out on both sides and counted as unknown; what the statistics would
--- have become if the other policy had been at work, nobody knows.

local M = {}

local function mean_of(means, key)
  local found = means[key]
  if not found then
    found = { calls = 0, ok = 0, seconds = 0, usd = 0, priced = 0 }
    means[key] = found
  end
  return found
end

local function add(mean, outcome)
  mean.calls, mean.seconds = mean.calls + 1, mean.seconds + outcome.seconds
  if outcome.ok then mean.ok = mean.ok + 1 end
  if outcome.usd then mean.usd, mean.priced = mean.usd + outcome.usd, mean.priced + 1 end
end

local function means_of(decisions, since_ms)
  local means = {}
  for choice in decisions:each(since_ms) do
    for _, outcome in ipairs(choice.outcomes) do
      if outcome.class ~= "cancelled" then
        add(mean_of(means, outcome.model), outcome)
        if choice.label then add(mean_of(means, outcome.model .. "\t" .. choice.label), outcome) end
      end
    end
  end
  return means
end

-- What is expected of a model: share of success, seconds, usd (nil: unknown).
local function expected(means, name, label)
  local mean = label and means[name .. "\t" .. label] or means[name]
  if not mean or mean.calls == 0 then return nil end
  return { ok = mean.ok / mean.calls, seconds = mean.seconds / mean.calls, usd = mean.priced > 0 and mean.usd / mean.priced or nil }
end

local function happened(choice)
  for _, outcome in ipairs(choice.outcomes) do
    if outcome.model == choice.chosen and outcome.class ~= "cancelled" then
      return { ok = outcome.ok and 1 or 0, seconds = outcome.seconds, usd = outcome.usd }
    end
  end
end

local function new_sums()
  return { choices = 0, ok = 0, seconds = 0, usd = 0, priced = 0, score = 0, scored = 0, by_model = {} }
end

local function count(sums, choice, name, result)
  local score = choice.of[name] and choice.of[name].score
  sums.choices, sums.ok, sums.seconds = sums.choices + 1, sums.ok + result.ok, sums.seconds + result.seconds
  if result.usd then sums.usd, sums.priced = sums.usd + result.usd, sums.priced + 1 end
  if score then sums.score, sums.scored = sums.score + score, sums.scored + 1 end
  sums.by_model[name] = (sums.by_model[name] or 0) + 1
end

-- Which model the other policy had chosen last, by label, had it been at work.
local function last_of(lasts, choice)
  local last = lasts[choice.label or ""]
  if not last then return nil end
  local ages = {}
  for index, at_ms in ipairs(last.switches) do ages[index] = (choice.at_ms - at_ms) / 1000 end
  return { name = last.name, since_s = (choice.at_ms - last.since) / 1000, ages = ages }
end

local function note_last(lasts, choice, name)
  local label = choice.label or ""
  local last = lasts[label]
  if last and last.name == name then return end
  local switches = last and table.move(last.switches, 1, 7, 2, { choice.at_ms }) or {}
  lasts[label] = { name = name, since = choice.at_ms, switches = switches }
end

local function ask(policy, choice, lasts, draw)
  local names = policy.module.pick(choice.candidates, { now = choice.at_ms / 1000, label = choice.label, left = choice.left or {},
    of = choice.of, last = last_of(lasts, choice), draw = draw }, {}, policy.state)
  note_last(lasts, choice, names[1])
  return names[1]
end

-- Lists of the choices of one day each, in order of time.
local function days_of(decisions, since_ms)
  local each, ahead = decisions:each(since_ms), nil
  return function()
    local list, day = {}, nil
    while true do
      local choice = ahead or each()
      ahead = nil
      if not choice then break end
      local its_day = choice.at_ms // 86400000
      day = day or its_day
      if its_day ~= day then
        ahead = choice
        break
      end
      list[#list + 1] = choice
    end
    table.sort(list, function(a, b) return a.at_ms < b.at_ms end)
    return #list > 0 and list or nil
  end
end

local function replay_one(self, choice)
  local name = ask(self.policy, choice, self.lasts, self.draw)
  local was = happened(choice)
  local would = name == choice.chosen and was or expected(self.means, name, choice.label)
  if not was or not would then
    self.unknown = self.unknown + 1
    return
  end
  if name == choice.chosen then self.same = self.same + 1 end
  count(self.was, choice, choice.chosen, was)
  count(self.would, choice, name, would)
end

local function ratio(sum, n)
  if n > 0 then return sum / n end
end

local function summary(sums)
  return { success = ratio(sums.ok, sums.choices), seconds = ratio(sums.seconds, sums.choices), usd = sums.priced > 0 and sums.usd or nil,
    usd_per_call = ratio(sums.usd, sums.priced), score = ratio(sums.score, sums.scored), by_model = sums.by_model }
end

---@class weir.Replayed
---@field choices integer  that could be compared
---@field same integer     of these, that the other policy makes too
---@field unknown integer  left out: nothing is known of the model that it would have asked
---@field was table        { success, seconds, usd, usd_per_call, score, by_model }: means of first calls, but for usd, a sum
---@field would table

--- Asks a policy what it would have chosen. Reads the log; does not wait.
---@param decisions weir.Decisions
---@param since_ms integer
---@param policy { name: string, module: table, state: any }
---@param draw fun(): number
---@return weir.Replayed
function M.replay(decisions, since_ms, policy, draw)
  local self = { policy = policy, draw = draw, means = means_of(decisions, since_ms), lasts = {}, same = 0, unknown = 0,
    was = new_sums(), would = new_sums() }
  for list in days_of(decisions, since_ms) do
    for _, choice in ipairs(list) do replay_one(self, choice) end
  end
  return { choices = self.was.choices, same = self.same, unknown = self.unknown, was = summary(self.was), would = summary(self.would) }
end

return M

--- What calls of models were like: per model, and per model and task label, how often they worked, how they failed, how
--- long they took, what they cost, and how good critics and people found what came of them.
---
--- An entry has a fixed size. It holds three memories of different length:
---   the last 24 hours   a ring of one bucket an hour: counts of calls, failures by class, tokens, money
---   decayed             weights that halve every hour (options.half_life): shares, means, and the quantiles of two
---                       sketches (sketch.lua). Source of the decay: forward decay, Cormode, Shkapenyuk, Srivastava and Xu,
---                       "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009: a new sample weighs
---                       2^((t - landmark) / half-life), so nothing old has to be touched, and what is a ratio (a mean, a
---                       quantile) does not change while nothing comes in
---   recent              the last ten calls or so: each new one makes the others count 0.9 times as much, as discounted
---                       Thompson sampling does (Raj and Kalyani, "Taming Non-stationary Bandits: A Bayesian Approach", 2017)
---
--- The store has them in the space `models.statistics`, written together every two seconds (keeper.lua).

local default_clock = require "weir.port.clock"
local json = require "weir.native.json"
local keeper = require "weir.model.keeper"
local sketch = require "weir.model.sketch"

local M = { space = "models.statistics" }

local HOURS, HOUR = 24, 3600
local HALF_LIFE = 3600        -- seconds
local DISCOUNT = 0.9          -- of a recent call, by each that follows
local RECENT_HALF_LIFE = 3600 -- seconds; and by the time that passes
local RESCALE = 2 ^ 40        -- a landmark moves before weights grow beyond what a float tells apart
local ENTRIES_MAX = 4096
local SWITCHES = 8            -- moments of switches that are kept of each label
local PERSON_WEIGHT = 3       -- a person's score counts as so many of a critic
local PAGE = 500

---@class weir.ModelSample
---@field model string
---@field label string|nil
---@field ok boolean
---@field class string|nil        of a failure; `cancelled` counts neither for nor against the model
---@field at_ms integer|nil       default: now
---@field first_token_s number|nil
---@field total_s number
---@field output_tokens integer|nil
---@field input_tokens integer|nil
---@field usd number|nil          nil: unknown
---@field score number|nil        0 to 1

---@class weir.ModelMetrics of the last 24 hours: calls, classes, scores, usd; all else is decayed
---@field calls integer
---@field success number|nil      share, 0 to 1; nil: never called
---@field classes table<string, integer>
---@field first_token_p50 number|nil seconds
---@field first_token_p95 number|nil
---@field total_p50 number|nil       seconds, of calls that worked
---@field total_p95 number|nil
---@field tokens_per_second number|nil
---@field usd_per_call number|nil  of the calls whose cost is known
---@field usd number|nil           of the last 24 hours
---@field score number|nil         mean of critics' and people's, a person's counting three times
---@field scores integer
---@field idle_s number|nil        seconds since the last sample; nil: there was none
---@field recent { calls: number, success: number?, seconds: number?, score: number?, scores: number } calls and scores: at most 10

---@class weir.ModelStatistics
local Statistics = {}
Statistics.__index = Statistics

-- Entries --------------------------------------------------------------------------------------------

local SUMS = { "calls", "ok", "usd", "usd_calls", "tokens", "tokens_s", "score", "score_weight" }
local RECENT = { "calls", "ok", "seconds", "timed", "score", "scored" }

local function zeros(names)
  local sums = {}
  for _, name in ipairs(names) do sums[name] = 0 end
  return sums
end

local function new_entry(model, label, now)
  return { model = model, label = label, landmark = now, at = now, sums = zeros(SUMS), recent = zeros(RECENT), hours = {},
    first = sketch.new(), total = sketch.new() }
end

local function key_of(model, label)
  return label and model .. "\t" .. label or model
end

-- The oldest makes room.
local function evict(self)
  local oldest
  for key, entry in pairs(self.entries) do
    if not oldest or entry.at < self.entries[oldest].at then oldest = key end
  end
  self.entries[oldest], self.count = nil, self.count - 1
  self.keeper:delete(M.space, oldest)
end

local function entry_of(self, model, label, now)
  local key = key_of(model, label)
  local entry = self.entries[key]
  if entry then return entry, key end
  if self.count >= ENTRIES_MAX then evict(self) end
  entry = new_entry(model, label, now)
  self.entries[key], self.count = entry, self.count + 1
  return entry, key
end

local function pack_hours(hours)
  local list = {}
  for _, hour in pairs(hours) do list[#list + 1] = hour end
  table.sort(list, function(a, b) return a.hour < b.hour end)
  return list
end

local function pack(entry)
  return { model = entry.model, label = entry.label, landmark = entry.landmark, at = entry.at, sums = entry.sums,
    recent = entry.recent, hours = pack_hours(entry.hours), first = sketch.pack(entry.first), total = sketch.pack(entry.total) }
end

local function numbers_of(kept, names)
  local sums = {}
  for _, name in ipairs(names) do sums[name] = type(kept) == "table" and tonumber(kept[name]) or 0 end
  return sums
end

local function unpack_entry(kept)
  local entry = new_entry(kept.model, kept.label ~= json.null and kept.label or nil, kept.landmark)
  entry.at, entry.sums, entry.recent = kept.at, numbers_of(kept.sums, SUMS), numbers_of(kept.recent, RECENT)
  entry.first, entry.total = sketch.unpack(kept.first), sketch.unpack(kept.total)
  for _, hour in ipairs(kept.hours) do entry.hours[hour.hour % HOURS] = hour end
  return entry
end

-- Counting -------------------------------------------------------------------------------------------

local function rescale(entry, now, factor)
  for _, name in ipairs(SUMS) do entry.sums[name] = entry.sums[name] * factor end
  sketch.scale(entry.first, factor)
  sketch.scale(entry.total, factor)
  entry.landmark = now
end

local function weight_at(self, entry, now)
  -- After a clock that was ahead nothing would weigh anything, until it is there again.
  if now < entry.landmark and entry.landmark > self.clock.wall_ms() / 1000 then entry.landmark = now end
  local weight = 2 ^ ((now - entry.landmark) / self.half_life)
  if weight < RESCALE then return weight end
  rescale(entry, now, 1 / weight)
  return 1
end

local function hour_of(entry, now)
  local hour = math.floor(now) // HOUR
  local found = entry.hours[hour % HOURS]
  if found and found.hour == hour then return found end
  found = { hour = hour, calls = 0, ok = 0, usd = 0, priced = 0, tokens = 0, scores = 0, classes = {} }
  entry.hours[hour % HOURS] = found
  return found
end

local function count_hour(entry, now, sample)
  local hour = hour_of(entry, now)
  hour.calls = hour.calls + 1
  if sample.ok then hour.ok = hour.ok + 1 end
  if not sample.ok then
    local class = sample.class or "failed"
    hour.classes[class] = (hour.classes[class] or 0) + 1
  end
  if sample.usd then hour.usd, hour.priced = hour.usd + sample.usd, hour.priced + 1 end
  hour.tokens = hour.tokens + (sample.input_tokens or 0) + (sample.output_tokens or 0)
end

local function count_decayed(entry, weight, sample)
  local sums = entry.sums
  if sample.class ~= "cancelled" then
    sums.calls = sums.calls + weight
    if sample.ok then sums.ok = sums.ok + weight end
  end
  if sample.usd then sums.usd, sums.usd_calls = sums.usd + weight * sample.usd, sums.usd_calls + weight end
  if sample.first_token_s then sketch.add(entry.first, sample.first_token_s, weight) end
  if not sample.ok then return end
  sketch.add(entry.total, sample.total_s, weight)
  local seconds = sample.total_s - (sample.first_token_s or 0)
  if sample.output_tokens and sample.output_tokens > 0 and seconds > 0 then
    sums.tokens, sums.tokens_s = sums.tokens + weight * sample.output_tokens, sums.tokens_s + weight * seconds
  end
end

local function discount(recent, value, count, factor, given)
  recent[value], recent[count] = recent[value] * factor + given, recent[count] * factor + 1
end

local function count_recent(entry, now, sample)
  if sample.class == "cancelled" then return end
  local recent = entry.recent
  local factor = DISCOUNT * 2 ^ (-math.max(0, now - entry.at) / RECENT_HALF_LIFE)
  discount(recent, "ok", "calls", factor, sample.ok and 1 or 0)
  if sample.ok then discount(recent, "seconds", "timed", factor, sample.total_s) end
end

local function count_score(self, entry, now, score, source)
  local weight = weight_at(self, entry, now) * (source == "person" and PERSON_WEIGHT or 1)
  entry.sums.score, entry.sums.score_weight = entry.sums.score + weight * score, entry.sums.score_weight + weight
  for _ = 1, source == "person" and PERSON_WEIGHT or 1 do discount(entry.recent, "score", "scored", DISCOUNT, score) end
  local hour = hour_of(entry, now)
  hour.scores = hour.scores + 1
end

local function changed(self, entry, key)
  entry.metrics = nil
  self.keeper:put(M.space, key, function() return pack(entry) end)
end

local function each_entry(self, model, label, now, count)
  for place = 1, label and label ~= "" and 2 or 1 do
    local entry, key = entry_of(self, model, place == 2 and label or nil, now)
    count(entry)
    changed(self, entry, key)
  end
end

--- Counts one call of a model. Does not wait.
---@param sample weir.ModelSample
function Statistics:record(sample)
  local now = (sample.at_ms or self.clock.wall_ms()) / 1000
  each_entry(self, sample.model, sample.label, now, function(entry)
    count_hour(entry, now, sample)
    count_decayed(entry, weight_at(self, entry, now), sample)
    count_recent(entry, now, sample)
    if sample.score then count_score(self, entry, now, sample.score, "critic") end
    entry.at = sample.at_ms and math.max(entry.at, now) or now
  end)
end

--- Counts what somebody thought of what a model had said. Does not wait.
---@param model string
---@param label string|nil
---@param score number 0 to 1; what is beyond counts as the bound
---@param source "critic"|"person" a person's counts as three of a critic
function Statistics:score(model, label, score, source)
  local now = self.clock.wall_ms() / 1000
  score = math.max(0, math.min(1, score))
  each_entry(self, model, label, now, function(entry) count_score(self, entry, now, score, source) end)
end

-- Reading --------------------------------------------------------------------------------------------

local function ratio(sum, weight)
  if weight > 0 then return sum / weight end
end

local function add_hours(metrics, entry, hour)
  local usd, priced = 0, 0
  for _, one in pairs(entry.hours) do
    if one.hour > hour - HOURS and one.hour <= hour then
      metrics.calls, metrics.scores = metrics.calls + one.calls, metrics.scores + one.scores
      usd, priced = usd + one.usd, priced + one.priced
      for class, count in pairs(one.classes) do metrics.classes[class] = (metrics.classes[class] or 0) + count end
    end
  end
  metrics.usd = priced > 0 and usd or nil
end

local function recent_of(recent)
  return { calls = recent.calls, success = ratio(recent.ok, recent.calls), seconds = ratio(recent.seconds, recent.timed),
    score = ratio(recent.score, recent.scored), scores = recent.scored }
end

local function measure(entry, hour)
  local sums = entry.sums
  local metrics = { calls = 0, scores = 0, classes = {}, success = ratio(sums.ok, sums.calls),
    first_token_p50 = sketch.quantile(entry.first, 0.5), first_token_p95 = sketch.quantile(entry.first, 0.95),
    total_p50 = sketch.quantile(entry.total, 0.5), total_p95 = sketch.quantile(entry.total, 0.95),
    tokens_per_second = ratio(sums.tokens, sums.tokens_s), usd_per_call = ratio(sums.usd, sums.usd_calls),
    score = ratio(sums.score, sums.score_weight), recent = recent_of(entry.recent) }
  add_hours(metrics, entry, hour)
  return metrics
end

-- Measured anew when something came in, or an hour has gone.
local function metrics_of(entry, now)
  local hour, metrics = now // HOUR, entry.metrics
  if not metrics or entry.metrics_hour ~= hour then
    metrics = measure(entry, hour)
    entry.metrics, entry.metrics_hour = metrics, hour
  end
  metrics.idle_s = now > entry.at and now - entry.at or 0
  return metrics
end

local NOTHING = { calls = 0, scores = 0, classes = {}, recent = { calls = 0, scores = 0 } }

--- What is known of a model, for a label or in all. Whoever is given it does not change it. Does not wait.
---@param model string
---@param label string|nil
---@param now number|nil seconds of the wall clock, for who asks about many
---@return weir.ModelMetrics
function Statistics:of(model, label, now)
  local entry = self.entries[key_of(model, label ~= "" and label or nil)]
  if not entry then return NOTHING end
  return metrics_of(entry, now or self.clock.wall_ms() / 1000)
end

--- Everything that is known, by model and label; the line of a model in all has no label. Does not wait.
---@return { model: string, label: string?, metrics: weir.ModelMetrics }[]
function Statistics:table()
  local rows, now = {}, self.clock.wall_ms() / 1000
  for _, entry in pairs(self.entries) do
    rows[#rows + 1] = { model = entry.model, label = entry.label, metrics = metrics_of(entry, now) }
  end
  table.sort(rows, function(a, b)
    if a.model ~= b.model then return a.model < b.model end
    return (a.label or "") < (b.label or "")
  end)
  return rows
end

-- Which model was chosen last -------------------------------------------------------------------------

--- Notes which model a policy has chosen for a label. Does not wait.
---@param label string|nil
---@param model string
function Statistics:chosen(label, model)
  label = label or ""
  local now, last = self.clock.wall_ms() / 1000, self.choices[label]
  if last and last.model == model then
    last.at = now
    return
  end
  if not last and self.choice_count >= ENTRIES_MAX then return end
  if not last then self.choice_count = self.choice_count + 1 end
  local switches = last and table.move(last.switches, 1, SWITCHES - 1, 2, { now }) or {}
  last = { model = model, since = now, at = now, switches = switches }
  self.choices[label] = last
  self.keeper:put(M.space, "\t" .. label, function() return { choice = last, label = label } end)
end

--- Which model was chosen last for a label. Does not wait.
---@param label string|nil
---@return { name: string, since_s: number, ages: number[] }|nil ages: seconds since each of the latest switches, newest first
function Statistics:last(label)
  local last = self.choices[label or ""]
  if not last then return nil end
  local now, ages = self.clock.wall_ms() / 1000, {}
  last.since = math.min(last.since, now) -- the clock may have been set back
  for index, at in ipairs(last.switches) do ages[index] = math.max(0, now - at) end
  return { name = last.model, since_s = now - last.since, ages = ages }
end

-- Opening and closing ---------------------------------------------------------------------------------

local function take(self, found)
  local kept = found.value
  if type(kept) ~= "table" then return end
  if type(kept.choice) == "table" then
    self.choices[kept.label], self.choice_count = kept.choice, self.choice_count + 1
  elseif kept.model then
    self.entries[found.key], self.count = unpack_entry(kept), self.count + 1
  end
end

local function load(self, store)
  local after
  repeat
    local page = store:scan(M.space, { after = after, limit = PAGE, damaged = true }) or {}
    for _, found in ipairs(page) do take(self, found) end -- what is damaged is measured anew
    after = page[#page] and page[#page].key
  until #page < PAGE
end

--- Statistics, with what a store has of them. Reads; does not wait.
---@param store weir.Store|nil without one they end with the process
---@param clock table|nil wall_ms(), now(), sleep(seconds); default: the host's
---@param options { half_life: number?, keeper: weir.Keeper? }|nil half_life: seconds, default 3600
---@return weir.ModelStatistics
function M.new(store, clock, options)
  options = options or {}
  clock = clock or default_clock
  local self = setmetatable({ clock = clock, entries = {}, count = 0, choices = {}, choice_count = 0,
    half_life = options.half_life or HALF_LIFE, keeper = options.keeper or keeper.new(store, clock) }, Statistics)
  if store then load(self, store) end
  return self
end

--- Writes what has changed. Waits.
---@return true|nil
---@return string|nil message
---@return string|nil code
function Statistics:flush()
  return self.keeper:flush()
end

--- Writes what is left, and ends. Before the store is closed. Waits. Safe twice.
function Statistics:close()
  return self.keeper:close()
end

return M

--- What a host counts, in the text format of Prometheus 0.0.4
--- (https://prometheus.io/docs/instrumenting/exposition_formats/). Counts begin with the host; no run stands in a label.

local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local stream = require "weir.run.stream"

local M = {}

M.content_type = "text/plain; version=0.0.4; charset=utf-8"

local BUCKETS = { 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300, 3600 } -- seconds
local SERIES_MAX = 2000 -- of one name; what is beyond is counted under `other`
local ENDS = { finished = true, failed = true, cancelled = true, quarantined = true }
local STEP_ENDS = { finished = true, failed = true, cancelled = true, skipped = true }

---@class weir.Metrics
local Metrics = {}
Metrics.__index = Metrics

local function family() return { series = {}, count = 0 } end

--- Counters of a host.
---@return weir.Metrics
function M.new()
  return setmetatable({ runs = family(), steps = family(), seconds = family(), reloads = family(), gaps = 0,
    asked = family(), tokens = family(), usd = family(), first = family(), blocked = family(),
    plans = family(), schedules = family(), lags = family(), branches = family(), stopped = family(), verdicts = family(),
    saved = family(), incidents = family() }, Metrics)
end

local function escape(text)
  return (tostring(text):gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }))
end

local function labels(list)
  local parts = {}
  for index = 1, #list, 2 do parts[#parts + 1] = ('%s="%s"'):format(list[index], escape(list[index + 1])) end
  return table.concat(parts, ",")
end

local function series_of(of, list, new)
  local key = labels(list)
  local found = of.series[key]
  if found then return found end
  if of.count >= SERIES_MAX then
    for index = 2, #list, 2 do list[index] = "other" end
    key = labels(list)
    if of.series[key] then return of.series[key] end
  end
  of.series[key], of.count = new(), of.count + 1
  return of.series[key]
end

local function add(of, list, by)
  local one = series_of(of, list, function() return { value = 0 } end)
  one.value = one.value + (by or 1)
end

local function observe(of, list, seconds)
  local one = series_of(of, list, function() return { sum = 0, count = 0, buckets = {} } end)
  one.sum, one.count = one.sum + seconds, one.count + 1
  for index, limit in ipairs(BUCKETS) do
    if seconds <= limit then one.buckets[index] = (one.buckets[index] or 0) + 1 end
  end
end

local DIRECTIONS = { input = "input_tokens", output = "output_tokens", cached = "cached_tokens", reasoning = "reasoning_tokens" }

local function note_model(self, data)
  local provider, model = data.provider or "", data.model or ""
  add(self.asked, { "provider", provider, "model", model, "outcome", data.outcome or "cached" })
  for direction, name in pairs(DIRECTIONS) do
    local count = data.usage and data.usage[name]
    if count then add(self.tokens, { "provider", provider, "model", model, "direction", direction }, count) end
  end
  if data.usd then add(self.usd, { "provider", provider, "model", model }, data.usd) end
  local first_s = data.timing and data.timing.first_token_s
  if first_s then observe(self.first, { "provider", provider, "model", model }, first_s) end
end

-- How late the latest run of a schedule began.
local function note_schedule(self, data)
  if data.status then return end -- a run has ended: it is counted among the runs
  add(self.schedules, { "schedule", data.schedule, "outcome", data.outcome }, data.count)
  if data.lag_s then series_of(self.lags, { "schedule", data.schedule }, function() return {} end).value = data.lag_s end
end

-- Which branch of a speculation counted, and how long it took until nothing was left of the others.
local function note_decision(self, data)
  for name, branch in pairs(data.branches or {}) do
    local outcome = name == data.winner and "won" or branch.status == "finished" and "lost" or branch.status
    add(self.branches, { "pipeline", data.pipeline or "", "step", data.name or "", "branch", name, "outcome", outcome })
  end
  if data.stopped_s then observe(self.stopped, { "pipeline", data.pipeline or "" }, data.stopped_s) end
end

local function note_verdict(self, data)
  add(self.verdicts, { "pipeline", data.pipeline or "", "critic", data.critic or "", "verdict", data.verdict })
  local saved = data.saved and data.saved.tokens
  if saved then add(self.saved, { "pipeline", data.pipeline or "", "critic", data.critic or "" }, saved) end
end

--- Counts an event of the host's feed. Does not wait.
---@param event { kind: string, data: table }
function Metrics:note(event)
  local data = event.data
  local pipeline = data.pipeline or ""
  if event.kind == "run" and ENDS[data.status] then
    add(self.runs, { "pipeline", pipeline, "state", data.status })
  elseif event.kind == "step" and STEP_ENDS[data.status] then
    add(self.steps, { "pipeline", pipeline, "state", data.status })
    if type(data.seconds) == "number" then observe(self.seconds, { "pipeline", pipeline }, data.seconds) end
  elseif event.kind == "model" then
    note_model(self, data)
  elseif event.kind == "schedule" then
    note_schedule(self, data)
  elseif event.kind == "decision" then
    note_decision(self, data)
  elseif event.kind == "verdict" then
    note_verdict(self, data)
  elseif event.kind == "stream" then
    add(self.blocked, { "channel", pipeline .. "/" .. (data.name or "") }, data.blocked_s)
  elseif event.kind == "plan" then
    add(self.plans, { "pipeline", pipeline, "planner", data.planner or "", "state", data.status })
  elseif event.kind == "incident" then
    add(self.incidents, { "pipeline", pipeline, "kind", data.incident_kind or "", "state", data.state or "", "remedy", data.remedy or "" })
  elseif event.kind == "reload" or event.kind == "reload_failed" then
    add(self.reloads, { "module", data.name or "", "result", event.kind == "reload" and "ok" or "failed" })
  end
end

--- How many runs have ended since the host began, by their status.
---@return table<string, integer>
function Metrics:ended()
  local ended = {}
  for key, one in pairs(self.runs.series) do
    local state = key:match 'state="(%l+)"$'
    if state then ended[state] = (ended[state] or 0) + one.value end
  end
  return ended
end

--- Counts what a feed says until it is closed. Waits.
---@param feed weir.Feed
function Metrics:follow(feed)
  local follower = feed:follow { kinds = { "run", "step", "model", "schedule", "stream", "decision", "verdict", "plan", "reload",
    "reload_failed", "incident" } }
  local _ <close> = setmetatable({}, { __close = function() follower:close() end })
  while true do
    local event, why = follower:next()
    if event then
      self:note(event)
    elseif why == "gap" then
      self.gaps = self.gaps + 1
    elseif why ~= "timeout" then
      return
    end
  end
end

-- Writing --------------------------------------------------------------------------------------------

local function head(lines, name, kind, help)
  lines[#lines + 1] = ("# HELP %s %s"):format(name, help)
  lines[#lines + 1] = ("# TYPE %s %s"):format(name, kind)
end

local function number(value)
  if math.type(value) == "integer" then return tostring(value) end
  return ("%.17g"):format(value)
end

local function sorted(of)
  local keys = {}
  for key in pairs(of.series) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function write_counter(lines, name, help, of)
  head(lines, name, "counter", help)
  for _, key in ipairs(sorted(of)) do lines[#lines + 1] = ("%s{%s} %s"):format(name, key, number(of.series[key].value)) end
end

local function write_gauge(lines, name, help, of)
  head(lines, name, "gauge", help)
  for _, key in ipairs(sorted(of)) do lines[#lines + 1] = ("%s{%s} %s"):format(name, key, number(of.series[key].value)) end
end

local function write_histogram(lines, name, help, of)
  head(lines, name, "histogram", help)
  for _, key in ipairs(sorted(of)) do
    local one = of.series[key]
    for index, limit in ipairs(BUCKETS) do
      lines[#lines + 1] = ('%s_bucket{%s,le="%.6g"} %d'):format(name, key, limit, one.buckets[index] or 0)
    end
    lines[#lines + 1] = ('%s_bucket{%s,le="+Inf"} %d'):format(name, key, one.count)
    lines[#lines + 1] = ("%s_sum{%s} %s"):format(name, key, number(one.sum))
    lines[#lines + 1] = ("%s_count{%s} %d"):format(name, key, one.count)
  end
end

local function write_value(lines, name, kind, help, value, key)
  head(lines, name, kind, help)
  lines[#lines + 1] = ("%s%s %s"):format(name, key and "{" .. key .. "}" or "", number(value))
end

-- Damaged ones are there as well.
local function count_keys(store, space, prefix)
  local count = 0
  local ok = pcall(function()
    for _ in pages.keys(store, space, prefix) do count = count + 1 end
  end)
  if not ok then native.recover() end
  return count
end

-- Buckets of the store are each of its own; those of Prometheus count what is below as well.
local function write_store(lines, host)
  local stats = host.store:stats()
  head(lines, "weir_checkpoint_seconds", "histogram", "How long commits of the store took.")
  local count = 0
  for _, bucket in ipairs(stats.commit_buckets) do
    count = count + bucket.count
    local limit = bucket.at_most == math.huge and "+Inf" or ("%.6g"):format(bucket.at_most)
    lines[#lines + 1] = ('weir_checkpoint_seconds_bucket{le="%s"} %d'):format(limit, count)
  end
  lines[#lines + 1] = ("weir_checkpoint_seconds_sum %s"):format(number(stats.commit_seconds))
  lines[#lines + 1] = ("weir_checkpoint_seconds_count %d"):format(count)
  write_value(lines, "weir_checkpoint_bytes_total", "counter", "Bytes that were committed.", stats.bytes)
end

-- Items that wait in the streams between steps, by pipeline and step.
local function write_depths(lines)
  local depths = family()
  for _, one in ipairs(stream.open_ones()) do
    local depth = 0
    for _, reader in ipairs(one.readers) do depth = depth + one:depth(reader) end
    add(depths, { "channel", ("%s/%s"):format(one.run and one.run.plan.name or "", one.step or "") }, depth)
  end
  head(lines, "weir_channel_depth", "gauge", "Items that wait in the streams between steps.")
  for _, key in ipairs(sorted(depths)) do lines[#lines + 1] = ("weir_channel_depth{%s} %d"):format(key, depths.series[key].value) end
end

-- Kept in the store, so that these go on where they were before the host.
local function write_skills(lines, host)
  local states, calls = family(), family()
  for _, row in ipairs(require("weir.view.skills").rows(host.store)) do
    add(states, { "state", row.state })
    for result, count in pairs { good = row.good, bad = row.calls - row.good } do
      add(calls, { "skill", row.name, "version", row.version, "result", result }, count)
    end
  end
  head(lines, "weir_skills", "gauge", "Skills that serve or are on trial.")
  for _, key in ipairs(sorted(states)) do lines[#lines + 1] = ("weir_skills{%s} %d"):format(key, states.series[key].value) end
  write_counter(lines, "weir_skill_calls_total", "Calls of skills, by what came of them.", calls)
end

-- What reflections have proposed, as far back as is looked.
local function write_candidates(lines, host)
  local states = family()
  for _, row in ipairs(require("weir.view.candidates").counts(host.store)) do
    add(states, { "pipeline", row.pipeline, "state", row.state }, row.count)
  end
  head(lines, "weir_candidates", "gauge", "Versions that reflections have proposed, by pipeline and what became of them.")
  for _, key in ipairs(sorted(states)) do lines[#lines + 1] = ("weir_candidates{%s} %d"):format(key, states.series[key].value) end
end

-- What waits in the queues of pipelines, and what became of events, by source.
local function write_events(lines, triggers)
  local depths, dead, outcomes = family(), family(), family()
  for name, line in pairs(triggers.lines) do
    add(depths, { "queue", name }, line.queue:depth())
    add(dead, { "queue", name }, line.queue:dead_count())
  end
  for source, counts in pairs(triggers.counts) do
    for outcome, count in pairs(counts) do add(outcomes, { "source", source, "outcome", outcome }, count) end
  end
  head(lines, "weir_queue_depth", "gauge", "Events that wait or are at work, by pipeline.")
  for _, key in ipairs(sorted(depths)) do lines[#lines + 1] = ("weir_queue_depth{%s} %d"):format(key, depths.series[key].value) end
  head(lines, "weir_queue_dead", "gauge", "Dead letters, by pipeline.")
  for _, key in ipairs(sorted(dead)) do lines[#lines + 1] = ("weir_queue_dead{%s} %d"):format(key, dead.series[key].value) end
  write_counter(lines, "weir_events_total", "Events by source, and what became of them.", outcomes)
end

--- The text. Waits for its turns.
---@param host weir.Host
---@return string
function Metrics:text(host)
  local lines = {}
  write_value(lines, "weir_build_info", "gauge", "The version that runs, always 1.", 1, labels { "version", require "weir.version" })
  write_value(lines, "weir_start_time_seconds", "gauge", "When the host began, since 1970.", host.started_ms / 1000)
  write_counter(lines, "weir_runs_total", "Runs that have ended, by pipeline and state.", self.runs)
  write_counter(lines, "weir_steps_total", "Steps that have ended, by pipeline and state.", self.steps)
  write_histogram(lines, "weir_step_duration_seconds", "How long steps took.", self.seconds)
  write_counter(lines, "weir_incidents_total", "Incidents, by what was done about them.", self.incidents)
  write_value(lines, "weir_incidents_open", "gauge", "Incidents that somebody has to look at.",
    count_keys(host.store, "incidents.by", "open/"))
  write_counter(lines, "weir_reloads_total", "Modules that were loaded again, by result.", self.reloads)
  write_counter(lines, "weir_model_requests_total", "Calls of models, by what came of them.", self.asked)
  write_counter(lines, "weir_model_tokens_total", "Tokens of calls of models, as far as their providers count them.", self.tokens)
  write_counter(lines, "weir_model_cost_usd_total", "What calls of models cost, as far as their prices are known.", self.usd)
  write_histogram(lines, "weir_model_first_token_seconds", "How long models took to their first word.", self.first)
  write_counter(lines, "weir_branches_total", "Branches of speculations, by what became of them.", self.branches)
  write_histogram(lines, "weir_branches_stopped_seconds", "How long it took until nothing was left of the losers.", self.stopped)
  write_counter(lines, "weir_verdicts_total", "Verdicts of critics.", self.verdicts)
  write_counter(lines, "weir_tokens_saved_total", "Tokens of drafts that critics stopped before their end, estimated.", self.saved)
  write_counter(lines, "weir_channel_blocked_seconds_total", "How long steps waited for who reads their stream.", self.blocked)
  write_counter(lines, "weir_schedule_runs_total", "Nominal times of schedules, by what was decided of them.", self.schedules)
  write_gauge(lines, "weir_schedule_lag_seconds", "How late the latest run of a schedule began.", self.lags)
  write_counter(lines, "weir_plans_total", "Plans that were made, and what became of them, by planner.", self.plans)
  write_depths(lines)
  if host.triggers then write_events(lines, host.triggers) end
  local live = 0
  for _ in pairs(host.engine.live) do live = live + 1 end
  write_value(lines, "weir_runs_live", "gauge", "Runs that are at work in this process.", live)
  write_value(lines, "weir_approvals_pending", "gauge", "Questions that wait for a person.", count_keys(host.store, "approvals"))
  local stats = native.stats()
  write_value(lines, "weir_tasks", "gauge", "Tasks that have not ended.", stats.tasks)
  write_value(lines, "weir_memory_bytes", "gauge", "Memory of the Lua state.", stats.memory_bytes)
  write_value(lines, "weir_feed_gaps_total", "counter", "Times when events came faster than they were counted.", self.gaps)
  write_skills(lines, host)
  write_candidates(lines, host)
  write_store(lines, host)
  return table.concat(lines, "\n") .. "\n"
end

return M

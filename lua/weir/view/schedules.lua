--- The shapes in which schedules are shown: as JSON, the same for the CLI and over HTTP.

local clock = require "weir.port.clock"
local decide = require "weir.schedule.decide"
local json = require "weir.native.json"
local preview = require "weir.schedule.preview"
local record = require "weir.schedule.record"

local or_null = require("weir.value").or_null

local M = {}

local function time(ms) return ms and clock.rfc3339(ms) or json.null end

local function seconds(ms) return ms and ms / 1000 or json.null end

local function paused_of(state)
  local paused = state and state.paused
  if not paused then return json.null end
  return { at = time(paused.at_ms), by = or_null(paused.by), why = or_null(paused.why) }
end

local function active_of(state)
  local list = json.list {}
  for index, one in ipairs(state and state.active or {}) do list[index] = { run = one.run, since = time(one.since_ms) } end
  return list
end

local SHOWN = { "cron", "every", "at", "tz", "overlap", "missed", "window", "gap", "repeat", "jitter", "start", "end", "limit", "calendar",
  "absent" }

--- A schedule.
---@param one weir.Scheduled
---@param state weir.ScheduleState|nil
---@return table
function M.shape(one, state)
  local rule = one.rule
  local line = { id = rule.id, name = rule.name, pipeline = rule.pipeline, says = rule:says(), tz = rule.zone.name, overlap = rule.overlap,
    missed = rule.missed, paused = paused_of(state), over = or_null(state and state.over), next_at = json.null, next_local = json.null,
    last_at = time(state and state.last_ms), waiting = state and #state.queue or 0, active = active_of(state),
    totals = state and state.totals or {}, options = {} }
  for _, name in ipairs(SHOWN) do line.options[name] = rule.options[name] end
  local anchor = state and state.anchor_ms or rule.start_ms or clock.wall_ms()
  local is_still = state and (state.over or state.paused)
  local next_ms = not is_still and rule:next(math.max(clock.wall_ms(), state and state.mark_ms or 0), anchor)
  if next_ms then line.next_at, line.next_local = time(next_ms), rule:local_text(next_ms) end
  return line
end

--- A row of the history.
---@param rule weir.Rule
---@param row table
---@return table
function M.row(rule, row)
  local interval = row.interval
  return { seq = row.seq, nominal = time(row.nominal_ms), ["local"] = rule:local_text(row.nominal_ms), kind = row.kind,
    outcome = row.outcome, at = time(row.at_ms), why = or_null(row.why), run = or_null(row.run), status = or_null(row.status),
    ended_at = time(row.ended_ms), lag_s = seconds(row.lag_ms),
    interval = interval and { from = time(interval.from_ms), to = time(interval.to_ms), count = interval.count } or json.null }
end

local function item_of(rule, item)
  return { nominal = time(item.nominal_ms), ["local"] = rule:local_text(item.nominal_ms), at = time(item.due_ms), outcome = item.outcome,
    starts_at = time(item.starts_ms), ends_at = time(item.ends_ms), ends_early = item.ends_early or false, why = or_null(item.why) }
end

--- What a schedule will do.
---@param one weir.Scheduled
---@param state weir.ScheduleState|nil
---@param options table as of `weir.schedule.preview`
---@return table {items, seconds, samples, paused, over}
function M.preview(one, state, options)
  local list, about = preview.of(one.rule, state, options)
  local items = json.list {}
  for index, item in ipairs(list) do items[index] = item_of(one.rule, item) end
  return { items = items, next = json.null, seconds = seconds(about.duration_ms), samples = about.samples, paused = paused_of(state),
    over = or_null(state and state.over) }
end

--- What is kept of a schedule, as far as this process sees it.
---@param store weir.Store
---@param one weir.Scheduled
---@return weir.ScheduleState|nil
function M.state(store, one)
  local state = record.get(store, one.rule.id)
  if state and state.timing ~= one.rule.timing then decide.adopt(state, one.rule, clock.wall_ms()) end
  return state
end

return M

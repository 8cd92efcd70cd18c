--- What people do with schedules, through whichever door: look, pause, resume, start one now, make up for a past stretch. All
--- of it is kept in the store; a host that has it is nudged by who asks. Each change stands in the audit.

local audit = require "weir.audit"
local clock = require "weir.port.clock"
local decide = require "weir.schedule.decide"
local failure = require "weir.failure"
local id = require "weir.id"
local overlap = require "weir.schedule.overlap"
local record = require "weir.schedule.record"
local rule_of = require "weir.schedule.rule"
local suggest = require "weir.suggest"

local M = {}

M.BACKFILL_MAX = 1000 -- times of one backfill

---@class weir.ScheduleActor
---@field by string|nil
---@field via string|nil

local function change(store, rule, action, who, body)
  return record.change(store, rule.id, function(state, rows)
    state = state or decide.new_state(rule, clock.wall_ms())
    return body(state, rows)
  end, function()
    return { audit.operation { by = who.by, via = who.via, action = action, what = "schedules/" .. rule.name } }
  end)
end

--- Keeps a schedule from firing until it is resumed. Runs that have begun go on, and it may be triggered. Waits for the disk.
---@param store weir.Store
---@param rule weir.Rule
---@param who weir.ScheduleActor
---@param why string|nil
---@return weir.ScheduleState
---@return boolean changed false: it was paused already
function M.pause(store, rule, who, why)
  local state, changed = change(store, rule, "pause", who, function(state)
    if not decide.pause(state, { at_ms = clock.wall_ms(), by = who.by, why = why }) then return nil, false end
    return state, true
  end)
  return state, changed
end

--- Has a schedule fire again, from now on. What would have come meanwhile is counted, not made up for; `backfill` does that.
--- Waits for the disk.
---@return weir.ScheduleState
---@return integer|nil passed how many times have passed; nil: it was not paused
function M.resume(store, rule, who)
  local state, passed = change(store, rule, "resume", who, function(state, rows)
    local passed = decide.resume(rule, state, clock.wall_ms(), rows)
    if not passed then return nil end
    return state, passed
  end)
  return state, passed
end

local function check_overlap(policy)
  if policy == nil then return end
  for _, known in ipairs(rule_of.overlaps) do
    if policy == known then return end
  end
  failure.raise("invalid", "overlap must be %s, got '%s'%s", table.concat(rule_of.overlaps, ", "), tostring(policy),
    suggest.hint(tostring(policy), rule_of.overlaps))
end

--- Has a schedule start a run now, beside its times. Its overlap policy holds, unless another is given. Waits for the disk.
--- Raises `invalid`.
---@param store weir.Store
---@param rule weir.Rule
---@param who weir.ScheduleActor
---@param policy string|nil
---@return weir.ScheduleState
---@return string action what the overlap policy makes of it: "start", "buffer", "skip", "drop", "cancel", "terminate"
function M.trigger(store, rule, who, policy)
  check_overlap(policy)
  local state, action = change(store, rule, "trigger", who, function(state, rows)
    local now_ms = clock.wall_ms()
    local one = { kind = "manual", nominal_ms = now_ms, due_ms = now_ms, previous_ms = state.last_ms,
      overlap = policy or rule.overlap, key = "manual/" .. id.new "s" }
    return state, decide.take(rule, state, rows, one, now_ms)
  end)
  return state, action
end

local function moment(text, rule, name)
  local ms = rule_of.moment(text, rule.zone)
  if ms then return ms end
  failure.raise("invalid", "%s: a time such as 2026-11-01 or 2026-11-01T08:00:00Z expected, got '%s'", name, tostring(text):sub(1, 60))
end

local function times_between(rule, state, from_ms, to_ms)
  local anchor = state and state.anchor_ms or rule.start_ms or from_ms
  local count = rule:count(from_ms - 1, to_ms, anchor)
  if count > M.BACKFILL_MAX then
    failure.raise("limit", "schedule '%s' has %d times there; a backfill takes %d at most", rule.name, count, M.BACKFILL_MAX)
  end
  return rule:latest(from_ms - 1, to_ms, M.BACKFILL_MAX, anchor)
end

--- Starts a run for each time of a past stretch, both ends included. A time that has started a run already is not started
--- again, unless that is asked for. Waits for the disk. Raises `invalid`, `limit`.
---@param store weir.Store
---@param rule weir.Rule
---@param who weir.ScheduleActor
---@param about { from: string, to: string, overlap: string|nil, again: boolean|nil } overlap: default one after the other
---@return weir.ScheduleState
---@return integer[] times nominal times that are to start
function M.backfill(store, rule, who, about)
  check_overlap(about.overlap)
  local now_ms = clock.wall_ms()
  local from_ms, to_ms = moment(about.from, rule, "from"), moment(about.to, rule, "to")
  if to_ms < from_ms then failure.raise("invalid", "to: it is before from") end
  if to_ms > now_ms then failure.raise("invalid", "to: it lies ahead; a backfill is of the past") end
  local times = times_between(rule, (record.get(store, rule.id)), from_ms, to_ms)
  if #times == 0 then return (record.get(store, rule.id)), times end
  local suffix = about.again and "/" .. id.new "s" or ""
  local state = change(store, rule, "backfill", who, function(state, rows)
    for _, ms in ipairs(times) do
      decide.take(rule, state, rows, { kind = "backfill", nominal_ms = ms, due_ms = now_ms, overlap = about.overlap or
        overlap.of_late(rule.overlap), key = ms .. suffix }, now_ms)
    end
    return state
  end)
  return state, times
end

return M

--- What a schedule decides at a moment: which nominal times have come, which of them start a run, wait or are left out. It
--- changes the schedule's state, a table of plain data, and tells what the history is to keep; that both are written in one
--- transaction is what makes a nominal time count exactly once. Pure; never waits.

local overlap = require "weir.schedule.overlap"

local M = {}

M.CAP = 100 -- missed times that are made up for at most
M.LATE_MS = 10000 -- what is later than this has been missed
local BACK_MS = 3 * 3600 * 1000 -- a clock that was ahead by more has been corrected
local SECONDS_ON_TIME = 16 -- nominal times that may be on time at once

---@class weir.ScheduleState
---@field timing string      of the rule that made it
---@field anchor_ms integer  from which an interval counts
---@field mark_ms integer    the nominal time up to which all is decided
---@field last_ms integer|nil the latest nominal time that was decided
---@field last_offset integer|nil seconds east of UTC that held there
---@field number integer     how many were decided
---@field taken integer      how many of them count towards the limit
---@field seq integer        of the latest row of the history
---@field queue weir.Occurrence[]  what is to start a run, the oldest first
---@field active { run: string, seq: integer, since_ms: integer }[] runs that have not ended, as far as is known
---@field durations integer[] ms, of the latest runs that finished
---@field totals table<string, integer>
---@field paused table|nil   {at_ms, by, why}
---@field over string|nil    why it never fires again

---@class weir.Occurrence
---@field seq integer
---@field number integer
---@field kind "due"|"late"|"coalesced"|"manual"|"backfill"
---@field nominal_ms integer
---@field due_ms integer
---@field previous_ms integer|nil
---@field overlap string
---@field key string what the start key is made of
---@field interval table|nil {from_ms, to_ms, count}
---@field ends "cancel"|"terminate"|nil what is done with runs that go on

--- The state of a schedule that was never seen before.
---@param rule weir.Rule
---@param now_ms integer
---@return weir.ScheduleState
function M.new_state(rule, now_ms)
  return { name = rule.name, pipeline = rule.pipeline, timing = rule.timing, anchor_ms = rule.start_ms or now_ms, mark_ms = now_ms,
    first_ms = now_ms, number = 0, taken = 0, seq = 0, queue = {}, active = {}, durations = {}, totals = {} }
end

--- Takes over what a changed definition says. What was decided stays decided; times that the new one has before this moment
--- are not made up for.
---@param state weir.ScheduleState
---@param rule weir.Rule
---@param now_ms integer
---@return boolean changed
function M.adopt(state, rule, now_ms)
  if state.timing == rule.timing then return false end
  state.timing, state.over = rule.timing, nil
  state.mark_ms = math.max(state.mark_ms, now_ms)
  state.anchor_ms = rule.start_ms or now_ms
  return true
end

-- The history -------------------------------------------------------------------------------------------------

function M.count(state, what, by)
  state.totals[what] = (state.totals[what] or 0) + (by or 1)
end

--- Adds a row to the history.
---@param state weir.ScheduleState
---@param rows table[] gets it
---@param row table
---@return integer seq
function M.tell(state, rows, row)
  state.seq = state.seq + 1
  row.seq = state.seq
  rows[#rows + 1] = row
  return row.seq
end

local function tell_of(state, rows, one, outcome, why, now_ms)
  M.count(state, outcome)
  M.tell(state, rows, { outcome = outcome, kind = one.kind, nominal_ms = one.nominal_ms, at_ms = now_ms, why = why,
    interval = one.interval })
end

local function tell_many(state, rows, outcome, about)
  if about.count <= 0 then return end
  M.count(state, outcome, about.count)
  M.tell(state, rows, { outcome = outcome, kind = "late", nominal_ms = about.to_ms, at_ms = about.at_ms, why = about.why,
    interval = { from_ms = about.from_ms, to_ms = about.to_ms, count = about.count } })
end

-- One time -----------------------------------------------------------------------------------------------------

local function replace_waiting(state, rows, now_ms)
  local kept = {}
  for _, one in ipairs(state.queue) do
    if one.kind == "backfill" then
      kept[#kept + 1] = one
    else
      tell_of(state, rows, one, "replaced", "a later time took its turn", now_ms)
    end
  end
  state.queue = kept
end

local WHY = { skip = "an earlier run goes on", drop = "too many wait for their turn" }
local OUTCOME = { skip = "skipped", drop = "dropped" }

local function number_of(state)
  state.number = state.number + 1
  return state.number
end

--- Takes a time in: it goes into the queue, or the history says why not.
---@param rule weir.Rule
---@param state weir.ScheduleState
---@param rows table[]
---@param one weir.Occurrence without number and key
---@param now_ms integer
---@param admit nil|fun(one: weir.Occurrence): string|nil, string|nil an outcome and why, for what is not to start
---@return string action
function M.take(rule, state, rows, one, now_ms, admit)
  one.number = number_of(state)
  one.key = one.key or (rule.every_ms and one.kind ~= "backfill" and ("n%d"):format(one.number) or tostring(one.nominal_ms))
  local outcome, why
  if admit then outcome, why = admit(one) end
  if outcome then
    tell_of(state, rows, one, outcome, why, now_ms)
    return outcome
  end
  local action = overlap.action(one.overlap, #state.active, #state.queue)
  if OUTCOME[action] then
    tell_of(state, rows, one, OUTCOME[action], WHY[action], now_ms)
    return action
  end
  if action == "cancel" or action == "terminate" then
    replace_waiting(state, rows, now_ms)
    one.ends = action
  end
  state.taken = state.taken + ((one.kind == "manual" or one.kind == "backfill") and 0 or 1)
  state.queue[#state.queue + 1] = one
  return action
end

-- What has come ------------------------------------------------------------------------------------------------

-- Up to which nominal time all are due.
local function reach(rule, state, now_ms)
  if rule.jitter_ms == 0 then return now_ms end
  local at = math.max(state.mark_ms, now_ms - rule.jitter_ms)
  local ms = rule:next(at, state.anchor_ms)
  while ms and ms <= now_ms and rule:due(ms) <= now_ms do
    at, ms = ms, rule:next(ms, state.anchor_ms)
  end
  return at
end

local function split(rule, list, now_ms)
  local missed, on_time = {}, {}
  for _, ms in ipairs(list) do
    local into = now_ms - rule:due(ms) > M.LATE_MS and missed or on_time
    into[#into + 1] = ms
  end
  return missed, on_time
end

local function within(list, from_ms)
  local kept = {}
  for _, ms in ipairs(list) do
    if ms >= from_ms then kept[#kept + 1] = ms end
  end
  return kept
end

-- Which of the missed times are made up for, and how many are dropped since they are too many.
local POLICIES = {}

function POLICIES.none() return {}, 0 end
function POLICIES.last(list) return { list[#list] }, 0 end
function POLICIES.all(list, total)
  local first = math.max(1, #list - M.CAP + 1)
  return table.move(list, first, #list, 1, {}), math.max(0, total - M.CAP)
end
function POLICIES.coalesce(list) return { list[#list] }, 0 end

local function occurrence(rule, state, ms, kind)
  local one = { kind = kind, nominal_ms = ms, due_ms = rule:due(ms), previous_ms = state.last_ms,
    overlap = kind == "due" and rule.overlap or overlap.of_late(rule.overlap) }
  state.last_ms, state.last_offset = ms, rule.zone:offset(ms // 1000)
  return one
end

local function has_left(rule, state)
  if not rule.limit or state.taken < rule.limit then return true end
  state.over = ("its limit of %d runs is reached"):format(rule.limit)
  return false
end

local function catch_up(rule, state, rows, found, now_ms, admit)
  if found.count == 0 then return end
  local list = within(found.list, now_ms - rule.window_ms)
  local total = found.count
  if #list < #found.list then -- what is outside of the window is outside for all older ones too
    total = #list
  elseif now_ms - rule.window_ms > found.from_ms then
    total = rule:count(math.max(found.after_ms, now_ms - rule.window_ms - 1), found.to_ms, state.anchor_ms)
  end
  local picked, dropped = {}, 0
  if #list > 0 then picked, dropped = POLICIES[rule.missed](list, total) end
  local about = { at_ms = now_ms, from_ms = found.from_ms, to_ms = found.to_ms, why = "the host was not there" }
  about.count = rule.missed == "coalesce" and found.count - total or found.count - #picked - dropped
  tell_many(state, rows, "missed", about)
  about.count, about.why = dropped, ("more than %d were missed"):format(M.CAP)
  tell_many(state, rows, "dropped", about)
  for _, ms in ipairs(picked) do
    if not has_left(rule, state) then return end
    local one = occurrence(rule, state, ms, rule.missed == "coalesce" and "coalesced" or "late")
    if rule.missed == "coalesce" then
      one.interval = { from_ms = rule:next(math.max(found.after_ms, now_ms - rule.window_ms - 1), state.anchor_ms), to_ms = ms,
        count = total }
    end
    M.take(rule, state, rows, one, now_ms, admit)
  end
end

-- When the rules of a zone were changed between two lives, a time of the day that was decided may come again as another
-- moment. It is the same time: it is over.
local function follow_zone(rule, state)
  if not state.last_ms or not rule.times or not rule.times.pattern.is_fixed then return end
  local offset = rule.zone:offset(state.last_ms // 1000)
  local moved_ms = ((state.last_offset or offset) - offset) * 1000
  state.last_offset = offset
  if moved_ms > 0 then state.mark_ms = math.max(state.mark_ms, state.last_ms + moved_ms) end
end

-- Nothing is decided again: a clock that is set back a little waits. One that was far ahead was wrong. Gives whether it was.
local function correct(rule, state, rows, now_ms)
  local ahead = state.mark_ms - now_ms
  if rule.every_ms and not rule.start_ms then
    if ahead <= 0 then return false end
    state.mark_ms, state.anchor_ms, state.over = now_ms, state.anchor_ms - ahead, nil
    return true
  end
  if ahead <= BACK_MS then return false end
  M.tell(state, rows, { outcome = "corrected", kind = "due", nominal_ms = state.mark_ms, at_ms = now_ms,
    why = "the clock was set back by more than three hours" })
  state.mark_ms, state.over = now_ms, nil
  return true
end

--- Decides all that has come.
---@param rule weir.Rule
---@param state weir.ScheduleState changed
---@param now_ms integer
---@param rows table[] gets what the history is to keep
---@param admit nil|fun(one: weir.Occurrence): string|nil, string|nil
---@return boolean changed
function M.due(rule, state, now_ms, rows, admit)
  if state.paused then return false end
  local is_corrected = correct(rule, state, rows, now_ms)
  follow_zone(rule, state)
  if state.over then return is_corrected end
  local after, to = state.mark_ms, reach(rule, state, now_ms)
  local total = to > after and rule:count(after, to, state.anchor_ms) or 0
  if total > 0 then
    local missed, on_time = split(rule, rule:latest(after, to, M.CAP + SECONDS_ON_TIME, state.anchor_ms), now_ms)
    state.mark_ms = on_time[#on_time] or missed[#missed]
    if #missed > 0 then
      catch_up(rule, state, rows, { list = missed, count = total - #on_time, after_ms = after,
        from_ms = rule:next(after, state.anchor_ms), to_ms = missed[#missed] }, now_ms, admit)
    end
    for _, ms in ipairs(on_time) do
      if not has_left(rule, state) then break end
      M.take(rule, state, rows, occurrence(rule, state, ms, "due"), now_ms, admit)
    end
  end
  if has_left(rule, state) and not rule:next(state.mark_ms, state.anchor_ms) then state.over = "it has no more times" end
  return total > 0 or state.over ~= nil or is_corrected
end

--- When it is to be looked at next.
---@param rule weir.Rule
---@param state weir.ScheduleState
---@return integer|nil ms nil: not by itself
function M.next_due(rule, state)
  if state.paused or state.over then return nil end
  local ms = rule:next(state.mark_ms, state.anchor_ms)
  return ms and rule:due(ms)
end

--- Moves an interval with a clock that was set while its host lived: what counts is the time that has really passed.
---@param rule weir.Rule
---@param state weir.ScheduleState
---@param by_ms integer forward when positive
---@return boolean changed
function M.shift(rule, state, by_ms)
  if not rule.every_ms or rule.start_ms then return false end
  state.mark_ms, state.anchor_ms = state.mark_ms + by_ms, state.anchor_ms + by_ms
  return true
end

-- By hand ------------------------------------------------------------------------------------------------------

--- Keeps it from firing.
function M.pause(state, about)
  if state.paused then return false end
  state.paused = about
  return true
end

--- Has it fire again, from now on; what would have come meanwhile is counted.
---@return integer|nil passed nil: it was not paused
function M.resume(rule, state, now_ms, rows)
  if not state.paused then return nil end
  local passed = now_ms > state.mark_ms and rule:count(state.mark_ms, now_ms, state.anchor_ms) or 0
  if passed > 0 then
    tell_many(state, rows, "paused", { count = passed, at_ms = now_ms, from_ms = rule:next(state.mark_ms, state.anchor_ms),
      to_ms = now_ms, why = "it was paused" })
  end
  state.paused, state.mark_ms = nil, math.max(state.mark_ms, now_ms)
  return passed
end

return M

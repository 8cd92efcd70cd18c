--- From local times to moments: when a schedule fires, in its zone, over changes of the clock, without the days that its
--- calendar leaves out. Moments are seconds since 1970. Pure; never waits.
---
--- A zone is a row of stretches in each of which one offset holds. Between two of them the clock on the wall jumps: forward
--- over a gap, or back, so that times repeat. A fixed time that falls into a gap fires once at its end (`gap` says
--- otherwise), one that repeats fires the first time (`repeat`). What recurs follows real time: it leaves the gap out and
--- fires in both. A gap of more than three hours is a correction of the clock: nothing is made up for.
--- Source of these rules: cron(8) of Vixie's cron.

local civil = require "weir.schedule.civil"

local M = {}

local GAP_MAX = 3 * 3600 -- seconds
local AHEAD = 40 * 366 * civil.DAY -- how far a calendar is looked through for a day that it leaves

---@class weir.Times
---@field pattern weir.Cron|weir.Fixed  what gives local times
---@field zone weir.Zone
---@field gap "run_after"|"run_before"|"skip"
---@field again "first"|"last"|"both"
---@field calendar weir.Calendar|nil
local Times = {}
Times.__index = Times

-- Local times that are given one by one -------------------------------------------------------------------

---@class weir.Fixed
local Fixed = {}
Fixed.__index = Fixed

function Fixed:next(from)
  for _, time in ipairs(self.list) do
    if time >= from then return time end
  end
end

function Fixed:count_days(first, last)
  local count = 0
  for _, time in ipairs(self.list) do
    local day = time // civil.DAY
    if day >= first and day <= last then count = count + 1 end
  end
  return count
end

--- A pattern of single local times.
---@param list integer[] local seconds
---@return weir.Fixed
function M.fixed(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return setmetatable({ list = sorted, unit = 1, is_fixed = true }, Fixed)
end

-- One stretch -----------------------------------------------------------------------------------------------

-- The moment that stands for what falls into the gap at the end of a stretch; nil when there is none.
local function of_gap(self, stretch)
  local next_offset = self.zone:offset(stretch.to)
  local length = next_offset - stretch.offset
  if self.gap == "skip" or length <= 0 or length > GAP_MAX then return nil end
  local found = self.pattern:next(stretch.to + stretch.offset)
  if not found or found >= stretch.to + next_offset then return nil end
  return self.gap == "run_after" and stretch.to or stretch.to - self.pattern.unit
end

-- The part of a stretch in which local times fire: without those that fire in the one before, or in the one after.
local function firing(self, stretch)
  local from, to = stretch.from, stretch.to
  if self.again == "first" then
    local before = self.zone:offset(from - 1)
    if before > stretch.offset then from = from + before - stretch.offset end
  elseif self.again == "last" then
    local after = self.zone:offset(to)
    if after < stretch.offset then to = to - (stretch.offset - after) end
  end
  return from, to
end

-- The first moment of a stretch, from one on; and the first local time that fits, whether it lies there or not.
local function in_stretch(self, stretch, from)
  local first, last = firing(self, stretch)
  local found = self.pattern:next(math.max(from, first) + stretch.offset)
  local moment = found and found - stretch.offset
  if moment and moment >= last then moment = nil end
  local before = self.gap == "run_before" and of_gap(self, stretch)
  if before and before >= from and (not moment or before < moment) then moment = before end
  return moment, found
end

local function stretch_at(self, moment)
  local from, to, offset = self.zone:at(moment)
  return { from = from, to = to, offset = offset }
end

-- Where to look on: at the next stretch. What is known to be empty is passed over, unless local times come again there.
local function look_on(self, stretch, from, found)
  local next_offset = self.zone:offset(stretch.to)
  if not found then return next_offset < stretch.offset and stretch.to or nil end
  local near = found - stretch.offset - 2 * civil.DAY
  if near > stretch.to and from + stretch.offset <= stretch.to + next_offset then return near end
  return stretch.to
end

-- The first moment from one on, whatever the calendar says.
local function from_on(self, moment)
  while moment and moment < M.LATEST do
    local stretch = stretch_at(self, moment)
    if moment == stretch.from and self.gap == "run_after" and of_gap(self, stretch_at(self, moment - 1)) then return moment end
    local found, next_local = in_stretch(self, stretch, moment)
    if found then return found end
    moment = look_on(self, stretch, moment, next_local)
  end
end

M.LATEST = civil.day(9999, 12, 31) * civil.DAY

-- Looking up --------------------------------------------------------------------------------------------------

--- The first second of the local day after that of a moment.
---@param zone weir.Zone
---@param moment integer
---@return integer
function M.next_day(zone, moment)
  local offset = zone:offset(moment)
  local midnight = ((moment + offset) // civil.DAY + 1) * civil.DAY
  local guess = midnight - offset
  local there = zone:offset(guess)
  if there == offset then return guess end
  return math.max(moment + 1, math.min(guess, midnight - there))
end

--- The first moment after one.
---@param after integer
---@return integer|nil nil: never again
function Times:next(after)
  local moment = from_on(self, after + 1)
  if not self.calendar then return moment end
  local last = after + AHEAD
  while moment and moment <= last do
    if self.calendar:has((moment + self.zone:offset(moment)) // civil.DAY) then return moment end
    moment = from_on(self, M.next_day(self.zone, moment))
  end
end

local function count_slowly(self, after, to)
  local count, moment = 0, self:next(after)
  while moment and moment <= to do
    count, moment = count + 1, self:next(moment)
  end
  return count
end

-- The whole local days of a stretch that lie in (after, to] and that nothing at its ends touches.
local function whole_days(self, stretch, after, to)
  local first, last = firing(self, stretch)
  if self.gap == "run_after" then first = math.max(first, stretch.from + 1) end
  if self.gap == "run_before" then last = math.min(last, stretch.to - civil.DAY) end
  first, last = math.max(first, after + 1), math.min(last, to + 1)
  return -(-(first + stretch.offset) // civil.DAY), (last + stretch.offset) // civil.DAY - 1
end

local function count_days(self, first, last)
  if not self.calendar then return self.pattern:count_days(first, last) end
  local count = 0
  for day = first, last do
    if self.calendar:has(day) then count = count + self.pattern:count_days(day, day) end
  end
  return count
end

--- How many moments there are after one, up to another. Days without a change of the clock are counted as wholes.
---@param after integer
---@param to integer
---@return integer
function Times:count(after, to)
  local count = 0
  while after < to do
    local stretch = stretch_at(self, after + 1)
    local from_day, to_day = whole_days(self, stretch, after, to)
    local stop = math.min(to, stretch.to)
    if to_day < from_day then
      count = count + count_slowly(self, after, stop)
    else
      local first, last = from_day * civil.DAY - stretch.offset, (to_day + 1) * civil.DAY - stretch.offset
      count = count + count_slowly(self, after, first - 1) + count_days(self, from_day, to_day) + count_slowly(self, last - 1, stop)
    end
    after = stop
  end
  return count
end

--- The latest moments after one, up to another, the oldest first.
---@param after integer
---@param to integer
---@param limit integer
---@return integer[]
function Times:latest(after, to, limit)
  local back = 64
  while to - back > after and self:count(to - back, to) < limit do back = back * 4 end
  local list, moment = {}, self:next(math.max(after, to - back))
  while moment and moment <= to do
    list[#list + 1], moment = moment, self:next(moment)
  end
  return table.move(list, math.max(1, #list - limit + 1), #list, 1, {})
end

--- Moments of a pattern in a zone.
---@param pattern weir.Cron|weir.Fixed
---@param zone weir.Zone
---@param options { gap: string|nil, again: string|nil, calendar: weir.Calendar|nil }|nil default: of a fixed time `run_after` and
---   `first`, of what recurs `skip` and `both`
---@return weir.Times
function M.new(pattern, zone, options)
  options = options or {}
  return setmetatable({ pattern = pattern, zone = zone, calendar = options.calendar,
    gap = options.gap or (pattern.is_fixed and "run_after" or "skip"),
    again = options.again or (pattern.is_fixed and "first" or "both") }, Times)
end

--- Single moments: of local times, as their policies say, and others that are moments already.
---@param times weir.Times of a fixed pattern, without a calendar
---@param moments integer[]
---@param utc weir.Zone
---@param calendar weir.Calendar|nil of the zone of `times`
---@return weir.Times
function M.single(times, moments, utc, calendar)
  local list, has = {}, {}
  local function add(moment)
    if has[moment] or calendar and not calendar:has((moment + times.zone:offset(moment)) // civil.DAY) then return end
    list[#list + 1], has[moment] = moment, true
  end
  local first = times.pattern.list[1]
  local moment = first and times:next(first - 2 * civil.DAY)
  while moment do
    add(moment)
    moment = times:next(moment)
  end
  for _, one in ipairs(moments) do add(one) end
  return M.new(M.fixed(list), utc, { gap = "skip", again = "both" })
end

return M

--- Working time: a clock that stands still outside of working hours. It knows the hours of a working day, a calendar that
--- says which days are such days, and the time zone in which both are meant. Pure but for the zone, which is read when a
--- clock is made; never waits.

local calendar_of = require "weir.schedule.calendar"
local civil = require "weir.schedule.civil"
local duration = require "weir.duration"
local failure = require "weir.failure"
local value_of = require "weir.value"
local zone_of = require "weir.schedule.zone"

local M = {}

local DAY = civil.DAY
local DAYS_MAX = 3660 -- without a working day among them; then there is none
local LONGEST = 36525 * DAY -- seconds of working time that are counted; more is as good as for ever

--- What working time may say, as a JSON Schema.
M.schema = { type = "object", additionalProperties = false, properties = {
  hours = { anyOf = { { type = "string" }, { type = "array", items = { type = "string" }, minItems = 1 } },
    description = "of a working day, such as 09:00-17:00, or a list of such" },
  calendar = { description = "which days: a name of the setting `calendars`, {days, exclude, include}, or a list of both" },
  tz = { type = "string", minLength = 1, description = "such as Europe/Berlin; UTC" } } }

---@class weir.WorkingTime
---@field openings { from: integer, to: integer }[] seconds of the day, in order
---@field calendar weir.Calendar
---@field zone weir.Zone
local Working = {}
Working.__index = Working

local function wrong(message, ...) failure.raise("invalid", message, ...) end

local function clock_of(hour, minute)
  hour, minute = math.tointeger(tonumber(hour)), math.tointeger(tonumber(minute))
  if not hour or hour > 24 or minute > 59 or hour == 24 and minute > 0 then return nil end
  return hour * 3600 + minute * 60
end

local function opening_of(text)
  local from_hour, from_minute, to_hour, to_minute = tostring(text):match "^(%d%d):(%d%d)%-(%d%d):(%d%d)$"
  local from, to = clock_of(from_hour, from_minute), clock_of(to_hour, to_minute)
  if not from or not to or to <= from then
    wrong("hours: '%s' is no part of a day; write it as 09:00-17:00, the end behind the beginning", tostring(text):sub(1, 40))
  end
  return { from = from, to = to }
end

local function openings_of(given)
  local list = {}
  for index, text in ipairs(type(given) == "table" and given or { given or "09:00-17:00" }) do list[index] = opening_of(text) end
  table.sort(list, function(a, b) return a.from < b.from end)
  for index = 2, #list do
    if list[index].from < list[index - 1].to then wrong "hours: two parts of the day overlap" end
  end
  return list
end

--- Reads what is said about working time. Raises `invalid`.
---@param given { hours: string|string[]|nil, calendar: any, tz: string|nil }
---@param known table<string, table>|nil calendars by name; nil: whether there is one is not asked
---@return weir.WorkingTime
function M.read(given, known)
  if type(given) ~= "table" then wrong("working: {hours, calendar, tz} expected, got %s", value_of.show(given)) end
  local zone, message = zone_of.open(given.tz or "UTC")
  if not zone then wrong("tz: %s", message) end
  local calendar = calendar_of.read(given.calendar or { days = "mon-fri" }, known)
  return setmetatable({ openings = openings_of(given.hours), calendar = calendar, zone = zone }, Working)
end

--- The same, with nothing in it that has to be looked up by name: what is kept with a question does not change when the
--- settings do. Raises `invalid` (no such calendar).
---@param given table
---@param known table<string, table>|nil
---@return table
function M.resolved(given, known)
  M.read(given, known)
  local function named(one)
    if type(one) == "string" then return known and known[one] or { days = "mon-fri" } end
    return one
  end
  local calendar = given.calendar
  if type(calendar) == "table" and #calendar > 0 then
    local list = {}
    for index, one in ipairs(calendar) do list[index] = named(one) end
    calendar = list
  else
    calendar = named(calendar)
  end
  return { hours = given.hours, calendar = calendar, tz = given.tz }
end

-- The moment of a local time. Where the clock is set forward, the moment at which it is.
local function utc_of(self, here)
  local seconds = here - self.zone:offset(here - self.zone:offset(here))
  return seconds
end

local function local_of(self, seconds)
  return seconds + self.zone:offset(seconds)
end

-- The next working day from a day on.
local function working_day(self, day)
  for found = day, day + DAYS_MAX do
    if self.calendar:has(found) then return found end
  end
  wrong("calendar: it has no working day within %d days of %s", DAYS_MAX, civil.text(day))
end

-- The opening that a moment is in, or the next one: when it begins and ends.
local function opening_at(self, seconds)
  local day = local_of(self, seconds) // DAY
  local first = day - 1 -- a zone's offset may have changed the day
  while true do
    first = working_day(self, first)
    for _, opening in ipairs(self.openings) do
      local from, to = utc_of(self, first * DAY + opening.from), utc_of(self, first * DAY + opening.to)
      if seconds < to and from < to then return from, to end -- a change of the clock may leave nothing of it
    end
    first = first + 1
  end
end

-- The same time of the day, so many working days later.
local function days_later(self, seconds, days)
  local here = local_of(self, seconds)
  local day, of_day = here // DAY, here % DAY
  for _ = 1, days do day = working_day(self, day + 1) end
  return utc_of(self, day * DAY + of_day)
end

local function seconds_later(self, seconds, left)
  while true do
    local from, to = opening_at(self, seconds)
    local at = math.max(seconds, from)
    if at + left <= to then return at + left end
    left, seconds = left - (to - at), to
  end
end

--- Whether the clock goes at a moment.
---@param ms integer since 1970
---@return boolean
function Working:is_open(ms)
  local from = opening_at(self, ms // 1000)
  return from <= ms // 1000
end

--- The moment when so much working time has passed. A whole day of a duration (24 h) is a working day, however long: from
--- Friday at three `1d` leads to Monday at three, `2h` to Friday at five, and `3h` to Monday at ten. Raises `invalid` where
--- the calendar has no working day.
---@param ms integer since 1970
---@param seconds number
---@return integer ms
function Working:after(ms, seconds)
  if seconds > LONGEST then return duration.after(ms, seconds) end
  local begun = opening_at(self, ms // 1000)
  local at = math.max(ms // 1000, begun)
  local days = math.floor(seconds // DAY)
  if days > 0 then at = days_later(self, at, days) end
  local left = math.ceil(seconds - days * DAY)
  if left > 0 or days == 0 then at = seconds_later(self, at, left) end
  return at * 1000 + (begun <= ms // 1000 and ms % 1000 or 0)
end

--- The clock that never stands still.
M.always = { after = function(_, ms, seconds) return duration.after(ms, seconds) end, is_open = function() return true end }

return M

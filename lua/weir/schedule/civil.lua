--- Days and dates of the Gregorian calendar, and moments as people write them. A day is a number: 0 is 1970-01-01. A local
--- time is a number of seconds as if the clock on the wall were UTC. Pure; never waits.
--- Source of the arithmetic: years are counted from March, so that the leap day is the last of its year (as in Howard
--- Hinnant, "chrono-Compatible Low-Level Date Algorithms").

local M = {}

M.DAY = 86400 -- seconds

local DAYS_BEFORE_1970 = 719468 -- from 0000-03-01
local PER_ERA, PER_CENTURY, PER_FOUR = 146097, 36524, 1461

--- The number of a day.
---@param year integer
---@param month integer 1..12
---@param day integer 1..31
---@return integer
function M.day(year, month, day)
  if month <= 2 then year, month = year - 1, month + 12 end
  local era = year // 400
  local of_era = year - era * 400
  local of_year = (153 * (month - 3) + 2) // 5 + day - 1
  return era * PER_ERA + of_era * 365 + of_era // 4 - of_era // 100 + of_year - DAYS_BEFORE_1970
end

--- The date of a day.
---@param number integer
---@return integer year
---@return integer month
---@return integer day
function M.date(number)
  number = number + DAYS_BEFORE_1970
  local era = number // PER_ERA
  local of_era = number - era * PER_ERA
  local year_of_era = (of_era - of_era // (PER_FOUR - 1) + of_era // PER_CENTURY - of_era // (PER_ERA - 1)) // 365
  local of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
  local shifted = (5 * of_year + 2) // 153
  local month = shifted + (shifted < 10 and 3 or -9)
  return year_of_era + era * 400 + (month <= 2 and 1 or 0), month, of_year - (153 * shifted + 2) // 5 + 1
end

--- The day of the week.
---@param number integer
---@return integer 0 is Sunday
function M.weekday(number)
  return (number + 4) % 7
end

---@param year integer
---@return boolean
function M.is_leap(year)
  return year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0)
end

local LENGTHS = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

--- How many days a month has.
---@param year integer
---@param month integer
---@return integer
function M.length(year, month)
  if month == 2 and M.is_leap(year) then return 29 end
  return LENGTHS[month]
end

--- A day as text: 2026-03-29.
---@param number integer
---@return string
function M.text(number)
  return ("%04d-%02d-%02d"):format(M.date(number))
end

-- The day of a date as people write it; nil when there is no such day.
local function day_of(year, month, day)
  year, month, day = math.tointeger(tonumber(year)), math.tointeger(tonumber(month)), math.tointeger(tonumber(day))
  if year < 1 or month < 1 or month > 12 or day < 1 or day > M.length(year, month) then return nil end
  return M.day(year, month, day)
end

--- Reads a date.
---@param text string 2026-03-29
---@return integer|nil day
function M.read_day(text)
  local year, month, day = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  return year and day_of(year, month, day)
end

local function offset_of(text)
  if text == "Z" or text == "z" then return 0 end
  local sign, hours, minutes = text:match "^([+-])(%d%d):?(%d%d)$"
  if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then return nil end
  local seconds = math.tointeger(tonumber(hours)) * 3600 + math.tointeger(tonumber(minutes)) * 60
  return sign == "-" and -seconds or seconds
end

local function clock_of(text)
  if text == "" then return 0, "" end
  local hour, minute, rest = text:match "^[Tt ](%d%d):(%d%d)(.*)$"
  if not hour then return nil end
  local second, after = rest:match "^:(%d%d)(.*)$"
  if second then rest = after end
  rest = rest:gsub("^%.%d+", "", 1) -- parts of a second: nobody starts at them
  hour, minute, second = math.tointeger(tonumber(hour)), math.tointeger(tonumber(minute)), math.tointeger(tonumber(second or "0"))
  if hour > 23 or minute > 59 or second > 59 then return nil end
  return hour * 3600 + minute * 60 + second, rest
end

--- Reads a moment: a date, with a time of day, with an offset from UTC or without.
---@param text string such as 2026-12-24, 2026-12-24T18:00, 2026-12-24T18:00:00Z, 2026-12-24 18:00:30+01:00
---@return integer|nil seconds with an offset since 1970 in UTC, without one as local time; nil: that is no moment
---@return boolean|nil is_local it has no offset
function M.read(text)
  if type(text) ~= "string" or #text > 40 then return nil end
  local year, month, day, rest = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$"
  local number = year and day_of(year, month, day)
  if not number then return nil end
  local seconds, offset = clock_of(rest)
  if not seconds then return nil end
  local of_day = number * M.DAY + seconds
  if offset == "" then return of_day, true end
  local from_utc = rest ~= "" and offset_of(offset) or nil
  if not from_utc then return nil end
  return of_day - from_utc, false
end

--- A moment as text: RFC 3339 with the offset that holds there.
---@param seconds integer since 1970, UTC
---@param offset integer seconds east of UTC
---@return string
function M.format(seconds, offset)
  local here = seconds + offset
  local of_day = here % M.DAY
  local sign = offset < 0 and "-" or "+"
  local minutes = math.abs(offset) // 60
  return ("%sT%02d:%02d:%02d%s%02d:%02d"):format(M.text(here // M.DAY), of_day // 3600, of_day // 60 % 60, of_day % 60, sign,
    minutes // 60, minutes % 60)
end

return M

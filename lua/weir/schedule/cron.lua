--- Cron patterns, as the Open Cron Pattern Specification has them in its versions 1.0 to 1.4: five fields, six with seconds
--- in front, seven with years at the end; names, ranges, steps, lists, nicknames; `L`, `W` and `#`; `+` before the days of the
--- week for "and" where cron says "or". A pattern knows local times only: which moments they are is for `weir.schedule.times`.
--- Pure; never waits.

local civil = require "weir.schedule.civil"
local suggest = require "weir.suggest"

local M = {}

local LONGEST = 256 -- bytes of a pattern
local YEAR_MAX, YEARS_AHEAD = 9999, 400 -- after which dates and days of the week repeat

local NICKNAMES = { ["@yearly"] = "0 0 1 1 *", ["@annually"] = "0 0 1 1 *", ["@monthly"] = "0 0 1 * *", ["@weekly"] = "0 0 * * 0",
  ["@daily"] = "0 0 * * *", ["@midnight"] = "0 0 * * *", ["@hourly"] = "0 * * * *" }

local function numbered(names, first)
  local by_name = {}
  for index, name in ipairs(names) do by_name[name] = index - 1 + first end
  return by_name
end

local MONTHS = numbered({ "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec" }, 1)
local WEEKDAYS = numbered({ "sun", "mon", "tue", "wed", "thu", "fri", "sat" }, 0)

local SECOND = { name = "seconds", first = 0, last = 59 }
local MINUTE = { name = "minutes", first = 0, last = 59 }
local HOUR = { name = "hours", first = 0, last = 23 }
local DAY = { name = "days of the month", first = 1, last = 31, has_last = true, has_nearest = true }
local MONTH = { name = "months", first = 1, last = 12, names = MONTHS }
local WEEKDAY = { name = "days of the week", first = 0, last = 7, names = WEEKDAYS, has_nth = true }
local YEAR = { name = "years", first = 1, last = YEAR_MAX }

---@class weir.Cron
---@field text string        as it was written
---@field unit integer       seconds between two times that may follow each other: 1 with seconds, else 60
---@field is_fixed boolean   seconds, minutes and hours have no `*` and no step: a fixed time of the day
local Cron = {}
Cron.__index = Cron

-- One field -----------------------------------------------------------------------------------------------

local function refuse(field, text, why)
  error({ wrong = ("%s: '%s' %s"):format(field.name, text, why) }, 0)
end

local function number_of(field, text, whole)
  if text:find "^%d+$" and #text <= 4 then
    local value = math.tointeger(tonumber(text))
    if value >= field.first and value <= field.last then return value end
    refuse(field, whole, ("is outside of %d to %d"):format(field.first, field.last))
  end
  local value = field.names and field.names[text:lower()]
  if value then return value end
  local hint = field.names and suggest.hint(text:lower(), require("weir.value").names(field.names)) or ""
  refuse(field, whole, ("is no number from %d to %d%s%s"):format(field.first, field.last, field.names and " and no name" or "", hint))
end

-- First, last and step of one entry of a list.
local function range_of(field, text, whole)
  local range, step = text:match "^([^/]*)/(.*)$"
  range = range or text
  local by = 1
  if step then
    if not step:find "^%d+$" or #step > 4 or tonumber(step) == 0 then refuse(field, whole, "has no step from 1 behind its '/'") end
    by = math.tointeger(tonumber(step))
  end
  if range == "*" or range == "?" then return field.first, field.last == 7 and 6 or field.last, by, true end
  local from, to = range:match "^([^-]+)%-([^-]+)$"
  if not from then
    if step then refuse(field, whole, ("has a step without a range; write '%s-%d/%d'"):format(range, field.last, by)) end
    local value = number_of(field, range, whole)
    return value, value, 1, false
  end
  local first, last = number_of(field, from, whole), number_of(field, to, whole)
  if field == WEEKDAY and last == 0 and first > 0 then last = 7 end -- sat-sun
  if first > last then refuse(field, whole, ("runs backwards; write '%s-%d,%d-%s'"):format(from, field.last, field.first, to)) end
  return first, last, by, step ~= nil
end

local function add_nth(set, first, last, by, nth)
  for value = first, last, by do
    local weekday = value % 7
    set.nth[weekday] = set.nth[weekday] or {}
    set.nth[weekday][nth] = true
  end
end

-- fri#2, fri#L, 5L: the second, the last one of a month.
local function special_weekday(field, set, entry)
  local range, nth = entry:match "^(.-)#(.+)$"
  if not range then
    range = entry:match "^(.+)[Ll]$"
    if not range or field.names[entry:lower()] then return false end
    nth = "L"
  end
  if range:find "[*?]" then refuse(field, entry, "needs a day of the week before its '#' or 'L'") end
  nth = nth:upper() == "L" and "L" or math.tointeger(tonumber(nth:match "^[1-5]$"))
  if not nth then refuse(field, entry, "has no 1 to 5 and no L behind its '#'") end
  local first, last, by = range_of(field, range, entry)
  add_nth(set, first, last, by, nth)
  return true
end

-- L, LW, 15W: the last day, the last working day, the working day nearest to the 15th.
local function special_day(field, set, entry)
  local upper = entry:upper()
  if upper == "L" then set.last = true return true end
  if upper == "LW" or upper == "WL" then set.last_working = true return true end
  local day = upper:match "^(%d+)W$"
  if not day then
    if upper:find "W" then refuse(field, entry, "has no day of the month before its 'W'") end
    return false
  end
  set.nearest[#set.nearest + 1] = number_of(field, day, entry)
  return true
end

local function entry_of(field, set, entry)
  if entry == "" then refuse(field, entry, "is an empty entry of a list") end
  if field.has_nth and special_weekday(field, set, entry) then return end
  if field.has_last and special_day(field, set, entry) then return end
  local first, last, by, is_wild = range_of(field, entry, entry)
  set.is_wild = set.is_wild or is_wild
  for value = first, last, by do set[field == WEEKDAY and value % 7 or value] = true end
end

local function read_field(field, text)
  local set = { nearest = {}, nth = {}, is_wild = false, is_any = text == "*" or text == "?" }
  for entry in (text .. ","):gmatch "([^,]*)," do entry_of(field, set, entry) end
  return set
end

-- For each value the next one that is in the set, itself included.
local function following(set, last)
  local next_of, found = {}, nil
  for value = last, 0, -1 do
    if set[value] then found = value end
    next_of[value] = found
  end
  return next_of
end

-- The days of a month -------------------------------------------------------------------------------------

local function is_nth(days, day, weekday, length)
  local nth = days.nth[weekday]
  return nth ~= nil and (nth[(day - 1) // 7 + 1] or nth.L and day + 7 > length) or false
end

local function working_near(day, length, first)
  local weekday = (first + day - 1) % 7
  if weekday == 6 then return day == 1 and 3 or day - 1 end
  if weekday == 0 then return day == length and day - 2 or day + 1 end
  return day
end

local function special_days(set, length, first)
  local days = {}
  if set.last then days[length] = true end
  if set.last_working then days[working_near(length, length, first)] = true end
  for _, day in ipairs(set.nearest) do
    if day <= length then days[working_near(day, length, first)] = true end
  end
  return days
end

-- Of a month of so many days that begins on that day of the week: for each day the next one that fits.
local function days_of(self, length, first)
  local key = length * 7 + first
  local known = self.months_known[key]
  if known then return known end
  local set, weekdays, fits = self.days, self.weekdays, {}
  local special = special_days(set, length, first)
  for day = 1, length do
    local weekday = (first + day - 1) % 7
    local by_day = set[day] or special[day] or false
    local by_week = weekdays[weekday] or is_nth(weekdays, day, weekday, length)
    if self.needs_both or set.is_any or weekdays.is_any then
      fits[day] = by_day and by_week
    else
      fits[day] = by_day or by_week
    end
  end
  known = following(fits, length)
  self.months_known[key] = known
  return known
end

--- The first day of a month, from a day on, that fits.
---@param year integer
---@param month integer
---@param from integer 1..31
---@return integer|nil day
function Cron:day_in(year, month, from)
  if not self.months[month] then return nil end
  return days_of(self, civil.length(year, month), civil.weekday(civil.day(year, month, 1)))[from]
end

-- Parsing -------------------------------------------------------------------------------------------------

local LAYOUTS = {
  [5] = { MINUTE, HOUR, DAY, MONTH, WEEKDAY },
  [6] = { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY },
  [7] = { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR },
}

local function split(text)
  local fields = {}
  for field in text:gmatch "[^ \t]+" do fields[#fields + 1] = field end
  return fields
end

local function expand(text)
  if text:sub(1, 1) ~= "@" then return text end
  local name = text:lower()
  if NICKNAMES[name] then return NICKNAMES[name] end
  if name == "@reboot" then error({ wrong = "'@reboot' is no time; give the pipeline a trigger of its own instead" }, 0) end
  error({ wrong = ("nickname '%s' is unknown%s"):format(text, suggest.hint(name, require("weir.value").names(NICKNAMES))) }, 0)
end

local function years_of(set)
  if set.is_any then return nil end
  local years = {}
  for year = 1, YEAR_MAX do
    if set[year] then years[#years + 1] = year end
  end
  return years
end

local function has_day(self)
  for month = 1, 12 do
    for _, year in ipairs(self.years or { 2023, 2024 }) do
      local length = civil.length(year, month)
      for first = 0, 6 do
        local is_there = not self.years or civil.weekday(civil.day(year, month, 1)) == first
        if is_there and self.months[month] and days_of(self, length, first)[1] then return true end
      end
    end
  end
  return false
end

local function read(text)
  local fields = split(expand(text))
  local layout = LAYOUTS[#fields]
  if not layout then
    local expected = "5 are expected (minutes hours days months weekdays), 6 with seconds in front, 7 with years at the end"
    error({ wrong = ("it has %d fields; %s"):format(#fields, expected) }, 0)
  end
  local sets, both = {}, false
  for index, field in ipairs(layout) do
    local given = fields[index]
    if field == WEEKDAY and given:sub(1, 1) == "+" then given, both = given:sub(2), true end
    sets[field] = read_field(field, given)
  end
  sets[SECOND] = sets[SECOND] or { [0] = true, is_wild = false }
  local self = setmetatable({ text = text, unit = #fields == 5 and 60 or 1, needs_both = both, days = sets[DAY], months = sets[MONTH],
    weekdays = sets[WEEKDAY], years = sets[YEAR] and years_of(sets[YEAR]), months_known = {} }, Cron)
  self.is_fixed = not (sets[SECOND].is_wild or sets[MINUTE].is_wild or sets[HOUR].is_wild)
  self.seconds, self.minutes, self.hours = following(sets[SECOND], 59), following(sets[MINUTE], 59), following(sets[HOUR], 23)
  self.counts = { sets[SECOND], sets[MINUTE], sets[HOUR] }
  if not has_day(self) then error({ wrong = "it never fires: no month that it names has such a day" }, 0) end
  return self
end

--- Reads a pattern.
---@param text string
---@return weir.Cron|nil
---@return string|nil message what is wrong with it, and where
---@return string|nil code `invalid`
function M.parse(text)
  if type(text) ~= "string" then return nil, "cron: a text expected, got " .. type(text), "invalid" end
  if #text > LONGEST or text:find "[^\32-\126\t]" then
    return nil, ("cron pattern: at most %d plain ASCII characters expected"):format(LONGEST), "invalid"
  end
  local ok, result = pcall(read, text:match "^%s*(.-)%s*$")
  if ok then return result end
  if type(result) ~= "table" or not result.wrong then error(result, 0) end
  return nil, ("cron pattern '%s': %s"):format(text:sub(1, 80), result.wrong), "invalid"
end

-- Looking up ----------------------------------------------------------------------------------------------

-- The first time of the day that fits, from one on; nil when there is none left.
local function time_from(self, of_day)
  local hour, minute, second = of_day // 3600, of_day // 60 % 60, of_day % 60
  local at_hour = self.hours[hour]
  if at_hour == hour then
    local at_minute = self.minutes[minute]
    if at_minute == minute then
      local at_second = self.seconds[second]
      if at_second then return hour * 3600 + minute * 60 + at_second end
      at_minute = self.minutes[minute + 1]
    end
    if at_minute then return hour * 3600 + at_minute * 60 + self.seconds[0] end
    at_hour = self.hours[hour + 1]
  end
  return at_hour and at_hour * 3600 + self.minutes[0] * 60 + self.seconds[0]
end

local function next_year(self, year)
  if not self.years then return year end
  for _, one in ipairs(self.years) do
    if one >= year then return one end
  end
end

-- The first day that fits, from a day on.
local function day_from(self, number)
  local year, month, day = civil.date(number)
  local last = math.min(YEAR_MAX, year + YEARS_AHEAD)
  while true do
    local at = next_year(self, year)
    if not at or not self.years and at > last or at > YEAR_MAX then return nil end
    if at ~= year then year, month, day = at, 1, 1 end
    local found = self:day_in(year, month, day)
    if found then return civil.day(year, month, found) end
    month, day = month + 1, 1
    if month > 12 then year, month = year + 1, 1 end
  end
end

--- The first local time that fits, from one on.
---@param from integer local seconds, see `weir.schedule.civil`
---@return integer|nil local seconds; nil: never again
function Cron:next(from)
  local number, of_day = from // civil.DAY, from % civil.DAY
  local day = day_from(self, number)
  if not day then return nil end
  if day == number then
    local time = time_from(self, of_day)
    if time then return number * civil.DAY + time end
    day = day_from(self, number + 1)
    if not day then return nil end
  end
  return day * civil.DAY + time_from(self, 0)
end

local function size(set, last)
  local count = 0
  for value = 0, last do
    if set[value] then count = count + 1 end
  end
  return count
end

--- How many local times fit in whole days.
---@param first integer number of the first day
---@param last integer of the last
---@return integer
function Cron:count_days(first, last)
  self.of_a_day = self.of_a_day or size(self.counts[1], 59) * size(self.counts[2], 59) * size(self.counts[3], 23)
  local count, day = 0, day_from(self, first)
  while day and day <= last do
    count, day = count + self.of_a_day, day_from(self, day + 1)
  end
  return count
end

return M

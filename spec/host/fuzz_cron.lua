--- What cron patterns promise for any bytes: they are read, or refused with a message and `invalid`; what is read finds times
--- that follow one another, fit the day that it says, and are counted as they are found.

local civil = require "weir.schedule.civil"
local cron = require "weir.schedule.cron"
local zone_of = require "weir.schedule.zone"

local FROM = civil.day(2026, 2, 27) * civil.DAY + 86399
local TIMES = 5

local function must(holds, what) if not holds then error(what, 2) end end

local function check_times(pattern)
  local at, before = FROM, FROM - 1
  for _ = 1, TIMES do
    local found = pattern:next(at)
    if not found then return end
    must(found >= at and found > before and found % pattern.unit == 0, "a time that does not follow")
    local year, month, day = civil.date(found // civil.DAY)
    must(pattern:day_in(year, month, day) == day, "a time on a day that does not fit")
    must(pattern:next(found) == found, "a time that does not find itself")
    before, at = found, found + 1
  end
end

local function check_count(pattern)
  local first, count = FROM // civil.DAY, 0
  local found = pattern:next(first * civil.DAY)
  while found and found < (first + 1) * civil.DAY and count < 3000 do
    count, found = count + 1, pattern:next(found + 1)
  end
  if count < 3000 then must(pattern:count_days(first, first) == count, "a day that is counted otherwise") end
end

return function(bytes)
  local pattern, message, code = cron.parse(bytes)
  if pattern then
    check_times(pattern)
    check_count(pattern)
  else
    must(type(message) == "string" and message ~= "" and code == "invalid", "refused without message or code")
  end
  zone_of.read_rule(bytes)
  civil.read(bytes)
end

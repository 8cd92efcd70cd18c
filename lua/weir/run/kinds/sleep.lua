--- A step that lets time pass: for a duration, or until a time.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local parking = require "weir.run.parking"

local M = { name = "sleep", is_durable = true }

--- Milliseconds since 1970, so many seconds after a moment, or after now.
---@param seconds number
---@param from_ms integer|nil
---@return integer
function M.after(seconds, from_ms)
  return (from_ms or clock.wall_ms()) + math.ceil(seconds * 1000)
end

local function days(year, month, day) -- since 1970-01-01; Howard Hinnant's days_from_civil
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
end

local function is_day(year, month, day)
  if month < 1 or month > 12 or day < 1 then return false end
  local next_year, next_month = month == 12 and year + 1 or year, month % 12 + 1
  return day <= days(next_year, next_month, 1) - days(year, month, 1)
end

--- A time (RFC 3339) in milliseconds since 1970.
---@param text string
---@return integer|nil ms
---@return string? message
function M.parse_time(text)
  local year, month, day, hour, minute, second, zone =
    tostring(text):match "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d%.?%d*)(.*)$"
  local sign, zone_hour, zone_minute = (zone or ""):match "^([+-])(%d%d):(%d%d)$"
  if not year or not (sign or zone == "Z" or zone == "z") then
    return nil, ("sleep until '%s': a time such as 2026-03-01T08:00:00Z expected"):format(tostring(text))
  end
  year, month, day = math.tointeger(year), math.tointeger(month), math.tointeger(day)
  if not is_day(year, month, day) or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) >= 61
    or sign and (tonumber(zone_hour) > 23 or tonumber(zone_minute) > 59) then
    return nil, ("sleep until '%s': there is no such time"):format(text)
  end
  local offset = sign and (sign == "-" and -1 or 1) * (zone_hour * 60 + zone_minute) or 0
  local minutes = (days(year, month, day) * 24 + hour) * 60 + minute - offset
  return math.floor((minutes * 60 + second) * 1000)
end

-- The moment is fixed when the step is first begun, so that a restart does not begin anew. Journals of
-- earlier versions have it as a choice.
local function due_of(frame, step, key)
  if step.until_ms then return step.until_ms(frame.data, frame.began_ms) end
  local journal = frame.run.journal
  local chosen = journal and journal.choices[key .. "/due"]
  return chosen and chosen[3] or M.after(step.seconds, frame.began_ms)
end

function M.execute(frame, step, key)
  local due_ms = due_of(frame, step, key)
  local limit_ms = step.timeout and M.after(step.timeout, frame.attempt_ms or frame.began_ms)
  if limit_ms and limit_ms < due_ms then
    parking.sleep_until(frame.run, key, "sleep", limit_ms)
    failure.raise("timeout", "step '%s': it took longer than its timeout of %g s", key, step.timeout)
  end
  parking.sleep_until(frame.run, key, "sleep", due_ms)
  return { due_at = clock.rfc3339(due_ms) }
end

return M

--- A step that lets time pass: for a duration, or until a time.

local civil = require "weir.schedule.civil"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local parking = require "weir.run.parking"

local M = { name = "sleep", is_durable = true }

--- Milliseconds since 1970, so many seconds after a moment, or after now.
---@param seconds number
---@param from_ms integer|nil
---@return integer
function M.after(seconds, from_ms)
  return duration.after(from_ms or clock.wall_ms(), seconds)
end

-- Minutes of a clock or of an offset; nil when no clock shows them.
local function minutes_of(hour, minute)
  hour, minute = math.tointeger(tonumber(hour)), math.tointeger(tonumber(minute))
  return hour < 24 and minute < 60 and hour * 60 + minute or nil
end

--- A time (RFC 3339) in milliseconds since 1970. The leap second `:60` is the first one of the next minute.
---@param text string
---@return integer|nil ms
---@return string? message
function M.parse_time(text)
  local date, hour, minute, second, zone = tostring(text):match "^(%d%d%d%d%-%d%d%-%d%d)[Tt ](%d%d):(%d%d):(%d%d%.?%d*)(.*)$"
  local sign, zone_hour, zone_minute = (zone or ""):match "^([+-])(%d%d):(%d%d)$"
  local day, minutes = civil.read_day(date or ""), hour and minutes_of(hour, minute)
  local offset = sign and minutes_of(zone_hour, zone_minute) or (zone == "Z" or zone == "z") and 0
  if not day or not minutes or not offset or tonumber(second) >= 61 then
    return nil, ("sleep until '%s': a time such as 2026-03-01T08:00:00Z expected"):format(tostring(text))
  end
  return (day * civil.DAY + (minutes - (sign == "-" and -offset or offset)) * 60) * 1000 + math.floor(second * 1000)
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

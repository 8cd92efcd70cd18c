--- A step that lets time pass: for a duration, or until a time.

local clock = require "weir.port.clock"

local M = { name = "sleep" }

--- Milliseconds since 1970 in so many seconds.
function M.after(seconds)
  return clock.wall_ms() + math.ceil(seconds * 1000)
end

local function days(year, month, day) -- since 1970-01-01; Howard Hinnant's days_from_civil
  if month <= 2 then year = year - 1 end
  local era = year // 400
  local year_of_era = year - era * 400
  local day_of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468
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
  local offset = sign and (sign == "-" and -1 or 1) * (zone_hour * 60 + zone_minute) or 0
  local minutes = (days(math.tointeger(year), math.tointeger(month), math.tointeger(day)) * 24 + hour) * 60 + minute - offset
  return math.floor((minutes * 60 + second) * 1000)
end

--- The moment is fixed when the step is first reached, so that a restart does not begin anew.
function M.execute(frame, step, key)
  local function due()
    if step.until_ms then return step.until_ms(frame.data) end
    return M.after(step.seconds)
  end
  local journal = frame.run.journal
  local due_ms = journal and journal:choice(key .. "/due", due) or due()
  while true do
    local left = (due_ms - clock.wall_ms()) / 1000
    if left <= 0 then break end
    clock.sleep(math.min(left, 3600))
  end
  return { due_at = clock.rfc3339(due_ms) }
end

return M

--- What the headers of an answer say of when to ask again and of how much may be asked. Pure but for the clock.
---
--- Retry-After (RFC 9110, 10.2.3: seconds or a date), retry-after-ms, x-should-retry; x-ratelimit-{limit,remaining,reset}-
--- {requests,tokens} as OpenAI and those who follow it have them, and anthropic-ratelimit-{requests,tokens}-{...}.

local civil = require "weir.schedule.civil"
local duration = require "weir.duration"

local M = {}

local LONGEST = 30 * 86400 -- seconds; what says more is not believed

--- The first value of a header.
---@param headers table<string, string|string[]> names in lower case
---@param name string
---@return string|nil
function M.header(headers, name)
  local value = headers[name]
  if type(value) == "table" then value = value[1] end
  return value
end

local MONTHS = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11, Dec = 12 }

-- Seconds of a day that a clock shows; nil when none does.
local function of_day(hour, minute, second)
  hour, minute, second = tonumber(hour), tonumber(minute), tonumber(second)
  return hour < 24 and minute < 60 and second < 61 and hour * 3600 + minute * 60 + second or nil
end

-- Of two digits of a year: not more than 50 years ahead (RFC 9110, 5.6.7).
local function year_of(text, now)
  local this = civil.date(now // civil.DAY)
  local year = this // 100 * 100 + math.tointeger(tonumber(text))
  return year > this + 50 and year - 100 or year
end

-- In the three forms of RFC 9110, 5.6.7, of which only the first is written today.
local function of_http_date(text, now)
  local day, name, year, hour, minute, second = text:match "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  if not day then
    day, name, year, hour, minute, second = text:match "^%a+, (%d%d)-(%a%a%a)-(%d%d) (%d%d):(%d%d):(%d%d) GMT$"
    year = year and year_of(year, math.floor(now))
  end
  if not day then name, day, hour, minute, second, year = text:match "^%a%a%a (%a%a%a) ([%d ]%d) (%d%d):(%d%d):(%d%d) (%d%d%d%d)$" end
  local number = MONTHS[name] and civil.read_day(("%04d-%02d-%02d"):format(year, MONTHS[name], day))
  local seconds = number and of_day(hour, minute, second)
  return seconds and number * civil.DAY + seconds
end

local function of_rfc3339(text)
  local date, hour, minute, second, zone = text:match "^([%d-]+)[Tt ](%d%d):(%d%d):(%d%d%.?%d*)(.*)$"
  local seconds = date and of_day(hour, minute, second)
  local midnight, is_local = civil.read(seconds and date .. "T00:00:00" .. zone) -- there, as a moment
  return midnight and not is_local and midnight + seconds or nil
end

local function believable(seconds)
  return seconds and seconds >= 0 and seconds <= LONGEST and seconds or nil
end

local function until_time(at, now)
  return at and believable(math.max(0, at - now))
end

--- How long to wait before asking again, in seconds; nil when the answer does not say.
---@param headers table<string, string|string[]>
---@param now number seconds since 1970
---@return number|nil
function M.retry_after(headers, now)
  local ms = tonumber(M.header(headers, "retry-after-ms"))
  if ms then return believable(ms / 1000) end
  local text = M.header(headers, "retry-after")
  if not text then return nil end
  if text:find "^%d+%.?%d*$" then return believable(tonumber(text)) end
  return until_time(of_http_date(text, now), now)
end

local function count(text)
  return text and text:find "^%d+$" and #text < 16 and math.tointeger(tonumber(text)) or nil
end

local function reset(text, now)
  if not text then return nil end
  return until_time(of_rfc3339(text), now) or believable((duration.parse(text)))
end

local FORMS = { "x-ratelimit-%s-%s", "anthropic-ratelimit-%s-%s" }

local function of_kind(headers, kind, now)
  local function get(what)
    return M.header(headers, FORMS[1]:format(what, kind)) or M.header(headers, FORMS[2]:format(kind, what))
  end
  local found = { limit = count(get "limit"), remaining = count(get "remaining"), reset_s = reset(get "reset", now) }
  return next(found) and found or nil
end

--- What the provider says of its rate limits.
---@param headers table<string, string|string[]>
---@param now number seconds since 1970
---@return { requests: table?, tokens: table? }|nil limits each { limit?, remaining?, reset_s? (seconds from now) }
function M.rates(headers, now)
  local found = { requests = of_kind(headers, "requests", now), tokens = of_kind(headers, "tokens", now) }
  return next(found) and found or nil
end

return M

--- What the headers of an answer say of when to ask again and of how much may be asked. Pure but for the clock.
---
--- Retry-After (RFC 9110, 10.2.3: seconds or a date), retry-after-ms, x-should-retry; x-ratelimit-{limit,remaining,reset}-
--- {requests,tokens} as OpenAI and those who follow it have them, and anthropic-ratelimit-{requests,tokens}-{...}.

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

-- Seconds since 1970 of a date in UTC. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
local function epoch(year, month, day, hour, minute, second)
  local shifted = month <= 2 and year - 1 or year
  local of_era = shifted % 400
  local of_year = (153 * (month + (month > 2 and -3 or 9)) + 2) // 5 + day - 1
  local days = (shifted // 400) * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
  return days * 86400 + hour * 3600 + minute * 60 + second
end

local function of_http_date(text)
  local day, name, year, hour, minute, second = text:match "^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  local month = MONTHS[name]
  if not month then return nil end
  return epoch(tonumber(year), month, tonumber(day), tonumber(hour), tonumber(minute), tonumber(second))
end

local function of_rfc3339(text)
  local year, month, day, hour, minute, second = text:match "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt](%d%d):(%d%d):(%d%d%.?%d*)[Zz]$"
  if not year then return nil end
  return epoch(tonumber(year), tonumber(month), tonumber(day), tonumber(hour), tonumber(minute), tonumber(second))
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
  return until_time(of_http_date(text), now)
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

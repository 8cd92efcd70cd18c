--- Durations as people write them: a number of seconds, or text such as `500ms`, `30s`, `2m`,
--- `1h30m`, `7d`. Units go from large to small, each at most once. Pure; never yields.

local value_of = require "weir.value"
local visible = require "weir.text.visible"

local M = {}

local SECONDS = { d = 86400, h = 3600, m = 60, s = 1, ms = 0.001 }
local LONGEST = 999999999999999 -- seconds; what says more, of which none has seen the end, is read as that
local LATEST_MS = 9999999999999 -- the last moment that 13 digits can tell, in the year 2286: keys in the store sort by them
local RANK = { d = 1, h = 2, m = 3, s = 4, ms = 5 }
local NAMES = { "d", "h", "m", "s", "ms" }
local EXPECTED = "a duration such as 500ms, 30s, 2m, 1h30m or 7d"

M.expected = EXPECTED

--- A JSON Schema pattern (ECMA-262) for the text form, a little wider than `parse`.
M.pattern = "^[0-9]+(\\.[0-9]+)?(d|h|m|s|ms)?([0-9]+(\\.[0-9]+)?(d|h|m|s|ms))*$"

local function refuse(value)
  local shown = type(value) == "string" and ("'%s'"):format(visible.head(value, 60)) or type(value) == "number" and tostring(value)
    or value_of.show(value)
  return nil, ("%s expected, got %s"):format(EXPECTED, shown), "invalid"
end

local function whole(seconds)
  return math.tointeger(seconds) or seconds
end

-- Floats only: integers of that size would turn negative when they are multiplied.
local function number_of(text)
  return tonumber(text) + 0.0
end

local function parse_text(text)
  if text:find("^%d+%.?%d*$") then return whole(number_of(text)) end
  local total, rank, at = 0, 0, 1
  repeat
    local number, unit, after = text:match("^(%d+%.?%d*)(%l+)()", at)
    if not number or not RANK[unit] or RANK[unit] <= rank or number:find("%.$") then return refuse(text) end
    -- Milliseconds are divided, not multiplied: 500/1000 is exact where 500*0.001 need not be.
    total = total + (unit == "ms" and number_of(number) / 1000 or number_of(number) * SECONDS[unit])
    rank, at = RANK[unit], after
  until at > #text
  return whole(total)
end

--- Reads a duration. One of more than 999999999999999 seconds is read as that: `format` and sums with moments bear it.
---@param value number|string  seconds (0 or more, finite), or text
---@return number|nil seconds  an integer where it is whole
---@return string? message
---@return string? code        invalid
function M.parse(value)
  if type(value) == "number" then
    if value >= 0 and value < math.huge then return math.min(value, LONGEST) end
    return refuse(value)
  end
  if type(value) ~= "string" or #value > 64 then return refuse(value) end
  local seconds, message, code = parse_text(value)
  if seconds and seconds >= math.huge then return refuse(value) end
  return seconds and math.min(seconds, LONGEST), message, code
end

--- The moment so long after another one; the year 2286 at the latest, since keys that sort by time have 13 digits for it.
---@param ms integer since 1970
---@param seconds number 0 or more
---@return integer ms
function M.after(ms, seconds)
  local later = seconds * 1000
  return later < LATEST_MS - ms and ms + math.ceil(later) or math.max(ms, LATEST_MS)
end

--- A moment that keys can tell: itself, or the last one of which 13 digits can tell.
---@param ms integer since 1970
---@return integer
function M.tellable(ms)
  return math.min(ms, LATEST_MS)
end

local function parts_of(milliseconds)
  local parts = {}
  for _, unit in ipairs(NAMES) do
    local size = unit == "ms" and 1 or SECONDS[unit] * 1000
    local count = milliseconds // size
    milliseconds = milliseconds - count * size
    if count > 0 then parts[#parts + 1] = { unit, count } end
  end
  return parts
end

--- Writes a duration for people, exact to the millisecond and read back by `parse`: `1h30m`, `250ms`.
---@param seconds number  0 or more
---@return string text
function M.format(seconds)
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e15) then
    error("seconds: a number from 0 to 1e15 expected", 2)
  end
  local parts = parts_of(math.floor(seconds * 1000 + 0.5))
  if #parts == 0 then return "0s" end
  for index, part in ipairs(parts) do parts[index] = ("%d%s"):format(part[2], part[1]) end
  return table.concat(parts)
end

return M

--- Time zones, as the system's files tell them (RFC 9636, "The Time Zone Information Format"): which offset from UTC holds
--- when. What lies after the last change that a file lists follows the rule at its end. A zone is read once in a process.
--- Reads files, never waits for anything else. Pure otherwise.

local civil = require "weir.schedule.civil"
local suggest = require "weir.suggest"

local M = {}

local FOLDER = "/usr/share/zoneinfo"
local SIZE_MAX = 1 << 20 -- bytes of a file; the largest of all has a few thousand
local EVER = math.maxinteger // 4

---@class weir.Zone
---@field name string
---@field times integer[]    seconds since 1970 at which the offset changes, as the file lists them
---@field offsets integer[]  the offset from each of them on
---@field first integer      the offset before the first
---@field rule table|nil     what holds after the last
local Zone = {}
Zone.__index = Zone

-- The rule at the end, of POSIX -------------------------------------------------------------------------

-- Hours, minutes and seconds, of which hours may be up to 167.
local function time_of(text, at)
  local sign, hours, next_at = text:match("^([+-]?)(%d%d?%d?)()", at)
  if not hours then return nil end
  local seconds = math.tointeger(tonumber(hours)) * 3600
  for _, unit in ipairs { 60, 1 } do
    local digits, after = text:match("^:(%d%d)()", next_at)
    if not digits then break end
    seconds, next_at = seconds + math.tointeger(tonumber(digits)) * unit, after
  end
  if sign == "-" then seconds = -seconds end
  return seconds, next_at
end

local function name_end(text, at)
  return text:match("^<[^>]+>()", at) or text:match("^%a%a%a+()", at)
end

local function date_of(text, at)
  local month, week, weekday, after = text:match("^M(%d%d?)%.([1-5])%.([0-6])()", at)
  if month then
    local date = { month = math.tointeger(tonumber(month)), week = math.tointeger(tonumber(week)),
      weekday = math.tointeger(tonumber(weekday)) }
    if date.month < 1 or date.month > 12 then return nil end
    return date, after
  end
  local julian, number, next_at = text:match("^(J?)(%d%d?%d?)()", at)
  local day = math.tointeger(tonumber(number))
  if not day or day > 365 or julian == "J" and day < 1 then return nil end
  return { number = day, skips_leap = julian == "J" }, next_at
end

-- A date and the time of day at which it changes, two o'clock when it is not said.
local function change_of(text, at)
  if text:sub(at, at) ~= "," then return nil end
  local date, next_at = date_of(text, at + 1)
  if not date then return nil end
  date.seconds = 7200
  if text:sub(next_at, next_at) == "/" then date.seconds, next_at = time_of(text, next_at + 1) end
  if not date.seconds then return nil end
  return date, next_at
end

--- Reads the rule: `CET-1CEST,M3.5.0,M10.5.0/3`.
---@param text string
---@return table|nil rule {standard, summer, starts, ends}: offsets in seconds, dates; only standard where nothing changes
function M.read_rule(text)
  local at = name_end(text, 1)
  if not at then return nil end
  local west, after = time_of(text, at)
  if not west then return nil end
  local rule = { standard = -west }
  if after > #text then return rule end
  at = name_end(text, after)
  if not at then return nil end
  local summer, next_at = time_of(text, at)
  rule.summer = summer and -summer or rule.standard + 3600
  local starts_at = summer and next_at or at
  rule.starts, next_at = change_of(text, starts_at)
  if not rule.starts then return nil end
  rule.ends, next_at = change_of(text, next_at)
  if not rule.ends or next_at <= #text then return nil end
  return rule
end

local function day_of(date, year)
  if date.number then
    local leap = date.skips_leap and (civil.is_leap(year) and date.number >= 60 and 1 or 0) - 1 or 0
    return civil.day(year, 1, 1) + date.number + leap
  end
  local first = civil.day(year, date.month, 1)
  local day = first + (date.weekday - civil.weekday(first)) % 7 + (date.week - 1) * 7
  local length = civil.length(year, date.month)
  while day >= first + length do day = day - 7 end
  return day
end

-- The changes of a year, the earlier one first.
local function changes_of(rule, year)
  local starts = { at = day_of(rule.starts, year) * civil.DAY + rule.starts.seconds - rule.standard, offset = rule.summer }
  local ends = { at = day_of(rule.ends, year) * civil.DAY + rule.ends.seconds - rule.summer, offset = rule.standard }
  if starts.at <= ends.at then return starts, ends end
  return ends, starts
end

-- Files -------------------------------------------------------------------------------------------------

local HEAD, HEAD_SIZE = ">c4 c1 c15 I4 I4 I4 I4 I4 I4", 44

local function head_at(bytes, at)
  if #bytes < at + HEAD_SIZE - 1 then return nil end
  local magic, version, _, utc, standard, leaps, times, types, chars = HEAD:unpack(bytes, at)
  if magic ~= "TZif" then return nil end
  return { version = version, utc = utc, standard = standard, leaps = leaps, times = times, types = types, chars = chars }
end

local function body_size(head, wide)
  return head.times * (wide + 1) + head.types * 6 + head.chars + head.leaps * (wide + 4) + head.standard + head.utc
end

local function offsets_of(bytes, head, at)
  local offsets = {}
  for index = 1, head.types do offsets[index - 1] = (">i4"):unpack(bytes, at + (index - 1) * 6) end
  return offsets
end

-- Changes of which the offset stays what it was (of names only) are left out.
local function add_times(zone, bytes, head, at, wide)
  local format, offsets = wide == 8 and ">i8" or ">i4", offsets_of(bytes, head, at + head.times * (wide + 1))
  zone.first = offsets[0] or 0
  local latest = zone.first
  for index = 1, head.times do
    local time = format:unpack(bytes, at + (index - 1) * wide)
    local offset = offsets[bytes:byte(at + head.times * wide + index - 1)]
    if not offset then return false end
    if offset ~= latest then
      zone.times[#zone.times + 1], zone.offsets[#zone.offsets + 1] = time, offset
      latest = offset
    end
    zone.listed_to = time
  end
  return true
end

--- Reads the bytes of a file.
---@param name string
---@param bytes string
---@return weir.Zone|nil
---@return string|nil what is wrong with them
function M.decode(name, bytes)
  local head, at, wide = head_at(bytes, 1), HEAD_SIZE + 1, 4
  if not head then return nil, "it does not begin with TZif" end
  if head.version ~= "\0" then
    at = HEAD_SIZE + body_size(head, 4) + 1
    head, at, wide = head_at(bytes, at), at + HEAD_SIZE, 8
    if not head then return nil, "its second part is missing" end
  end
  local size = body_size(head, wide)
  if head.types == 0 or #bytes < at + size - 1 then return nil, "it is cut off" end
  local zone = setmetatable({ name = name, times = {}, offsets = {}, years = {} }, Zone)
  if not add_times(zone, bytes, head, at, wide) then return nil, "a change in it has no type" end
  local footer = wide == 8 and bytes:match("^\n([^\n]*)\n", at + size) or ""
  if footer ~= "" then
    zone.rule = M.read_rule(footer)
    if not zone.rule then return nil, ("the rule at its end cannot be read: '%s'"):format(footer:sub(1, 60)) end
  end
  return zone
end

-- Looking up ----------------------------------------------------------------------------------------------

-- The changes that the rule makes in a year and the years beside it, after what the file lists.
local function changes_near(self, year)
  local near = self.years[year]
  if near then return near end
  near = {}
  for one = year - 1, year + 1 do
    for _, change in ipairs { changes_of(self.rule, one) } do
      if change.at > (self.listed_to or -EVER) then near[#near + 1] = change end
    end
  end
  self.years[year] = near
  return near
end

local function listed_before(self, seconds)
  local low, high = 0, #self.times
  while low < high do
    local middle = (low + high + 1) // 2
    if self.times[middle] <= seconds then low = middle else high = middle - 1 end
  end
  return low
end

-- Where the file has nothing more to say.
local function by_rule(self, seconds, from, offset)
  local rule = self.rule
  if not rule then return from, EVER, offset end
  if not rule.summer then
    if offset == rule.standard then return from, EVER, offset end
    return self.listed_to or -EVER, EVER, rule.standard
  end
  local to = EVER
  for _, change in ipairs(changes_near(self, (civil.date(seconds // civil.DAY)))) do
    if change.at <= seconds then
      if change.offset ~= offset then from, offset = change.at, change.offset end
    elseif change.offset ~= offset then
      to = change.at
      break
    end
  end
  return from, to, offset
end

--- Which offset holds at a moment, since when and until when.
---@param seconds integer since 1970, UTC
---@return integer from  the first second of it; far in the past when it always held
---@return integer to    the first second of the next one; far in the future when it stays
---@return integer offset seconds east of UTC
function Zone:at(seconds)
  local index = listed_before(self, seconds)
  local from = self.times[index] or -EVER
  local offset = self.offsets[index] or self.first
  if index < #self.times then return from, self.times[index + 1], offset end
  return by_rule(self, seconds, from, offset)
end

--- The offset at a moment.
---@param seconds integer
---@return integer
function Zone:offset(seconds)
  local _, _, offset = self:at(seconds)
  return offset
end

-- Opening ---------------------------------------------------------------------------------------------------

local zones = {}

local function utc()
  return setmetatable({ name = "UTC", times = {}, offsets = {}, first = 0, years = {} }, Zone)
end

local function is_name(name)
  if #name > 100 then return false end
  for part in (name .. "/"):gmatch "(.-)/" do
    if not part:find "^%a[%w_+-]*$" then return false end
  end
  return true
end

local function names(folder)
  local found = {}
  local file = io.open(folder .. "/tzdata.zi", "r") or io.open(folder .. "/tzdata.zi.txt", "r")
  if not file then return found end
  for line in file:lines() do
    found[#found + 1] = line:match "^Z (%S+)" or line:match "^L %S+ (%S+)"
  end
  file:close()
  return found
end

local function is_there(path)
  local file = io.open(path, "rb")
  return file ~= nil and file:close()
end

local function refuse_unknown(name, folder)
  if not is_there(folder .. "/tzdata.zi") and not is_there(folder .. "/Etc/UTC") then
    return nil, ("time zone '%s' cannot be looked up: there are no time zones in %s; on Debian they come with the package tzdata"):format(
      name:sub(1, 60), folder), "invalid"
  end
  return nil, ("time zone '%s' is unknown; take a name such as Europe/Berlin, America/New_York or UTC%s"):format(name:sub(1, 60),
    suggest.hint(name, names(folder))), "invalid"
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local bytes = file:read(SIZE_MAX)
  file:close()
  return bytes
end

--- Forgets what was read, so that zones are read anew. For specs, and for who has new files.
function M.forget() zones = {} end

--- Opens a zone by its name.
---@param name string of the system's database, such as Europe/Berlin; "UTC"; "local": that of this machine
---@param folder string|nil of the database, default that of the system
---@return weir.Zone|nil
---@return string|nil message
---@return string|nil code `invalid` (no such zone), `corrupt` (its file cannot be read)
function M.open(name, folder)
  folder = folder or FOLDER
  if name == "UTC" then return utc() end
  local key = folder .. "/" .. name
  if zones[key] then return zones[key] end
  if name ~= "local" and not is_name(name) then return refuse_unknown(name, folder) end
  local path = name == "local" and "/etc/localtime" or key
  local bytes = read(path)
  if not bytes then
    if name == "local" then return utc() end
    return refuse_unknown(name, folder)
  end
  local zone, wrong = M.decode(name, bytes)
  if not zone then return nil, ("time zone '%s': the file %s cannot be read: %s"):format(name, path, wrong), "corrupt" end
  zones[key] = zone
  return zone
end

return M

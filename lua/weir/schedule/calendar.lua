--- Calendars: on which days a schedule may fire at all. Days of the week, days that are left out, days that count although
--- they would be left out. Pure; never waits.

local civil = require "weir.schedule.civil"
local failure = require "weir.failure"
local value_of = require "weir.value"

local M = {}

local NAMES = { sun = 0, mon = 1, tue = 2, wed = 3, thu = 4, fri = 5, sat = 6 }
local RANGE_MAX = 3660 -- days of one entry

--- What a calendar may say, as a JSON Schema.
M.schema = { type = "object", additionalProperties = false, properties = {
  doc = { type = "string" },
  days = { type = "string", description = "days of the week that count, such as mon-fri" },
  exclude = { type = "array", items = { type = "string" } },
  include = { type = "array", items = { type = "string" } } } }

---@class weir.Calendar
---@field list table[]
local Calendar = {}
Calendar.__index = Calendar

local function wrong(message, ...) failure.raise("invalid", message, ...) end

local function add_range(set, from, to, text)
  local first, last = NAMES[from:lower()], NAMES[to:lower()]
  if not first or not last then wrong("days: '%s' is no day of the week and no range of them, such as mon-fri", text) end
  if last < first then last = last + 7 end
  for day = first, last do set[day % 7] = true end
end

local function weekdays_of(text)
  if text == nil then return nil end
  local set = {}
  for entry in (text .. ","):gmatch "%s*([^,]*)%s*," do
    local from, to = entry:match "^(%a+)%-(%a+)$"
    add_range(set, from or entry, to or entry, entry)
  end
  return set
end

local LONGEST = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }

-- The key of a day of every year; nil when there is no such day.
local function yearly_of(entry)
  local month, day = entry:match "^(%d%d)%-(%d%d)$"
  month, day = math.tointeger(tonumber(month)), math.tointeger(tonumber(day))
  if not month or not LONGEST[month] or day < 1 or day > LONGEST[month] then return nil end
  return month * 100 + day
end

local function add_days(set, entry, field)
  local yearly = yearly_of(entry)
  if yearly then set.yearly[yearly] = true return end
  local from, to = entry:match "^(.-)%.%.(.*)$"
  local first, last = civil.read_day(from or entry), civil.read_day(to or entry)
  if not first or not last then
    wrong("%s: '%s' is no day; write 2026-12-25, 12-25 for every year, or 2026-12-24..2027-01-01", field, entry)
  end
  if last < first or last - first > RANGE_MAX then wrong("%s: '%s' runs backwards, or over more than %d days", field, entry, RANGE_MAX) end
  for day = first, last do set.days[day] = true end
end

local function days_of(list, field)
  local set = { days = {}, yearly = {} }
  for _, entry in ipairs(list or {}) do add_days(set, entry, field) end
  return set
end

local function has(set, day)
  if set.days[day] then return true end
  if next(set.yearly) == nil then return false end
  local _, month, of_month = civil.date(day)
  return set.yearly[month * 100 + of_month] == true
end

local function leaves(one, day)
  if has(one.include, day) then return true end
  if one.weekdays and not one.weekdays[civil.weekday(day)] then return false end
  return not has(one.exclude, day)
end

--- Whether a day counts: in all calendars of which this one is made.
---@param day integer see `weir.schedule.civil`
---@return boolean
function Calendar:has(day)
  for _, one in ipairs(self.list) do
    if not leaves(one, day) then return false end
  end
  return true
end

local validate

local function read_one(given)
  validate = validate or assert(require("weir.schema").compile(M.schema, { trusted = true }))
  local fits, errors = validate(given, "calendar")
  if not fits then wrong("%s", errors[1].message) end
  return { weekdays = weekdays_of(given.days), exclude = days_of(given.exclude, "exclude"), include = days_of(given.include, "include") }
end

local function named(name, known)
  if not known then return {} end
  if known[name] then return known[name] end
  wrong("calendar '%s' is unknown%s `calendars` of weir.lua names them", name,
    require("weir.suggest").hint(name, value_of.names(known)):gsub("%?$", "?;"))
end

--- Reads what a schedule says of its calendar: a name, what a calendar says, or a list of both, in all of which a day has to
--- count. Raises `invalid`.
---@param given string|table
---@param known table<string, table>|nil calendars by name; nil: whether there is one is not asked
---@return weir.Calendar
function M.read(given, known)
  local list = {}
  local is_list = type(given) == "table" and #given > 0
  for index, one in ipairs(is_list and given or { given }) do
    if type(one) == "string" then one = named(one, known) end
    if type(one) ~= "table" then wrong("calendar: a name, a table or a list of them expected, got %s", value_of.show(one)) end
    list[index] = read_one(one)
  end
  return setmetatable({ list = list }, Calendar)
end

--- The setting `calendars`: calendars by name.
---@param value any
---@return table|nil
---@return string|nil what is wrong
---@return boolean|nil is_whole the message says where
function M.check(value)
  if type(value) ~= "table" then return nil, ("a table of calendars by name expected, got %s"):format(value_of.show(value)) end
  for _, name in ipairs(value_of.names(value)) do
    local ok, err = pcall(M.read, value[name])
    if not ok then return nil, ("calendars.%s: %s"):format(name, failure.of(err).message), true end
  end
  return value
end

return M

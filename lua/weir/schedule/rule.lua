--- A schedule as a pipeline says it, read and checked: when it fires and what is then done. Pure but for the files of the
--- time zones; never waits.
---
--- Moments are milliseconds since 1970 here and in all that builds on it. What a schedule is known by is its pipeline and its
--- name; so it stays the same schedule while what it says changes.

local calendar_of = require "weir.schedule.calendar"
local civil = require "weir.schedule.civil"
local cron = require "weir.schedule.cron"
local duration = require "weir.duration"
local failure = require "weir.failure"
local hash = require "weir.native.hash"
local suggest = require "weir.suggest"
local times_of = require "weir.schedule.times"
local value_of = require "weir.value"
local zone_of = require "weir.schedule.zone"

local M = {}

M.overlaps = { "skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all" }
M.misses = { "last", "none", "all", "coalesce" }

local FIELDS = { "cron", "every", "at", "tz", "overlap", "missed", "window", "gap", "repeat", "jitter", "start", "end", "limit", "calendar",
  "absent" }
local GAPS, REPEATS = { "run_after", "run_before", "skip" }, { "first", "last", "both" }
local EVERY_MIN, WINDOW = 1000, 365 * 86400 * 1000 -- ms
local NOT_OF_SCHEDULES = { "key", "dedupe", "debounce", "throttle", "batch" }

---@class weir.Rule
---@field id string          s_ and 20 characters, made of pipeline and name
---@field name string        PIPELINE/NAME, or PIPELINE
---@field pipeline string
---@field options table      as they were given
---@field timing string      changes with what decides when it fires
---@field zone weir.Zone
---@field overlap string
---@field missed string
---@field window_ms integer
---@field jitter_ms integer
---@field start_ms integer|nil
---@field end_ms integer|nil
---@field limit integer|nil
---@field every_ms integer|nil
---@field absent table|nil   {pipeline, within_ms}
---@field trigger table      of the definition
local Rule = {}
Rule.__index = Rule

-- Reading ---------------------------------------------------------------------------------------------------

local function wrong(field, message, ...)
  local err = failure.new("invalid", message, ...)
  err.field = field
  error(err, 0)
end

local function one_of(options, field, list)
  local value = options[field]
  if value == nil then return list[1] end
  for _, known in ipairs(list) do
    if value == known then return value end
  end
  wrong(field, "%s must be %s, got '%s'%s", field, table.concat(list, ", "), tostring(value),
    type(value) == "string" and suggest.hint(value, list) or "")
end

local function span_ms(options, field)
  local value = options[field]
  if value == nil then return nil end
  local seconds, message = duration.parse(value)
  if not seconds then wrong(field, "%s: %s", field, message) end
  return math.tointeger(math.floor(seconds * 1000 + 0.5))
end

--- A moment as people write it; without an offset it is one of the zone, the first time that the clock there shows it.
---@param text any
---@param zone weir.Zone
---@return integer|nil ms nil: that is no moment, or the zone leaves it out
---@return boolean is_time whether it is one anywhere
function M.moment(text, zone)
  local seconds, is_local = civil.read(text)
  if not seconds then return nil, false end
  if is_local then seconds = times_of.new(times_of.fixed { seconds }, zone):next(seconds - 2 * civil.DAY) end
  return seconds and seconds * 1000, true
end

local function moment_ms(options, field, zone)
  if options[field] == nil then return nil end
  local ms, is_time = M.moment(options[field], zone)
  if not is_time then
    wrong(field, "%s: a time such as 2026-12-24T18:00 or 2026-12-24T18:00:00Z expected, got %s", field, value_of.show(options[field]))
  end
  if not ms then wrong(field, "%s: '%s' is never in the time zone '%s'", field, options[field], zone.name) end
  return ms
end

local function check_fields(options)
  for _, name in ipairs(value_of.names(options)) do
    local is_known = false
    for _, known in ipairs(FIELDS) do is_known = is_known or known == name end
    if not is_known then wrong(name, "a schedule has no field '%s'%s", tostring(name), suggest.hint(tostring(name), FIELDS)) end
  end
end

local function read_zone(options)
  local name = options.tz
  if name == nil then name = "UTC" end
  if type(name) ~= "string" then wrong("tz", "tz: the name of a time zone expected, got %s", value_of.show(name)) end
  local zone, message = zone_of.open(name)
  if not zone then wrong("tz", "%s", message) end
  return zone
end

-- Single times, some of the zone and some of the world.
local function read_at(options)
  local given, local_ones, moments = options.at, {}, {}
  local list = type(given) == "table" and given or { given }
  if #list == 0 then wrong("at", "at: a time or a list of times expected, got %s", value_of.show(given)) end
  for _, one in ipairs(list) do
    local seconds, is_local = civil.read(one)
    if not seconds then
      wrong("at", "at: a time such as 2026-12-24T18:00 or 2026-12-24T18:00:00Z expected, got %s", value_of.show(one))
    end
    table.insert(is_local and local_ones or moments, seconds)
  end
  return times_of.fixed(local_ones), moments
end

-- What gives local times; and of single times those that are moments already.
local function read_pattern(options)
  local count = (options.cron ~= nil and 1 or 0) + (options.every ~= nil and 1 or 0) + (options.at ~= nil and 1 or 0)
  if count ~= 1 then wrong(nil, "a schedule says one of cron, every and at; this one says %s", count == 0 and "none" or "several") end
  if options.at ~= nil then return read_at(options) end
  if options.cron == nil then return nil end
  local pattern, message = cron.parse(options.cron)
  if not pattern then wrong("cron", "%s", message) end
  return pattern
end

local function read_absent(given)
  if given == nil then return nil end
  if type(given) == "string" then given = { pipeline = given } end
  if type(given) ~= "table" or type(given.pipeline) ~= "string" then
    wrong("absent", "absent: the name of a pipeline, or {pipeline, within} expected, got %s", value_of.show(given))
  end
  for _, name in ipairs(value_of.names(given)) do
    if name ~= "pipeline" and name ~= "within" then wrong("absent", "absent has no field '%s'", tostring(name)) end
  end
  local seconds, message = duration.parse(given.within == nil and 0 or given.within)
  if not seconds then wrong("absent", "absent: within: %s", message) end
  return { pipeline = given.pipeline, within_ms = given.within ~= nil and math.floor(seconds * 1000) or nil }
end

local function read_limit(limit)
  if limit ~= nil and (math.type(limit) ~= "integer" or limit < 1) then
    wrong("limit", "limit: a whole number from 1 expected, got %s", value_of.show(limit))
  end
  return limit
end

local function read_calendar(given, known)
  if given == nil then return nil end
  local ok, calendar = pcall(calendar_of.read, given, known)
  if ok then return calendar end
  wrong("calendar", "%s", failure.of(calendar).message)
end

local function read_every(self, options)
  self.every_ms = span_ms(options, "every")
  if not self.every_ms then return end
  if self.every_ms < EVERY_MIN then wrong("every", "every: at least 1s expected, got '%s'", tostring(options.every)) end
  for _, field in ipairs { "gap", "repeat" } do
    if options[field] ~= nil then wrong(field, "%s is for times of the day; an interval has none", field) end
  end
end

local function read(options, calendars)
  check_fields(options)
  local zone = read_zone(options)
  local self = { options = options, zone = zone, overlap = one_of(options, "overlap", M.overlaps),
    missed = one_of(options, "missed", M.misses), window_ms = span_ms(options, "window") or WINDOW,
    jitter_ms = span_ms(options, "jitter") or 0, limit = read_limit(options.limit), absent = read_absent(options.absent) }
  local pattern, moments = read_pattern(options)
  local calendar = read_calendar(options.calendar, calendars)
  local gap, again = one_of(options, "gap", GAPS), one_of(options, "repeat", REPEATS)
  read_every(self, options)
  if pattern then
    self.times = times_of.new(pattern, zone, { gap = options.gap and gap, again = options["repeat"] and again,
      calendar = not moments and calendar or nil })
    if moments then self.times = times_of.single(self.times, moments, zone_of.open "UTC", calendar) end
  end
  self.calendar = calendar
  self.start_ms, self.end_ms = moment_ms(options, "start", zone), moment_ms(options, "end", zone)
  if self.start_ms and self.end_ms and self.end_ms <= self.start_ms then wrong("end", "end: it is not after start") end
  return self
end

local TIMING = { "cron", "every", "at", "tz", "gap", "repeat", "start", "end", "calendar" }

local function timing_of(options)
  local parts = {}
  for _, field in ipairs(TIMING) do
    if options[field] ~= nil then parts[field] = options[field] end
  end
  return hash.sha256(assert(require("weir.port.store").encode(parts)))
end

--- Checks what a trigger says of its schedule.
---@param options table
---@param calendars table<string, table>|nil by name
---@return true|nil
---@return string|nil message
---@return string|nil field what is wrong, if it is one field
function M.check(options, calendars)
  local ok, err = pcall(read, options, calendars)
  if ok then return true end
  return nil, failure.of(err).message, type(err) == "table" and err.field or nil
end

--- What a trigger of a schedule may not say beside it.
---@param trigger table
---@return string|nil field
function M.misplaced(trigger)
  for _, field in ipairs(NOT_OF_SCHEDULES) do
    if trigger[field] ~= nil then return field end
  end
end

local DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

local function id_of(name)
  local digest, text = hash.sha256(name), ""
  for index = 1, 40, 2 do
    local value = tonumber(digest:sub(index, index + 1), 16) % 36 + 1
    text = text .. DIGITS:sub(value, value)
  end
  return "s_" .. text
end

--- Reads the schedule of a trigger. Raises {code, message, field}: `invalid`.
---@param trigger table of the normal form, with `schedule`
---@param about { pipeline: string, name: string, calendars: table<string, table>|nil } name: within the pipeline
---@return weir.Rule
function M.new(trigger, about)
  local self = setmetatable(read(trigger.schedule, about.calendars), Rule)
  self.pipeline, self.trigger = about.pipeline, trigger
  self.name = about.name
  self.id, self.timing = id_of(self.name), timing_of(trigger.schedule)
  return self
end

--- The schedules of a pipeline: the rules, in the order in which they stand there. Raises as `new`.
---@param definition { name: string, normal: table|nil, on: table[]|nil }
---@param calendars table<string, table>|nil
---@return weir.Rule[]
function M.of(definition, calendars)
  local rules, triggers = {}, {}
  for _, trigger in ipairs(definition.normal and definition.normal.on or {}) do
    if trigger.schedule then triggers[#triggers + 1] = trigger end
  end
  for index, trigger in ipairs(triggers) do
    local name = definition.name
    if trigger.name then name = name .. "/" .. trigger.name elseif index > 1 then name = name .. "/" .. index end
    rules[index] = M.new(trigger, { pipeline = definition.name, name = name, calendars = calendars })
  end
  return rules
end

-- When it fires ---------------------------------------------------------------------------------------------

local function in_calendar(self, ms)
  if not self.calendar then return true end
  local seconds = ms // 1000
  return self.calendar:has((seconds + self.zone:offset(seconds)) // civil.DAY)
end

local DAYS_MAX = 40 * 366 -- of an interval that its calendar leaves out
local LATEST_MS = times_of.LATEST * 1000

-- The first one of an interval at a moment or after it.
local function interval_from(self, ms, anchor_ms)
  return math.max(anchor_ms, anchor_ms - (anchor_ms - ms) // self.every_ms * self.every_ms)
end

local function next_interval(self, after_ms, anchor_ms)
  local ms = interval_from(self, after_ms + 1, anchor_ms)
  for _ = 1, DAYS_MAX do
    if ms > LATEST_MS then return nil end
    if in_calendar(self, ms) then return ms end
    ms = interval_from(self, times_of.next_day(self.zone, ms // 1000) * 1000, anchor_ms)
  end
end

-- Whole seconds, and what lies between two of them.
local function next_time(self, after_ms)
  local found = self.times:next(after_ms // 1000)
  return found and found * 1000
end

--- The first nominal time after a moment.
---@param after_ms integer
---@param anchor_ms integer from which an interval counts
---@return integer|nil nil: never again
function Rule:next(after_ms, anchor_ms)
  if self.start_ms then after_ms = math.max(after_ms, self.start_ms - 1) end
  local ms
  if self.every_ms then ms = next_interval(self, after_ms, anchor_ms) else ms = next_time(self, after_ms) end
  if ms and self.end_ms and ms >= self.end_ms then return nil end
  return ms
end

local function bounds(self, after_ms, to_ms)
  if self.start_ms then after_ms = math.max(after_ms, self.start_ms - 1) end
  if self.end_ms then to_ms = math.min(to_ms, self.end_ms - 1) end
  return after_ms, to_ms
end

local function count_all(self, after_ms, to_ms, anchor_ms)
  local from = math.max(-1, (after_ms - anchor_ms) // self.every_ms)
  return math.max(0, (to_ms - anchor_ms) // self.every_ms - from)
end

-- Day by day: of each either all are left out or none.
local function count_intervals(self, after_ms, to_ms, anchor_ms)
  if not self.calendar then return count_all(self, after_ms, to_ms, anchor_ms) end
  local count = 0
  while after_ms < to_ms do
    local last_ms = math.min(to_ms, times_of.next_day(self.zone, (after_ms + 1) // 1000) * 1000 - 1)
    if in_calendar(self, after_ms + 1) then count = count + count_all(self, after_ms, last_ms, anchor_ms) end
    after_ms = last_ms
  end
  return count
end

--- How many nominal times there are after a moment, up to another.
---@param after_ms integer
---@param to_ms integer
---@param anchor_ms integer
---@return integer
function Rule:count(after_ms, to_ms, anchor_ms)
  after_ms, to_ms = bounds(self, after_ms, to_ms)
  if to_ms <= after_ms then return 0 end
  if self.every_ms then return count_intervals(self, after_ms, to_ms, anchor_ms) end
  return self.times:count(after_ms // 1000, to_ms // 1000)
end

-- A moment behind which an interval has so many times, or few more, up to another; the first one, if it has fewer.
local function before_latest(self, after_ms, to_ms, limit, anchor_ms)
  if self:count(after_ms, to_ms, anchor_ms) <= limit then return after_ms end
  local low, high = after_ms, to_ms
  while high - low > self.every_ms do
    local middle = (low + high) // 2
    if self:count(middle, to_ms, anchor_ms) >= limit then low = middle else high = middle end
  end
  return low
end

--- The latest nominal times after a moment, up to another, the oldest first.
---@param after_ms integer
---@param to_ms integer
---@param limit integer
---@param anchor_ms integer
---@return integer[]
function Rule:latest(after_ms, to_ms, limit, anchor_ms)
  after_ms, to_ms = bounds(self, after_ms, to_ms)
  if to_ms <= after_ms then return {} end
  if not self.every_ms then
    local list = self.times:latest(after_ms // 1000, to_ms // 1000, limit)
    for index, seconds in ipairs(list) do list[index] = seconds * 1000 end
    return list
  end
  local list, ms = {}, self:next(before_latest(self, after_ms, to_ms, limit, anchor_ms), anchor_ms)
  while ms and ms <= to_ms do list[#list + 1], ms = ms, self:next(ms, anchor_ms) end
  return table.move(list, math.max(1, #list - limit + 1), #list, 1, {})
end

--- When a nominal time is due: later by a part of the jitter, the same part whenever it is asked.
---@param nominal_ms integer
---@return integer
function Rule:due(nominal_ms)
  if self.jitter_ms == 0 then return nominal_ms end
  local digest = hash.sha256(("%s %d"):format(self.id, nominal_ms))
  return nominal_ms + tonumber(digest:sub(1, 12), 16) % (self.jitter_ms + 1)
end

--- A moment as people in the zone write it.
---@param ms integer
---@return string RFC 3339 with the offset that holds there
function Rule:local_text(ms)
  local seconds = ms // 1000
  return civil.format(seconds, self.zone:offset(seconds))
end

--- What it says of when, in one line.
---@return string
function Rule:says()
  local options = self.options
  if options.cron then return options.cron end
  if options.every then return "every " .. duration.format(self.every_ms / 1000) end
  return "at " .. (type(options.at) == "table" and table.concat(options.at, ", ") or options.at)
end

return M

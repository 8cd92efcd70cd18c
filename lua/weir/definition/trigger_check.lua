--- The checks of `on`: each trigger names one watcher, and what it does with events can be read. Pure; never yields.

local checker = require "weir.definition.checker"
local form = require "weir.definition.form"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

local below = checker.below

local WATCHERS = { "command", "event", "feed", "files", "schedule", "webhook" }

local function watcher_of(trigger)
  local names = {}
  for _, name in ipairs(value_of.names(trigger)) do
    if not form.is_trigger_field[name] then names[#names + 1] = name end
  end
  return names
end

local function is_built_in(name)
  for _, known in ipairs(WATCHERS) do
    if known == name then return true end
  end
  return false
end

-- The pipeline that is to have finished.
local function check_absent(self, absent, keys)
  local name = type(absent) == "table" and absent.pipeline or absent
  if type(name) ~= "string" or not self.lookup then return end
  local found, known = self.lookup("pipeline", name)
  if found or not known then return end
  self:refuse_plainly(keys, ("pipeline '%s' is unknown"):format(name), "not_found", suggest.nearest(name, known))
end

-- Its time zone and its pattern are read as they will be; a calendar by name is one of the settings.
local function check_schedule(self, trigger, keys)
  local rule = require "weir.schedule.rule"
  local calendars = self.lookup and self.lookup "calendars" or nil
  local ok, message, field = rule.check(trigger.schedule, calendars)
  if not ok then self:refuse_plainly(field and below(keys, "schedule", field) or below(keys, "schedule"), message) end
  check_absent(self, trigger.schedule.absent, below(keys, "schedule", "absent"))
  local misplaced = rule.misplaced(trigger)
  if misplaced then
    self:refuse_plainly(below(keys, misplaced), ("'%s' is for events; a schedule says 'overlap' and 'missed' instead"):format(misplaced))
  end
end

local function check_watcher(self, name, options, keys)
  local declared, known = nil, nil
  if self.lookup then declared, known = self.lookup("watcher", name) end
  if declared then
    if declared.options then self:check_options(declared, options, keys) end
  elseif known and not is_built_in(name) then
    local all = table.move(known, 1, #known, #WATCHERS + 1, { table.unpack(WATCHERS) })
    local meant = suggest.nearest(name, all)
    self:refuse_plainly(keys, ("watcher '%s' is unknown"):format(name), "not_found", meant)
  end
end

local PER_KEY = { "dedupe", "debounce", "throttle", "batch" }

local function check_per_key(self, value, keys, place)
  if type(value) == "string" then return self:check_duration(value, keys) end
  if type(value) ~= "table" then return end
  for _, name in ipairs { "for", "per", "max" } do self:check_duration(value[name], below(keys, name)) end
  self:check_value(value.key, below(keys, "key"), place)
end

--- An entry of `on`.
---@param self weir.Checker
---@param trigger table
---@param keys (string|integer)[]
function M.check(self, trigger, keys)
  local names = watcher_of(trigger)
  if names[1] == "schedule" and #names == 1 then
    check_schedule(self, trigger, keys)
  elseif #names == 1 then
    check_watcher(self, names[1], trigger[names[1]], below(keys, names[1]))
  else
    local got = #names == 0 and "has none" or "has " .. table.concat(names, " and ")
    local what = "a trigger names one watcher, such as files, schedule or webhook; this one %s"
    self:refuse_plainly(keys, what:format(got))
  end
  local place = checker.place { event = true, run = true }
  self:check_value(trigger.input, below(keys, "input"), place)
  self:check_condition(trigger.filter, below(keys, "filter"), place)
  self:check_value(trigger.key, below(keys, "key"), place)
  if type(trigger.singleton) == "string" then self:check_value(trigger.singleton, below(keys, "singleton"), place) end
  for _, name in ipairs(PER_KEY) do check_per_key(self, trigger[name], below(keys, name), place) end
  if trigger.debounce and trigger.batch then
    self:refuse_plainly(below(keys, "batch"), "a trigger has 'debounce' or 'batch', not both: each holds events back in its own way")
  end
end

return M

--- The schedules of a host: it knows those of every pipeline that serves, looks at each when its time has come, and again when
--- a run of it has ended, when a definition was reloaded, or when somebody asks.
---
--- Times of the day follow the clock on the wall, which may be set: so it is looked at now and then. Intervals follow the time
--- that really passes: when the clock is set while the host lives, they move with it.

local bucket = require "weir.serve.bucket"
local clock = require "weir.port.clock"
local decide = require "weir.schedule.decide"
local failure = require "weir.failure"
local names = require "weir.schedule.names"
local native = require "weir.native.scheduler"
local record = require "weir.schedule.record"
local task = require "weir.task"
local tend = require "weir.schedule.tend"

local M = {}

local LOOK_S = 15 -- how long a clock that was set may go unnoticed
local STEP_MS = 1000 -- the least by which a clock is set; less is its own drift
local TENDED_MAX = 16 -- schedules that are tended at once
local STARTS_PER_SECOND, STARTS_BURST = 500, 64

---@class weir.Schedules
---@field host weir.Host
---@field found table<string, weir.Scheduled> by id
---@field broken table[] what could not be read
---@field due_ms table<string, integer|nil> when each is looked at next
local Schedules = {}
Schedules.__index = Schedules

-- What is told ------------------------------------------------------------------------------------------------

local LEVELS = { missed = "warn", dropped = "warn", refused = "error", corrected = "warn" }

local function tell(self, rule, row)
  local data = { schedule = rule.name, id = rule.id, pipeline = rule.pipeline, outcome = row.outcome, kind = row.kind, run = row.run,
    nominal = clock.rfc3339(row.nominal_ms), why = row.why, count = row.interval and row.interval.count,
    lag_s = row.lag_ms and row.lag_ms / 1000, status = row.status }
  local level = LEVELS[row.outcome] or "debug"
  if not row.status then self.host.log[level](self.host.log, "schedule " .. row.outcome, data) end
  self.host.feed:publish("schedule", data)
end

-- Looking -----------------------------------------------------------------------------------------------------

local function wake(self)
  self.is_nudged = true
  if self.waiter then self.waiter:wake() end
end

--- Has a schedule looked at now. Does not wait.
---@param id string
function Schedules:nudge(id)
  self.again[id] = true
  wake(self)
end

local function world_of(self)
  local host, tokens = self.host, bucket.new(STARTS_PER_SECOND, STARTS_BURST)
  return { engine = host.engine, store = host.store, log = host.log, ending = {},
    carry = function(run) host:carry(run) end,
    take_turn = function() tokens:take() end,
    tell = function(rule, row) tell(self, rule, row) end,
    nudge = function(id) self:nudge(id) end,
    spawn = function(body) native.start({ scope = self.scope }, body) end,
    watch = function(run_id, rule) self:watch(run_id, rule) end }
end

--- Has a schedule looked at again when a run of it has ended. Does not wait.
---@param run_id string
---@param rule weir.Rule
function Schedules:watch(run_id, rule)
  if self.watched[run_id] then return end
  self.watched[run_id] = self.host:watch(run_id, function(event, run)
    if event.kind ~= "run" or not run.ended_ms then return end
    if self.watched[run_id] then self.watched[run_id]() end
    self.watched[run_id] = nil
    self:nudge(rule.id)
  end)
end

-- Runs that are waited for: nobody starts them again, so that they have to be watched from here on.
local function watch_active(self, state, rule)
  for _, one in ipairs(state and state.active or {}) do self:watch(one.run, rule) end
end

-- After a failure it is looked at again, later; the others are looked at all the same.
local function try(self, id, one, body, ...)
  local ok, first, second = pcall(body, ...)
  if ok then return true, first, second end
  native.recover()
  native.check()
  self.host.log:error("a schedule could not be looked at", { schedule = one.rule.name, error = failure.of(first).message })
  self.due_ms[id] = clock.wall_ms() + LOOK_S * 1000
end

local function look_at(self, id)
  local one = self.found[id]
  if not one then return end
  local done, state, retry_ms = try(self, id, one, tend.tend, self.world, one.rule, one.definition)
  if not done then return end
  watch_active(self, state, one.rule)
  local due = decide.next_due(one.rule, state)
  if retry_ms then due = math.min(due or retry_ms, retry_ms) end
  self.due_ms[id] = due
end

local function begin(self, id)
  self.tended[id], self.working = true, self.working + 1
  self.again[id], self.due_ms[id] = nil, nil
  native.start({ name = "schedule", scope = self.scope, lane = 2, key = id }, function()
    local _ <close> = setmetatable({}, { __close = function()
      self.tended[id], self.working = nil, self.working - 1
      wake(self)
    end })
    look_at(self, id)
  end)
end

-- The ids of those that are to be looked at, the earliest first.
local function ready(self, now_ms)
  local list = {}
  for id in pairs(self.found) do
    local due = self.due_ms[id]
    if self.again[id] then due = math.min(due or now_ms, now_ms) end
    if due and due <= now_ms and not self.tended[id] then list[#list + 1] = { id = id, due = due } end
  end
  table.sort(list, function(a, b)
    if a.due ~= b.due then return a.due < b.due end
    return a.id < b.id
  end)
  return list
end

local function earliest(self)
  local found
  for id, due in pairs(self.due_ms) do
    if not self.tended[id] and (not found or due < found) then found = due end
  end
  return found
end

-- A clock that was set while the host lived.
local function notice_step(self)
  local offset_ms = clock.wall_ms() - math.floor(clock.now() * 1000)
  local step = offset_ms - (self.offset_ms or offset_ms)
  self.offset_ms = offset_ms
  if math.abs(step) < STEP_MS then return end
  self.host.log:warn("the clock was set", { by_s = step / 1000 })
  for id, one in pairs(self.found) do
    try(self, id, one, record.change, self.host.store, id, function(state)
      return state and decide.shift(one.rule, state, step) and state or nil
    end)
    self.again[id] = true
  end
end

local function rest(self)
  if self.is_nudged then return end
  local due = earliest(self)
  self.waiter = native.waiter()
  local left = due and math.max(0.001, (due - clock.wall_ms()) / 1000)
  if next(self.found) then left = math.min(left or LOOK_S, LOOK_S) end
  self.waiter:wait("the next time of a schedule", left)
  self.waiter = nil
end

local function round(self)
  self.is_nudged = false
  if self.is_stale then
    self.is_stale = false -- or again, when something changes meanwhile
    local ok, err = pcall(self.refresh, self)
    if not ok then
      self.is_stale = true
      error(err, 0)
    end
  end
  notice_step(self)
  for _, one in ipairs(ready(self, clock.wall_ms())) do
    if self.working >= TENDED_MAX or self.host.engine.is_stopping then break end
    begin(self, one.id)
  end
  rest(self)
end

local function serve(scope, self)
  self.scope = scope
  while true do
    local ok, err = pcall(round, self)
    if not ok then
      native.recover()
      native.check()
      self.host.log:error("schedules could not be looked at", { error = failure.of(err).message })
      clock.sleep(1)
    end
  end
end

-- What there is ------------------------------------------------------------------------------------------------

local function tell_broken(self, broken)
  local before = {}
  for _, one in ipairs(self.broken) do before[one.pipeline .. one.message] = true end
  for _, one in ipairs(broken) do
    if not before[one.pipeline .. one.message] then
      self.host.log:error("the schedules of a pipeline cannot be read", { pipeline = one.pipeline, code = one.code, error = one.message })
    end
  end
  self.broken = broken
end

-- What is overdue keeps its place among the others; what has work left, or is new, is looked at now.
local function place(self, id, one)
  local state = record.get(self.host.store, id)
  if not state or state.timing ~= one.rule.timing then
    self.again[id] = true
    return
  end
  self.due_ms[id] = decide.next_due(one.rule, state)
  local is_ahead = state.mark_ms > clock.wall_ms() -- of a clock that was set back since
  if #state.queue > 0 or #state.active > 0 or is_ahead then self.again[id] = true end
end

--- Reads the schedules of every pipeline anew. What was decided of a schedule stays, also when its definition has changed.
--- Waits for files that are loaded for the first time.
function Schedules:refresh()
  local found, broken = names.of(self.host.project)
  tell_broken(self, broken)
  for id in pairs(self.found) do
    if not found[id] then self.due_ms[id] = nil end
  end
  self.found = found
  for id, one in pairs(found) do try(self, id, one, place, self, id, one) end
end

--- Starts them. Does not wait; the first look is at once.
---@param host weir.Host
---@return weir.Schedules
function M.start(host)
  local self = setmetatable({ host = host, found = {}, broken = {}, due_ms = {}, again = {}, tended = {}, watched = {}, working = 0,
    is_stale = true }, Schedules)
  self.world = world_of(self)
  self.unobserve = host.project.registry:observe(function()
    self.is_stale = true
    wake(self)
  end)
  self.task = task.serve(serve, self)
  return self
end

--- Ends them; runs that they started go on. Waits.
function Schedules:close()
  self.unobserve()
  self.task:cancel "the host stops"
  self.task:join()
  for _, take_back in pairs(self.watched) do take_back() end
end

return M

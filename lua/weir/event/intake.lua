--- Where events come in, whatever they come from: the HTTP door, a watcher, a run, the command line. One transaction
--- keeps the event in the log, the key that tells a second delivery of it, its place in the queue of each pipeline that is
--- started by it, and that runs which wait for it are woken. Only then its sender hears that it was taken.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local hops = require "weir.event.hops"
local ids = require "weir.id"
local log = require "weir.event.log"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local seen = require "weir.queue.seen"
local task = require "weir.task"
local value_of = require "weir.value"
local waits = require "weir.event.waits"
local waking = require "weir.run.waking"
local keeping = require "weir.run.keeping"

local M = {}

M.QUEUE = "events" -- under which second deliveries are told
local TOGETHER = 200 -- events of one transaction
local ROOM = 4000    -- operations that leave room for more waits in it; a batch takes 10,000

---@class weir.EventIntake
---@field store weir.Store
---@field engine weir.Engine|nil
---@field subscribers table<weir.Subscriber, true> who is given what comes in
---@field listeners table<fun(entry: weir.LogEntry), true> who hears of it once it is kept
local Intake = {}
Intake.__index = Intake

---@class weir.Subscriber
---@field wants fun(self, event: weir.Event, from: string): boolean
---@field plan fun(self, operations: table[], event: weir.Event, offset: string): string|nil, table|nil gives the outcome; nil and
---   who is full when there is no room
---@field done nil|fun(self, outcome: string) once it is on disk
---@field gate weir.Gate|nil whoever takes something in waits here first

--- The intake of a store.
---@param store weir.Store
---@param engine weir.Engine|nil whose live runs are woken
---@return weir.EventIntake
function M.new(store, engine)
  local latest = log.latest(store)
  if #latest > 2 then ids.go_on_after(latest) end
  return setmetatable({ store = store, engine = engine, subscribers = {}, listeners = {} }, Intake)
end

-- One event's share of a transaction -----------------------------------------------------------------------

-- Of those that wait as many are given it as there is room for; the others after it is kept, which is noted.
local function add_waits(self, plan, event, offset, from)
  local rest = waits.give(self.store, plan, event, offset, ROOM, from)
  if rest then
    plan.operations[#plan.operations + 1] = { op = "put", space = waits.GIVING, key = offset, value = rest }
    plan.has_rest = true
  end
  return rest
end

local function add_subscribers(self, plan, one, offset)
  for subscriber in pairs(one.only and { [one.only] = true } or self.subscribers) do
    if one.only or subscriber:wants(one.event, one.from) then
      local outcome, full = subscriber:plan(plan.operations, one.event, offset)
      if not outcome then return full end
      plan.outcomes[#plan.outcomes + 1] = { subscriber = subscriber, outcome = outcome }
    end
  end
end

-- Where the event stands already, if it came before; else notes that it has come.
local function first_of(self, plan, one, offset)
  if not one.dedupe then return nil end
  local first = plan.keys[one.dedupe]
    or seen.add(self.store, plan.operations, M.QUEUE, one.dedupe, offset, clock.wall_ms(), one.dedupe_s)
  plan.keys[one.dedupe] = first or offset
  return first
end

local LONGEST = { id = 512, source = 2048, type = 512 } -- characters

--- What a door checks of the attributes of an event that came from outside. Raises `invalid`: one is no UTF-8, empty or too long.
---@param event table a CloudEvent
function M.check(event)
  for _, name in ipairs(value_of.names(event)) do
    local value = event[name]
    local length, wrong = 0, nil
    if name ~= "data" and type(value) == "string" then length, wrong = utf8.len(value) end
    if wrong then failure.raise("invalid", "event.%s: byte %d of it is not UTF-8", name, wrong) end
    local most = LONGEST[name]
    if most and (length < 1 or length > most) then failure.raise("invalid", "event.%s: text of 1 to %d characters expected", name, most) end
  end
end

-- Adds an event. Gives who is full, when there is no room for it.
local function add(self, plan, one)
  local operation, offset = log.operation(one.event, one.from, one.dedupe)
  local first = first_of(self, plan, one, offset)
  plan.results[#plan.results + 1] = { offset = first or offset, is_new = not first, one = one }
  if first then return nil end
  plan.operations[#plan.operations + 1] = operation
  add_waits(self, plan, one.event, offset)
  return add_subscribers(self, plan, one, offset)
end

local function new_plan(more)
  local plan = { operations = {}, results = {}, outcomes = {}, runs = {}, keys = {}, over = {} }
  function plan.wake(run_id)
    if plan.runs[run_id] then return end
    plan.runs[run_id] = true
    plan.operations[#plan.operations + 1] = keeping.wake_operation(run_id)
  end
  for _, operation in ipairs(more or {}) do plan.operations[#plan.operations + 1] = operation end
  return plan
end

local function plan_of(self, list, more)
  local plan = new_plan(more)
  for _, one in ipairs(list) do
    local full = add(self, plan, one)
    if full then return nil, full end
  end
  return plan
end

-- The transaction ------------------------------------------------------------------------------------------

local function tell(self, plan)
  for _, one in ipairs(plan.outcomes) do
    if one.subscriber.done then one.subscriber:done(one.outcome) end
  end
  for _, result in ipairs(plan.results) do
    if result.is_new then
      local one = result.one
      for listener in pairs(self.listeners) do
        listener { offset = result.offset, event = one.event, from = one.from, at_ms = clock.wall_ms(), dedupe = one.dedupe }
      end
    end
  end
  for run_id in pairs(plan.runs) do
    if self.engine then waking.wake(self.engine, run_id, function(wait) return wait.events end) end
  end
end

local function count_waking(self, plan, by)
  local counts = self.engine and self.engine.waking
  for run_id in pairs(counts and plan.runs or {}) do
    local count = (counts[run_id] or 0) + by
    counts[run_id] = count > 0 and count or nil
  end
end

-- Whoever is cancelled meanwhile still tells those who are given something: it is in the store, and nobody else tells them.
local function commit(self, plan)
  count_waking(self, plan, 1)
  local ok, results, message, code, at = task.within({ shield = true }, function() return self.store:batch(plan.operations) end)
  count_waking(self, plan, -1)
  if not ok then error(results, 0) end
  return results, message, code, at
end

-- What is about to be given what came before is given that first.
local function await_gates(self)
  local subscriber = next(self.subscribers)
  while subscriber do
    if subscriber.gate then
      subscriber.gate:wait "what came before"
      subscriber = nil
    end
    subscriber = next(self.subscribers, subscriber)
  end
end

-- The next part of an event that is for many waits. Gives what is on disk then, or nil when that was all.
local function give_more(self, offset)
  local plan = native.atomic(function()
    local rest, entry = self.store:get(waits.GIVING, offset), log.get(self.store, offset)
    local part = new_plan()
    local is_left = rest and entry and add_waits(self, part, entry.event, offset, rest)
    if not is_left then part.operations[#part.operations + 1] = { op = "delete", space = waits.GIVING, key = offset } end
    return part
  end)
  local results, message, code = commit(self, plan)
  if not results then failure.raise(code or "failed", "%s", message) end
  tell(self, plan)
  return plan.has_rest
end

--- Gives events to those that wait for them and were not given them in the transaction that took them in, also those that
--- another process has left so. Waits for the disk. Raises what the store refuses with.
function Intake:give_rest()
  for row in pages.rows(self.store, waits.GIVING, {}) do
    while give_more(self, row.key) do end
  end
end

-- Gives the results, or nil and who is full.
local function try(self, list, more, is_exact)
  while true do
    await_gates(self)
    local plan, full = native.atomic(plan_of, self, list, more)
    if not plan then return nil, full end
    if #plan.operations == 0 then return plan.results end
    local results, message, code, at = commit(self, plan)
    if results then
      tell(self, plan)
      if plan.has_rest then self:give_rest() end
      return plan.results
    end
    local was_counted = code == "full" and at and plan.operations[at].op == "add"
    if is_exact and code == "conflict" and at and at <= #more then failure.raise(code, "%s", message) end
    if code ~= "conflict" and not was_counted then failure.raise(code or "failed", "%s", message) end
  end
end

local function check_hops(event)
  if hops.of(event) <= hops.MAX then return end
  failure.raise("limit", "event '%s' of %s is the last of %d that started one another; a pipeline starts itself by what it publishes",
    event.type, event.source, hops.MAX)
end

---@class weir.Arrival
---@field event weir.Event
---@field from string
---@field dedupe string|nil     what tells it from every other one, for seven days or `dedupe_s`
---@field dedupe_s number|nil
---@field only weir.Subscriber|nil nobody else is started by it

--- Takes events in, in one transaction. Waits until they are on disk, and where a pipeline's queue says `wait` until there is
--- room, as long as `patience` says. Raises `full` (with `line`, who is), `limit` (events that start one another without end),
--- and what the store refuses with; then none of them was taken.
---@param list weir.Arrival[] at most 200
---@param options { patience: number|nil, more: table[]|nil, is_exact: boolean|nil, waits_for: nil|fun(line: weir.Line): boolean }|nil
---   patience: seconds, math.huge for ever, default 0; more: operations of a batch, done with it; is_exact: a conflict that they
---   meet is raised, where else all is tried again; waits_for: for whom, default for all
---@return { offset: string, is_new: boolean }[]
function Intake:take(list, options)
  options = options or {}
  for _, one in ipairs(list) do check_hops(one.event) end
  if #list > TOGETHER then error(("at most %d events at a time"):format(TOGETHER), 2) end
  local deadline = clock.now() + (options.patience or 0)
  while true do
    local results, line = try(self, list, options.more, options.is_exact)
    if results then return results end
    local left = (not options.waits_for or options.waits_for(line)) and deadline - clock.now() or 0
    if left <= 0 or not line:await_room(left < math.huge and left or nil) then
      local err = failure.new("full", "the queue of pipeline '%s' is full: it holds %d", line.pipeline, line.queue:depth())
      err.line = line
      error(err, 0)
    end
  end
end

--- Has a function hear of each event once it is kept, until it is taken back. Does not wait.
---@param listener fun(entry: weir.LogEntry)
---@return fun() take_back
function Intake:listen(listener)
  self.listeners[listener] = true
  return function() self.listeners[listener] = nil end
end

return M

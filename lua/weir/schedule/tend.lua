--- One schedule, as a host tends it: decides what has come, starts the runs that are due, ends those that give way, and notes
--- what became of them.
---
--- What is decided is on disk before anything of it happens: the queue of the state holds what is to start. A run is started
--- under a key made of the schedule and the nominal time; a process that dies between that and the note finds the run by its
--- key, so that no nominal time starts two and none is lost.

local absence = require "weir.schedule.absence"
local approval = require "weir.approval"
local clock = require "weir.port.clock"
local decide = require "weir.schedule.decide"
local event_of = require "weir.schedule.event"
local failure = require "weir.failure"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local record = require "weir.schedule.record"

local M = {}

local HAS_ENDED = keeping.HAS_ENDED
local DURATIONS_MAX = 50
local RETRY_S = 30 -- after what may pass, such as a full store
local PAGE = 500 -- questions that are read together

---@class weir.ScheduleWorld what a schedule is tended in
---@field engine weir.Engine
---@field store weir.Store
---@field log weir.Log
---@field carry fun(run: weir.Run) has a prepared run executed
---@field watch fun(run_id: string, rule: weir.Rule) has the schedule looked at again when a run ends
---@field nudge fun(id: string) has a schedule looked at again
---@field spawn fun(body: fun()) in a task of its own
---@field ending table<string, true> runs that are being cancelled
---@field tell fun(rule: weir.Rule, row: table) hears of what is decided and of what becomes of it
---@field take_turn fun() waits until another run may be started

-- What became of runs ------------------------------------------------------------------------------------------

-- How a run stands: nil while it goes on. One in quarantine does not go on before a person has looked at it; the schedule
-- does.
local function ending_of(world, one)
  local row, _, code = world.store:row(one.run)
  if row then
    if not HAS_ENDED[row.status] and row.status ~= "quarantined" then return nil end
    return row.status, row.ended_ms
  end
  if code ~= "not_found" then return nil end
  if world.engine.live[one.run] then return nil end
  return one.status or "unknown", one.ended_ms
end

local function note_end(world, id, state, rows, one, status, ended_ms)
  decide.count(state, status)
  if status == "finished" and ended_ms then
    table.insert(state.durations, math.max(0, ended_ms - one.since_ms))
    if #state.durations > DURATIONS_MAX then table.remove(state.durations, 1) end
  end
  local row = record.row(world.store, id, one.seq)
  if not row then return end
  row.status, row.ended_ms = status, ended_ms
  rows[#rows + 1] = row
end

local function reconcile(world, id, state, rows)
  local active = {}
  for _, one in ipairs(state.active) do
    local status, ended_ms = ending_of(world, one)
    if status then note_end(world, id, state, rows, one, status, ended_ms) else active[#active + 1] = one end
  end
  local changed = #active ~= #state.active
  state.active = active
  return changed
end

-- Deciding -----------------------------------------------------------------------------------------------------

local function admit(world, rule)
  return function(one)
    if rule.absent then
      one.since_ms = absence.since(rule, one)
      local run = absence.finished(world.store, rule.absent.pipeline, one.since_ms)
      if run then return "satisfied", ("run %s of '%s' has finished"):format(run, rule.absent.pipeline) end
    end
    local ok, fits = pcall(event_of.fits, rule, event_of.of(rule, one))
    if not ok then return "refused", failure.of(fits).message end
    if not fits then return "filtered", "its filter does not let it through" end
  end
end

local function tell_all(world, rule, rows)
  for _, row in ipairs(rows) do world.tell(rule, row) end
end

--- Decides what has come. Waits for the disk.
---@param world weir.ScheduleWorld
---@param rule weir.Rule
---@return weir.ScheduleState
function M.decide(world, rule)
  local told
  local state = record.change(world.store, rule.id, function(state, rows)
    told = rows
    local is_new = state == nil
    local now_ms = clock.wall_ms()
    state = state or decide.new_state(rule, now_ms)
    local changed = decide.adopt(state, rule, now_ms) or is_new
    changed = reconcile(world, rule.id, state, rows) or changed
    changed = decide.due(rule, state, now_ms, rows, admit(world, rule)) or changed
    if not changed then
      told = {}
      return nil
    end
    return state
  end)
  tell_all(world, rule, told)
  return state or (record.get(world.store, rule.id))
end

-- Starting ------------------------------------------------------------------------------------------------------

local function take_out(state, one)
  for index, waiting in ipairs(state.queue) do
    if waiting.number == one.number then return table.remove(state.queue, index) end
  end
end

-- Notes what became of an occurrence that was to start: it leaves the queue.
local function note(world, rule, one, row, active)
  local told
  record.change(world.store, rule.id, function(state, rows)
    told = rows
    if not state or not take_out(state, one) then return nil end
    decide.count(state, row.outcome)
    row.seq, row.kind, row.nominal_ms, row.interval = nil, one.kind, one.nominal_ms, one.interval
    local seq = decide.tell(state, rows, row)
    if active then state.active[#state.active + 1] = { run = active.id, seq = seq, since_ms = active.since_ms } end
    return state
  end)
  tell_all(world, rule, told)
end

local MAY_PASS = { full = true, unavailable = true, limit = true }

local function could_not(world, rule, one, err)
  if err.code == "closed" then return "stop" end
  if MAY_PASS[err.code] then
    world.log:warn("a schedule could not start its run; it is tried again", { schedule = rule.name, error = err.message })
    return "later"
  end
  world.log:error("a schedule could not start its run", { schedule = rule.name, code = err.code, error = err.message })
  note(world, rule, one, { outcome = "refused", at_ms = clock.wall_ms(), why = err.message })
  return "refused"
end

local function started(world, rule, one, run_id, since_ms)
  note(world, rule, one, { outcome = "started", at_ms = since_ms, run = run_id, lag_ms = math.max(0, since_ms - one.due_ms) },
    { id = run_id, since_ms = since_ms })
  world.watch(run_id, rule)
end

-- A time of a backfill that had its run before.
local function started_before(world, rule, one, run_id)
  note(world, rule, one, { outcome = "again", at_ms = clock.wall_ms(), run = run_id, why = "it has started a run before" })
end

-- Runs that keep nothing cannot be found by a key: what is to start leaves the queue first, so that it starts once at most.
local function start_unkept(world, rule, one, definition, input, options)
  local run = world.engine:prepare(definition, input, options)
  started(world, rule, one, run.id, clock.wall_ms())
  world.carry(run)
end

local function start_kept(world, rule, one, definition, input, options)
  options.key = ("schedule/%s/%s"):format(rule.id, one.key)
  local ok, run, first = pcall(world.engine.prepare_once, world.engine, definition, input, options)
  if not ok then
    first = type(run) == "table" and run.code == "conflict" and run.run
    if not first then error(run, 0) end
    native.recover()
    run = nil -- the key stands for another input: of a pipeline that was changed, or of a run at its time

  end
  if run then
    world.carry(run)
    return started(world, rule, one, run.id, clock.wall_ms())
  end
  local row = world.store:row(first)
  local since_ms = row and row.started_ms
  if one.kind == "backfill" and (not since_ms or since_ms < one.due_ms) then return started_before(world, rule, one, first) end
  started(world, rule, one, first, since_ms or clock.wall_ms()) -- the process had ended before it was noted
end

local function start(world, rule, definition, one)
  local of = world.engine:plan_of(definition)
  local input = event_of.input(rule, event_of.of(rule, one), of.input_schema)
  local options = { by = "schedule " .. rule.name }
  local begin = of.durability == "none" and start_unkept or start_kept
  begin(world, rule, one, definition, input, options)
end

-- Giving way ----------------------------------------------------------------------------------------------------

local terminate

-- Runs that it started end with it, and nobody is asked any more.
local function end_what_is_left(world, run_id, reason)
  for _, entry in ipairs(world.store:load(run_id) or {}) do
    if entry[1] == "choice" and entry[2]:find "/?start [^/]*$" and type(entry[3]) == "string" then
      terminate(world, entry[3], reason)
    end
  end
  local after
  repeat
    local page = approval.pending(world.store, { run = run_id, limit = PAGE, after = after }) or {}
    for _, asked in ipairs(page) do approval.cancel(world.store, asked.id, reason) end
    after = page[#page] and page[#page].id
  until #page < PAGE
end

-- Stopped where it stands; what it did is not undone, and nothing of it goes on.
function terminate(world, run_id, reason)
  local engine = world.engine
  local live = engine:at_work(run_id)
  while live do
    live:stop(reason)
    live:await_left()
    live = engine:at_work(run_id)
  end
  engine:alone(run_id, function() -- nobody wakes it meanwhile
    local row = world.store:row(run_id)
    if not row or HAS_ENDED[row.status] then return end
    end_what_is_left(world, run_id, reason)
    keeping.give_up(world.store, run_id, row, failure.new("cancelled", "%s; what it did was not undone", reason))
  end)
end

-- Whoever is asked to end may need time to clean up: nobody waits for it here.
local function cancel(world, rule, run_id, reason)
  if world.ending[run_id] then return end
  world.ending[run_id] = true
  world.spawn(function()
    local ok, err = pcall(world.engine.cancel, world.engine, run_id, reason)
    world.ending[run_id] = nil
    if not ok and failure.of(err).code ~= "conflict" then
      world.log:warn("a run could not be cancelled", { run = run_id, schedule = rule.name, error = failure.of(err).message })
    end
    world.nudge(rule.id)
  end)
end

local function end_others(world, rule, state, one)
  local reason = ("the schedule '%s' starts its next run"):format(rule.name)
  for _, active in ipairs(state.active) do
    if one.ends == "terminate" then terminate(world, active.run, reason) else cancel(world, rule, active.run, reason) end
  end
  return M.decide(world, rule)
end

-- The first of those that wait which may start now.
local function startable(state)
  for _, one in ipairs(state.queue) do
    local may = not state.paused or one.kind == "manual" or one.kind == "backfill"
    if may and (#state.active == 0 or one.overlap == "allow_all" or one.ends) then return one end
  end
end

--- Decides what has come and starts what may start. Waits for the disk, and for runs that are to give way.
---@param world weir.ScheduleWorld
---@param rule weir.Rule
---@param definition weir.Definition
---@return weir.ScheduleState
---@return integer|nil retry_ms when it is to be tried again
function M.tend(world, rule, definition)
  local state = M.decide(world, rule)
  while not world.engine.is_stopping do
    local one = startable(state)
    if not one then break end
    if one.ends and #state.active > 0 then state = end_others(world, rule, state, one) end
    if #state.active > 0 and one.overlap ~= "allow_all" then break end
    world.take_turn()
    local ok, err = pcall(start, world, rule, definition, one)
    if not ok then
      native.recover()
      native.check()
      local what = could_not(world, rule, one, failure.of(err))
      if what ~= "refused" then return state, what == "later" and clock.wall_ms() + RETRY_S * 1000 or nil end
    end
    state = M.decide(world, rule)
  end
  return state
end

return M

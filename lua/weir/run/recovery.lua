--- Goes on with runs that a process left behind. Many at once, the oldest first. Those under which the
--- process ended more than once come after the rest and one by one, so that the one that ends it is found;
--- the third time it is quarantined, and the others have gone on.

local allowance = require "weir.run.allowance"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local journal = require "weir.run.journal"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local task = require "weir.task"
local value_of = require "weir.value"
local waking = require "weir.run.waking"

local M = {}

local CRASHES = 3      -- after so many a run is quarantined
local AT_ONCE = 256    -- runs
local ELSEWHERE = { unavailable = true, conflict = true } -- not the run's fault: no store, or somebody is at work on it
local ALONE_FOR = 5    -- seconds that a suspect runs before the next one begins

--- Ids of the runs that were under way when their process ended, oldest first.
---@param store userdata
---@return string[]
function M.unfinished(store)
  local ids, after = {}, nil
  repeat
    local page, message, code = store:runs { status = "running", after = after, limit = 500, damaged = true }
    if not page then failure.raise(code or "failed", "%s", message) end
    for _, found in ipairs(page) do ids[#ids + 1] = found.id end
    after = page[#page] and page[#page].id
  until #page < 500
  return ids
end

local function abandon(run)
  run.binding:release()
  run.engine.live[run.id] = nil
  if run.has_left then run.has_left:open() end
end

local function crashed_too_often(run)
  local under_way = value_of.names(run.journal.began)
  local err = failure.new("failed", "the process has ended %d times %s; `weir resume %s` tries once more, `weir cancel %s` ends the run",
    CRASHES, #under_way > 0 and ("while step '%s' was under way"):format(table.concat(under_way, "', '")) or "in this run", run.id, run.id)
  err.step = under_way[1]
  return err
end

local function quarantine(engine, run_id, err)
  local row = engine.store:row(run_id)
  if row then pcall(keeping.quarantine, engine.store, run_id, row, err) end
end

-- From now on what begins is on disk first, until there is progress.
local function begin_life(run, anyway)
  local book = run.journal
  if anyway then
    book:append({ "stop", clock.wall_ms(), "resumed by hand" }, keeping.row(run))
    book.lives, book.is_open = 0, false
  end
  if book:crashes() >= CRASHES then
    local err = crashed_too_often(run)
    quarantine(run.engine, run.id, err)
    error(err, 0)
  end
  book:append { "life", clock.wall_ms() }
  book.lives, book.is_careful, book.has_begun = book:crashes(), true, true
end

--- Prepares to go on with a run. Waits. Raises {code, message}; a run that cannot be gone on with is
--- quarantined, and the others are not kept from it.
---@param engine weir.Engine
---@param run_id string
---@param options { listener: function?, anyway: boolean?, cancel: string? }|nil anyway: also if it was quarantined
---@return weir.Run
function M.open(engine, run_id, options)
  options = options or {}
  local ok, run = pcall(engine.reopen, engine, run_id, options)
  if not ok then
    local err = failure.of(run)
    if not ELSEWHERE[err.code] and not options.cancel then quarantine(engine, run_id, err) end
    error(err, 0)
  end
  if options.cancel then return run end
  local begun, why
  if run.was_running or options.anyway then
    begun, why = pcall(begin_life, run, options.anyway)
  else
    begun, why = pcall(keeping.wake, run)
  end
  if begun then begun, why = pcall(allowance.resumed, run) end
  if begun then return run end
  abandon(run)
  error(why, 0)
end

--- Goes on with a run until it ends or only waits. One that is at work here already, as a run that another one
--- started may be, is only waited for. Waits.
---@param engine weir.Engine
---@param run_id string
---@return weir.Run|nil run nil: it has ended, or was paused, meanwhile
function M.go_on(engine, run_id)
  local before = engine.store:row(run_id)
  local live = engine:at_work(run_id)
  if live then
    live:await_left()
    return live
  end
  local row = engine.store:row(run_id)
  local is_over = row and (keeping.HAS_ENDED[row.status] or row.is_paused and not before.is_paused)
  if is_over then return nil end -- whoever had it has gone on with it meanwhile, or has paused it
  local run = M.open(engine, run_id)
  run:execute()
  if run.is_woken and run.interrupted == "parked" then return M.go_on(engine, run_id) end
  return run
end

local function report(options, run_id, ok, result)
  if not ok then
    native.recover()
    result = failure.of(result)
  end
  if options.on_left and result then options.on_left(run_id, ok and result or nil, not ok and result or nil) end
end

local function work(engine, ids, state, options)
  while state.next <= #ids and not engine.is_stopping do
    local run_id = ids[state.next]
    state.next = state.next + 1
    report(options, run_id, pcall(M.go_on, engine, run_id))
  end
end

local function side_by_side(engine, ids, options)
  local state = { next = 1 }
  local ok, err = task.within({}, function()
    for _ = 1, math.min(AT_ONCE, #ids) do
      native.start({ name = "recovery", lane = 2 }, work, engine, ids, state, options)
    end
  end)
  if not ok then error(err, 0) end
end

-- A suspect has made progress, or time enough to end the process. It is not at work yet while its journal is read and its
-- new life is written.
local function await_proof(engine, run_id, going)
  local deadline = clock.now() + ALONE_FOR
  native.yield()
  while clock.now() < deadline and not going.is_over do
    local run = engine.live[run_id]
    if run and run.journal.has_begun and not run.journal.is_careful then return end
    native.sleep(0.01)
  end
end

local function one_by_one(engine, ids, options)
  local ok, err = task.within({}, function()
    for _, run_id in ipairs(ids) do
      if engine.is_stopping then return end
      local going = {}
      native.start({ name = "recovery" }, function()
        report(options, run_id, pcall(M.go_on, engine, run_id))
        going.is_over = true
      end)
      await_proof(engine, run_id, going)
    end
  end)
  if not ok then error(err, 0) end
end

-- Runs under which the process ended again without progress come last.
local function sorted_out(engine)
  local sound, suspects = {}, {}
  for _, run_id in ipairs(M.unfinished(engine.store)) do
    local entries = engine.store:load(run_id)
    local readable, book = pcall(journal.new, nil, entries or {}) -- one that is not is set aside when it is its turn
    local list = readable and book:crashes() > 1 and suspects or sound
    list[#list + 1] = run_id
  end
  return sound, suspects
end

-- Due runs that have not been tried yet: one that cannot go on keeps its timer. One that cannot be read is told.
local function untried(engine, tried, options)
  if engine.is_stopping then return {} end
  local ids = {}
  local due, damaged = waking.due(engine, nil, function(run_id) return tried[run_id] end)
  for _, run_id in ipairs(due) do
    if not tried[run_id] then ids[#ids + 1] = run_id end
    tried[run_id] = true
  end
  for _, run_id in ipairs(damaged) do
    if not tried[run_id] then report(options, run_id, false, failure.new("corrupt", "run '%s': its row is damaged", run_id)) end
    tried[run_id] = true
  end
  return ids
end

local function all_due(engine, tried, options)
  local count = 0
  repeat
    local due = untried(engine, tried, options)
    side_by_side(engine, due, options)
    count = count + #due
  until #due == 0
  return count
end

--- Goes on with every run that was under way, and with those whose time has come. Waits until all have ended
--- or only wait.
---@param engine weir.Engine
---@param options { on_left: fun(run_id: string, run: weir.Run|nil, err: table|nil)|nil, due: boolean|nil }|nil on_left: called
---   for each; due: false leaves those whose time has come to a service
---@return integer count
function M.all(engine, options)
  options = options or {}
  local sound, suspects = sorted_out(engine)
  local count, tried = #sound + #suspects, {}
  for _, run_id in ipairs(suspects) do tried[run_id] = true end -- due or not, they come last
  side_by_side(engine, sound, options)
  if options.due ~= false then count = count + all_due(engine, tried, options) end
  one_by_one(engine, suspects, options)
  return count
end

return M

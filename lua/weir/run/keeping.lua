--- What is kept of runs beside their journals: definitions and modules by version, the row that lists
--- show, and which run is to be woken when. All of it waits for the disk and raises {code, message}.
---
--- Spaces: `definitions` by version; `modules` by NAME@version; `timers`, in the order in which they are
--- due: key "DUE_MS/RUN", DUE_MS in 13 digits, 0 for what has come already.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local starts = require "weir.run.starts"

local M = {}

M.FORMAT = 1 -- of the entries of a journal

--- Statuses of runs that do nothing any more.
M.HAS_ENDED = { finished = true, failed = true, cancelled = true }

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

-- Definitions and modules ---------------------------------------------------------------------------

--- What the space `definitions` keeps of a definition.
---@param definition weir.Definition
---@return table
function M.definition_record(definition)
  if definition.kind == "flow" then
    return { kind = "flow", name = definition.name, file = definition.file, text = definition.text, used = definition.used,
      version = definition.version, loaded_at = definition.loaded_at }
  end
  return { kind = "pipeline", normal = definition.normal, version = definition.version, file = definition.file,
    loaded_at = definition.loaded_at }
end

local KNOWN_MAX = 4096 -- names of one generation

--- What of a store's definitions and modules this process knows to be there, by "SPACE/KEY": what was put or used lately. Two
--- generations, so that it neither grows for ever nor forgets what a run that just begins has put.
---@class weir.Kept
---@field is_leaving table<string, boolean> what is being removed
local Kept = {}
Kept.__index = Kept

local kept_by_store = setmetatable({}, { __mode = "k" })

--- What is known of a store.
---@param store weir.Store
---@return weir.Kept
function M.kept_of(store)
  local kept = kept_by_store[store]
  if not kept then
    kept = setmetatable({ recent = {}, before = {}, count = 0, is_leaving = {}, coming = {} }, Kept)
    kept_by_store[store] = kept
  end
  return kept
end

--- Whether something was put or used lately.
---@param id string
---@return boolean
function Kept:has(id) return self.recent[id] or self.before[id] or false end

--- Begins a new generation; what is older than the one before is forgotten.
function Kept:turn() self.before, self.recent, self.count = self.recent, {}, 0 end

--- Notes that something was put or used.
---@param id string
function Kept:mark(id)
  if self.recent[id] then return end
  if self.count >= KNOWN_MAX then self:turn() end
  self.recent[id], self.count = true, self.count + 1
end

--- Notes that something is not there after all.
---@param id string
function Kept:forget(id) self.recent[id], self.before[id] = nil, nil end

-- What another run is just putting may not come to be there: it is put once more.
local function put_once(engine, operations, space, key, value)
  local id, kept = space .. "/" .. key, M.kept_of(engine.store)
  local is_there = kept:has(id) and not kept.coming[id]
  if not is_there and (kept.is_leaving[id] or not engine.store:get(space, key)) then
    operations[#operations + 1] = { op = "put", space = space, key = key, value = value() }
  end
  kept:mark(id)
end

local function definition_operations(engine, plans, operations)
  for _, of in ipairs(plans) do
    put_once(engine, operations, "definitions", of.version, function() return M.definition_record(of.definition) end)
  end
end

local function module_operations(engine, entries, operations)
  for full, entry in pairs(entries) do
    if entry.text then
      put_once(engine, operations, "modules", full .. "@" .. entry.version, function()
        return { text = entry.text, file = entry.file, used = entry.used, loaded_at = entry.loaded_at }
      end)
    end
  end
end

local OF_VERSIONS = { definitions = true, modules = true }

--- Counts the definitions and modules that are on their way into a store, 1, or are not any more, -1: meanwhile nothing of them is
--- swept away, and nobody relies on their being there. Does not wait.
---@param store userdata
---@param operations table[]
---@param by 1|-1
function M.count_coming(store, operations, by)
  local kept = M.kept_of(store)
  for _, operation in ipairs(operations) do
    if operation.op == "put" and OF_VERSIONS[operation.space] then
      local id = operation.space .. "/" .. operation.key
      local count = (kept.coming[id] or 0) + by
      kept.coming[id] = count > 0 and count or nil
      if by > 0 then kept:mark(id) end
    end
  end
end

--- Notes that operations were refused: what they were to put may not be there after all. Does not wait.
---@param store userdata
---@param operations table[]
function M.not_there(store, operations)
  local kept = M.kept_of(store)
  for _, operation in ipairs(operations) do
    local id = operation.op == "put" and OF_VERSIONS[operation.space] and operation.space .. "/" .. operation.key
    if id and not kept.coming[id] and not store:get(operation.space, operation.key) then kept:forget(id) end
  end
end

local function commit(engine, operations)
  if #operations == 0 then return end
  M.count_coming(engine.store, operations, 1)
  local ok, done, message, code = pcall(engine.store.batch, engine.store, operations)
  M.count_coming(engine.store, operations, -1)
  if ok and done then return end
  M.not_there(engine.store, operations)
  if not ok then error(done, 0) end
  must(done, message, code)
end

function M.definitions(engine, plans)
  local operations = {}
  definition_operations(engine, plans, operations)
  commit(engine, operations)
end

function M.modules(engine, entries)
  local operations = {}
  module_operations(engine, entries, operations)
  commit(engine, operations)
end

-- What a run needs to go on after the files have changed, unless it is in the store already.
local function binding_operations(run, operations)
  local held = run.binding
  if held.is_kept then return end
  local plans = { run.plan }
  for _, child in pairs(held.children) do plans[#plans + 1] = child end
  definition_operations(run.engine, plans, operations)
  module_operations(run.engine, held.entries, operations)
end

-- Rows ----------------------------------------------------------------------------------------------

local function waiting_of(run)
  local list = {}
  for key, wait in pairs(run.waits) do
    list[#list + 1] = { step = key, kind = wait.kind, id = wait.id, name = wait.name, since_ms = wait.since_ms, due_ms = wait.due_ms }
  end
  table.sort(list, function(a, b) return a.step < b.step end)
  return #list > 0 and list or nil
end

--- The row of a run: what lists show, kept beside its journal.
---@param run weir.Run
---@return table
function M.row(run)
  local err = run.error
  return { status = run.status, pipeline = run.plan.name, version = run.plan.version, started_ms = run.started_ms,
    ended_ms = run.ended_ms, key = run.key, parent = run.parent_id, of = run.of and run.of.run,
    due_ms = not run.ended_ms and run.due_ms or nil, waiting = not run.ended_ms and run.parked_on or nil,
    error = err and { code = err.code, message = err.message, step = err.step } }
end

-- Timers --------------------------------------------------------------------------------------------

--- The key under which a run stands among the timers.
---@param run_id string
---@param due_ms integer|nil nil: it has come already
function M.timer_key(run_id, due_ms)
  return ("%013d/%s"):format(due_ms or 0, run_id)
end

--- The operation that has a run woken by the next process that looks.
function M.wake_operation(run_id)
  return { op = "put", space = "timers", key = M.timer_key(run_id), value = true }
end

--- Commits what wakes a run; until it is on disk the run does not park over it.
---@param engine weir.Engine
---@param run_id string
---@param commit_it fun(): any Waits
---@return any ... what it gives
function M.waking(engine, run_id, commit_it)
  local count = engine.waking
  count[run_id] = (count[run_id] or 0) + 1
  local results = table.pack(pcall(commit_it))
  count[run_id] = count[run_id] > 1 and count[run_id] - 1 or nil
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

local function drop_timer(operations, run, due_ms)
  operations[#operations + 1] = { op = "delete", space = "timers", key = M.timer_key(run.id, due_ms) }
end

-- Of a run that nobody executes.
local function timer_drops(run_id, row)
  local operations = { { op = "delete", space = "timers", key = M.timer_key(run_id) } }
  if math.type(row.due_ms) == "integer" then
    operations[2] = { op = "delete", space = "timers", key = M.timer_key(run_id, row.due_ms) }
  end
  return operations
end

-- A run that was never parked and never woken has no timers. What wakes it since it has looked, or at this moment,
-- is still to be looked at when it is parked.
local function drop_timers(operations, run, has_ended, next_ms)
  if not run.was_reopened and not run.has_wakes then return end
  if has_ended or not (run.is_woken or run.engine.waking[run.id]) then drop_timer(operations, run) end
  if run.due_ms and run.due_ms ~= next_ms then drop_timer(operations, run, run.due_ms) end
end

-- The life of a run -----------------------------------------------------------------------------------

--- Begins the journal of a run. Raises `conflict` when its key has started another one.
---@param run weir.Run
---@return userdata handle of the journal
function M.begin(run)
  local handle = run.engine.store:new_run(run.id, 1)
  local head = { format = M.FORMAT, pipeline = run.plan.name, version = run.plan.version, input = run.input,
    pins = run.binding.pins, at = run.started_ms, key = run.key, asked = run.asked, parent = run.parent_id, by = run.by,
    model = run.model, event = run.event, event_offset = run.event_offset }
  local operations = {}
  if run.asked then operations[1] = starts.claim(run.key, run.id, run.asked) end
  binding_operations(run, operations)
  if #operations == 0 then
    must(handle:append({ "run", head }, M.row(run)))
  else
    operations[#operations + 1] = { op = "entry", journal = handle, entry = { "run", head }, row = M.row(run) }
    commit(run.engine, operations)
  end
  run.binding.is_kept = not run.plan.flow
  return handle
end

-- What follows the end of a run of a pipeline that reflects; a run ends also if that cannot be begun. Gives what is to be closed
-- once it is kept.
local function follow(operations, run)
  if not run.plan.reflect then return nil end
  local ok, more, reflection, claim = pcall(require("weir.reflection.start").operations, run)
  if not ok then
    require("weir.native.scheduler").recover()
    run:notify { kind = "log", level = "error", text = "the run is not reflected on: " .. failure.of(more).message }
    return nil
  end
  table.move(more, 1, #more, #operations + 1, operations)
  run.reflection = reflection
  return claim
end

--- Keeps the end of a run. A run that waits for it is woken; what reflects on it is begun.
---@param run weir.Run
---@param entry table
function M.finish(run, entry)
  local operations = {}
  drop_timers(operations, run, true)
  local _ <close> = follow(operations, run)
  for _, operation in ipairs(run.at_end or {}) do operations[#operations + 1] = operation end
  if run.parent_id then operations[#operations + 1] = M.wake_operation(run.parent_id) end
  if #operations == 0 then return run.journal:append(entry, M.row(run), true) end
  operations[#operations + 1] = { op = "entry", journal = run.journal.handle, entry = entry, row = M.row(run), ended = true }
  if run.parent_id then
    M.waking(run.engine, run.parent_id, function() commit(run.engine, operations) end)
  else
    commit(run.engine, operations)
  end
end

--- Ends a run that cannot be gone on with any more.
---@param store userdata
---@param run_id string
---@param row table its row
---@param err { code: string, message: string }
function M.give_up(store, run_id, row, err)
  local now, kept = clock.wall_ms(), { code = err.code, message = err.message }
  local operations = timer_drops(run_id, row)
  row.status, row.error, row.ended_ms, row.due_ms, row.waiting = "cancelled", kept, now, nil, nil
  operations[#operations + 1] = { op = "entry", journal = must(store:run(run_id, 1)), entry = { "end", "cancelled", kept, now }, row = row,
    ended = true }
  must(store:batch(operations))
end

--- Says that a process is at work on a run that was parked: if it ends over it, that was under way.
---@param run weir.Run
function M.wake(run)
  commit(run.engine, { { op = "row", journal = run.journal.handle, row = M.row(run) } })
end

--- Says how a run that is parked will end, before anything of it is taken back: whatever happens now, it ends so.
---@param run weir.Run
---@param status "cancelled"
---@param err { code: string, message: string }
function M.ending(run, status, err)
  local entry = { "ending", status, { code = err.code, message = err.message }, clock.wall_ms() }
  run.journal:append(entry, M.row(run))
  run.journal.ending = entry
end

local function is_in_doubt(run)
  for _, wait in pairs(run.waits) do
    if wait.kind == "in_doubt" then return true end
  end
  return false
end

--- Keeps a run that only waits as one record; its journal leaves the memory.
---@param run weir.Run
---@param due_ms integer|nil when time wakes it
function M.park(run, due_ms)
  run.status = is_in_doubt(run) and "in_doubt" or "waiting"
  local row = M.row(run)
  row.waiting, row.due_ms, row.active_s = waiting_of(run), due_ms, run.plan.budget and run.plan.budget.seconds and run.active_s or nil
  local operations = {}
  drop_timers(operations, run, false, due_ms)
  if due_ms then
    operations[#operations + 1] = { op = "put", space = "timers", key = M.timer_key(run.id, due_ms), value = true }
  end
  if run.journal.lives > 0 then -- it came as far as a wait: the process has not ended over it
    operations[#operations + 1] = { op = "entry", journal = run.journal.handle, entry = { "stop", clock.wall_ms(), "parked" } }
  end
  operations[#operations + 1] = { op = "row", journal = run.journal.handle, row = row, park = true }
  commit(run.engine, operations)
end

--- Keeps a run that nobody executes from being woken until it is resumed by hand.
---@param store userdata
---@param run_id string
---@param row table its row
---@param what string|nil what it is paused for
function M.pause(store, run_id, row, what)
  local waiting = type(row.waiting) == "table" and row.waiting or {}
  waiting[#waiting + 1] = { step = "", kind = "pause", name = what, since_ms = clock.wall_ms() }
  row.status, row.waiting, row.is_paused = row.status == "in_doubt" and "in_doubt" or "waiting", waiting, true
  local handle = must(store:run(run_id, 1))
  must(store:batch { { op = "row", journal = handle, row = row, park = true } })
end

--- Says that what is under way was stopped on purpose.
---@param run weir.Run
function M.stop(run)
  run.journal:append { "stop", clock.wall_ms(), run.stop_reason or "stopped" }
end

--- Keeps a run from going on by itself: a person has to look.
---@param store userdata
---@param run_id string
---@param row table
---@param err { code: string, message: string, step: string? }
function M.quarantine(store, run_id, row, err)
  row.status, row.error = "quarantined", { code = err.code, message = err.message, step = err.step }
  local handle = must(store:run(run_id, 1))
  local operations = timer_drops(run_id, row)
  operations[#operations + 1] = { op = "row", journal = handle, row = row, park = true }
  must(store:batch(operations))
end

return M

--- Makes anew what can be told from the journals and from what people decided: rows, the index of statuses, timers, and
--- of the workspace the heads and the search index. For a store of which some of that is damaged or lost. What is sound
--- stays as it is.

local failure = require "weir.failure"
local journal = require "weir.run.journal"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local ladder = require "weir.approval.ladder"
local question = require "weir.approval.question"
local starts = require "weir.run.starts"
local event_waits = require "weir.event.waits"

local M = {}

local EPOCH = 1 -- in which every run is written
local HAS_ENDED = keeping.HAS_ENDED

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

local function note(state, what, message)
  local list = state.result.damaged
  list[#list + 1] = { what = what, message = message }
end

-- Questions -------------------------------------------------------------------------------------------

-- Those that wait, by run; and the ids of those that are decided.
local function read_questions(state)
  for found in pages.keys(state.store, question.pending) do
    local asked = not found.damaged and question.read(found.value.action)
    if asked then
      local list = state.open[asked.run] or {}
      list[#list + 1] = { step = asked.step, kind = found.value.kind or "approval", id = found.key, name = asked.title,
        since_ms = found.value.asked_ms, due_ms = found.value.due_ms }
      state.open[asked.run] = list
      local next_ms = ladder.next_ms(found.value.ladder, found.value.due_ms)
      if next_ms then must(state.store:put(question.timers, question.timer_key(next_ms, found.key), 1)) end
    else
      note(state, "approval " .. found.key, "its record is damaged")
    end
  end
  for found in pages.keys(state.store, question.decided) do state.decided[found.key] = true end
end

-- Rows --------------------------------------------------------------------------------------------------

local function known(value)
  return value ~= nil and type(value) ~= "userdata" and type(value) ~= "lightuserdata" and value or nil
end

local function ended_row(row, last)
  row.status, row.ended_ms = last[2], last[4]
  if last[2] ~= "finished" and type(last[3]) == "table" then
    row.error = { code = last[3].code, message = last[3].message, step = last[3].step }
  end
  return row
end

-- People may be asked while other steps are under way: who goes on with the run finds out.
local function waiting_row(row, waits)
  table.sort(waits, function(a, b) return a.step < b.step end)
  row.status, row.waiting = "waiting", waits
  for _, wait in ipairs(waits) do
    if wait.kind == "in_doubt" then row.status = "in_doubt" end
    if wait.due_ms and (not row.due_ms or wait.due_ms < row.due_ms) then row.due_ms = wait.due_ms end
  end
  return row
end

-- The first and the last entry of a run; nil for a journal that is none.
local function ends_of(store, run_id)
  local first, last
  for entry in pages.entries(store, run_id) do
    first = first or entry
    if first[1] ~= "run" then return nil end
    if entry[1] == "choice" and entry[2] == "migrate" then first = { "run", journal.head_of { first, entry } } end
    last = entry
  end
  return first, last
end

local function row_of(state, run_id, first, last)
  local head = first[2]
  local row = { status = "running", pipeline = head.pipeline, version = head.version, started_ms = head.at, key = known(head.key),
    parent = known(head.parent) }
  if last[1] == "end" then return ended_row(row, last) end
  if state.open[run_id] then return waiting_row(row, state.open[run_id]) end
  return row
end

-- A row is right unless it says of an ended run that it has not, or the other way round.
local function is_right(row, last)
  local ended = last[1] == "end"
  return row ~= nil and row.status ~= nil and (HAS_ENDED[row.status] == true) == ended and (not ended or row.status == last[2])
end

-- A key whose record is lost stands again for the run that it started; the oldest, should there be several.
local function make_start(state, run_id, head)
  local key, asked = known(head.key), known(head.asked)
  if not key or not asked then return end
  local kept, _, code = state.store:get(starts.SPACE, key)
  if kept then return end
  local operation = starts.claim(key, run_id, asked)
  if code == "corrupt" then operation.op, operation.version = "put", nil end
  must(state.store:batch { operation })
  state.result.starts = state.result.starts + 1
end

local function make_row(state, run_id)
  local first, last = ends_of(state.store, run_id)
  if not first then return end
  make_start(state, run_id, first[2])
  local before = state.store:row(run_id)
  if is_right(before, last) then return end
  local row = row_of(state, run_id, first, last)
  local handle = must(state.store:run(run_id, EPOCH))
  must(state.store:batch { { op = "row", journal = handle, row = row, park = row.status ~= "running" } })
  state.result.rows = state.result.rows + 1
  if row.waiting then state.wakes[run_id] = true end
end

local function make_rows(state)
  for run_id in pages.journals(state.store) do
    local ok, err = pcall(make_row, state, run_id)
    if not ok then
      native.recover()
      local why = failure.of(err)
      if why.code ~= "corrupt" then error(err, 0) end
      note(state, "run " .. run_id, why.message)
    end
  end
end

-- Timers ------------------------------------------------------------------------------------------------

local function has_ended(store, run_id)
  local row, _, code = store:row(run_id)
  return row and HAS_ENDED[row.status] or code == "not_found"
end

local function has_any(store, space, run_id)
  local found = store:scan(space, { prefix = run_id .. "/", limit = 1, damaged = true })
  return found ~= nil and found[1] ~= nil
end

local SPACES = { signal = { "signals", event_waits.FOUND }, event = { event_waits.FOUND } } -- a step may wait for both

-- Whether something has come that a parked run waits for.
local function is_to_wake(state, run_id, row)
  if state.wakes[run_id] then return true end
  for _, wait in ipairs(known(row.waiting) or {}) do
    if state.decided[wait.id] then return true end
    for _, space in ipairs(SPACES[wait.kind] or {}) do
      if has_any(state.store, space, run_id) then return true end
    end
    if wait.kind == "run" and has_ended(state.store, wait.id) then return true end
  end
  return false
end

local function wanted_timers(state)
  local wanted = {}
  for found in pages.runs(state.store) do
    local row = found.row
    if row and not HAS_ENDED[row.status] and row.status ~= "quarantined" then
      if math.type(row.due_ms) == "integer" then wanted[keeping.timer_key(found.id, row.due_ms)] = true end
      if is_to_wake(state, found.id, row) then wanted[keeping.timer_key(found.id)] = true end
    end
  end
  return wanted
end

-- One more wake than is needed does no harm: only those of ended runs are taken away.
local function make_timers(state)
  local wanted, operations = wanted_timers(state), {}
  for found in pages.keys(state.store, "timers") do
    if not found.damaged then wanted[found.key] = nil end
    local run_id = found.key:match "/(.+)$"
    if not run_id or has_ended(state.store, run_id) then
      operations[#operations + 1] = { op = "delete", space = "timers", key = found.key }
      wanted[found.key] = nil
    end
  end
  for key in pairs(wanted) do operations[#operations + 1] = { op = "put", space = "timers", key = key, value = true } end
  for first = 1, #operations, 500 do
    must(state.store:batch { table.unpack(operations, first, math.min(first + 499, #operations)) })
  end
  state.result.timers = #operations
end

--- See `weir.upkeep`, `rebuild`.
---@param store weir.Store
---@return weir.Rebuilt
function M.rebuild(store)
  local state = { store = store, open = {}, decided = {}, wakes = {},
    result = { rows = 0, starts = 0, timers = 0, heads = 0, documents = 0, damaged = {} } }
  must(store:rebuild())
  read_questions(state)
  make_rows(state)
  make_timers(state)
  require("weir.workspace.rebuild").all(store, state.result, function(what, message) note(state, what, message) end)
  state.result.records = must(store:rebuild())
  return state.result
end

return M

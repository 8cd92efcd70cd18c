--- What ends the waits of runs from outside: signals, decisions, and moments that have come. Whatever is to wake a
--- run is in the store first, together with a timer that is due at once, so that a process that dies in
--- between wakes the run when it is started again.
---
--- Space `signals`: key "RUN/NAME/" and what sorts in the order in which they were sent.

local approval = require "weir.approval"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local id = require "weir.id"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local parking = require "weir.run.parking"
local task = require "weir.task"

local M = {}

local HAS_ENDED = keeping.HAS_ENDED
local PAGE = 256
local AGAIN = 1 -- seconds after a failure
local WAKING_MAX = 64 -- runs that due moments have woken and that are still at work

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

-- Keeps what is to wake a run. Whoever is cancelled meanwhile still wakes it, since nobody else does.
local function keep(engine, run_id, commit)
  local results = table.pack(task.within({ shield = true }, function() return keeping.waking(engine, run_id, commit) end))
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

-- Signals -------------------------------------------------------------------------------------------

local function open_row(store, run_id)
  local row, message, code = store:row(run_id)
  if not row then failure.raise(code or "not_found", "%s", message) end
  if HAS_ENDED[row.status] then
    local err = failure.new("conflict", "run %s has %s already; it receives no signals any more", run_id, row.status)
    err.run = run_id
    error(err, 0)
  end
  return row
end

local latest_ms, count = 0, 0

-- Of two signals the earlier one has the smaller order, also within one millisecond.
local function next_order()
  local now = clock.wall_ms()
  if now > latest_ms then latest_ms, count = now, 0 end
  count = count + 1
  return ("%013d.%06d.%s"):format(latest_ms, count, id.new "s")
end

--- Sends a signal to a run that has not ended; it may come before the run waits for it. Waits for the disk.
--- Raises `not_found`, `conflict` (the run has ended), `invalid` (a name with a '/').
---@param engine weir.Engine
---@param run_id string
---@param name string
---@param value any plain data; nil stands for true
function M.signal(engine, run_id, name, value)
  if type(name) ~= "string" or not name:find "^[^/%c]+$" or #name > 128 or not utf8.len(name) then
    failure.raise("invalid", "a signal needs a name of 1 to 128 characters without '/', got '%s'", tostring(name))
  end
  open_row(engine.store, run_id)
  if value == nil then value = true end
  local key = ("%s/%s/%s"):format(run_id, name, next_order())
  keep(engine, run_id, function()
    must(engine.store:batch {
      { op = "put", space = "signals", key = key, value = { value = value, at = clock.wall_ms() } },
      keeping.wake_operation(run_id),
    })
  end)
  M.wake(engine, run_id, function(wait) return wait.signals and wait.signals[name] end)
end

--- The oldest signal of a name that has not been received: its key and value; nil when there is none.
---@param engine weir.Engine
---@param run_id string
---@param name string
---@param taken table<string, boolean> keys that are being received
---@return string|nil key
---@return any value
function M.next_signal(engine, run_id, name, taken)
  for entry in pages.rows(engine.store, "signals", { prefix = ("%s/%s/"):format(run_id, name) }) do
    if not taken[entry.key] then return entry.key, entry.value.value end
  end
end

-- Pausing -------------------------------------------------------------------------------------------

--- Keeps a run from going on until it is resumed by hand; a live one is stopped where it stands. Waits. Raises
--- `not_found`, `conflict` (it has ended).
---@param engine weir.Engine
---@param run_id string
---@return table row
function M.pause(engine, run_id)
  open_row(engine.store, run_id)
  local live = engine:at_work(run_id)
  while live do
    live:stop "paused"
    live:await_left()
    live = engine:at_work(run_id)
  end
  return engine:alone(run_id, function() -- or it would be woken while it is being paused
    local row = open_row(engine.store, run_id)
    keeping.pause(engine.store, run_id, row)
    return row
  end)
end

-- Decisions -----------------------------------------------------------------------------------------

--- Gives a person's decision on what a run asks (see `weir.approval`, `decide`), and has the run go on.
---@param engine weir.Engine
---@param question_id string
---@param decision table {decision, by, answer, comment, hash, via}
---@param always (fun(): table[])|nil  operations for the same transaction, whatever becomes of the question
---@return table|nil record
---@return string state "decided", "open"; or the message
---@return integer|string|nil missing or the code
---@return table|nil winner
function M.decide(engine, question_id, decision, always)
  local asked = approval.get(engine.store, question_id)
  local function decide()
    return approval.decide(engine.store, question_id, decision, { groups = engine.project.settings.groups, always = always,
      operations = function(decided) return { keeping.wake_operation(decided.run) } end })
  end
  if not asked then return decide() end
  local record, state, more, winner = keep(engine, asked.run, decide)
  if state == "decided" then M.wake(engine, record.run, function(wait) return wait.id == question_id end) end
  return record, state, more, winner
end

-- Waking --------------------------------------------------------------------------------------------

--- Has a run look again at what it waits for, as the store says already. A parked run goes on if this
--- process serves it.
---@param engine weir.Engine
---@param run_id string
---@param which fun(wait: table): boolean|nil the waits that are over; nil: all
function M.wake(engine, run_id, which)
  local run = engine.live[run_id]
  if not run then
    local service = engine.service
    if service then
      service.refused[run_id] = nil
      service:nudge()
    end
    return
  end
  run.has_wakes = true
  local any = false
  for key, wait in pairs(run.waits) do
    if not which or which(wait) then any = parking.wake(run, key) or any end
  end
  if not any then run.is_woken = true end -- nobody waits for it yet: it must not be parked over
end

-- Moments -------------------------------------------------------------------------------------------

--- The timers that are due, the oldest first: runs by id. A run that has ended is dropped.
---@param engine weir.Engine
---@param limit integer|nil
---@param is_left_out nil|fun(run_id: string): any runs that the caller does nothing about: they take no place from those behind them
---@return string[] run_ids
---@return string[] damaged ids of runs whose row cannot be read; their timers stay
function M.due(engine, limit, is_left_out)
  limit = limit or PAGE
  local ids, damaged, seen, after = {}, {}, {}, nil
  local to = ("%013d/~"):format(clock.wall_ms())
  repeat
    local page = must(engine.store:scan("timers", { to = to, after = after, limit = PAGE, damaged = true }))
    for _, entry in ipairs(page) do
      local run_id = entry.key:match "/(.+)$"
      local row, _, code = engine.store:row(run_id)
      if not row and code ~= "not_found" then
        if not seen[run_id] then damaged[#damaged + 1] = run_id end
      elseif not row or HAS_ENDED[row.status] then
        engine.store:delete("timers", entry.key)
        if engine.service then engine.service.refused[run_id] = nil end
      elseif not seen[run_id] and #ids < limit and not row.is_paused and row.status ~= "quarantined"
        and not (is_left_out and is_left_out(run_id)) then
        ids[#ids + 1] = run_id
      end
      seen[run_id] = true
    end
    after = page[#page] and page[#page].key
  until #page < PAGE or #ids >= limit
  return ids, damaged
end

--- When the next timer is due, ms since 1970; nil when there is none.
---@param engine weir.Engine
---@param after_ms integer|nil only of those that are due later
---@return integer|nil
function M.next_due(engine, after_ms)
  local after = after_ms and ("%013d/~"):format(after_ms)
  local first = must(engine.store:scan("timers", { after = after, limit = 1, damaged = true }))[1]
  return first and math.tointeger(first.key:match "^%d+")
end

-- A task that wakes parked runs as their moments come, as long as the process lives.
---@class weir.Service
local Service = {}
Service.__index = Service

--- Looks again, now.
function Service:nudge()
  self.is_nudged = true
  if self.waiter then self.waiter:wake() end
end

-- What is due now and was not begun is at work already, or cannot go on: it is looked at again when the service is
-- nudged, not at once.
local function rest(self, looked_ms)
  local due = M.next_due(self.engine, looked_ms)
  if self.is_nudged then return end
  self.waiter = native.waiter()
  local left = due and math.max(0, (due - clock.wall_ms()) / 1000)
  self.waiter:wait("the next moment", math.min(left or 3600, 3600))
  self.waiter = nil
end

local function revive(self, run_id)
  self.working, self.under_way[run_id] = self.working + 1, true
  native.start({ name = run_id, scope = self.scope, lane = 2, key = run_id }, function()
    local ok, err = pcall(self.go_on, self.engine, run_id)
    self.working, self.under_way[run_id] = self.working - 1, nil
    if self.working == WAKING_MAX - 1 then self:nudge() end
    if ok then return end
    native.recover()
    self.refused[run_id] = true -- it keeps its timer, and is not tried again before it is woken
    if self.on_refused then self.on_refused(run_id, failure.of(err)) end
  end)
end

local function look(self)
  self.is_nudged = false
  local woke, looked_ms = false, clock.wall_ms()
  local function is_left_out(run_id) return self.engine.live[run_id] or self.under_way[run_id] or self.refused[run_id] end
  for _, run_id in ipairs(M.due(self.engine, nil, is_left_out)) do
    if self.working >= WAKING_MAX or self.engine.is_stopping then break end
    if not is_left_out(run_id) then
      woke = true
      revive(self, run_id)
    end
  end
  if not woke then rest(self, looked_ms) else native.yield() end
end

-- What the store cannot read now it may read later; runs wait for it.
local function serve(scope, self)
  self.scope = scope
  while true do
    local ok, err = pcall(look, self)
    if not ok then
      native.recover()
      native.check()
      if self.on_failed then self.on_failed(failure.of(err)) end
      clock.sleep(AGAIN)
    end
  end
end

--- Serves a store's parked runs in this process until it is closed: wakes them in the order in which they
--- are due, so many at once that new work is still served.
---@param engine weir.Engine
---@param go_on fun(engine: weir.Engine, run_id: string) goes on with a run. Waits; may raise
---@param on_refused fun(run_id: string, err: table)|nil told of a run that could not be gone on with
---@param on_failed fun(err: table)|nil told when the store could not be looked at, which is tried again
---@return weir.Service
function M.serve(engine, go_on, on_refused, on_failed)
  local self = setmetatable({ engine = engine, go_on = go_on, on_refused = on_refused, on_failed = on_failed, working = 0,
    under_way = {}, refused = {} }, Service)
  engine.service = self
  self.task = task.serve(serve, self)
  return self
end

--- Ends it; runs that it woke are cancelled with it. Waits.
function Service:close()
  self.engine.service = nil
  self.task:cancel "the service is closed"
  self.task:join()
end

return M

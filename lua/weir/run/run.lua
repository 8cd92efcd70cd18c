--- One run: what its steps share, what it has used, how it is parked, how it ends.

local clock = require "weir.port.clock"
local documents = require "weir.run.documents"
local failure = require "weir.failure"
local flow = require "weir.run.flow"
local gate = require "weir.gate"
local group = require "weir.run.group"
local keeping = require "weir.run.keeping"
local keys = require "weir.run.keys"
local native = require "weir.native.scheduler"
local parking = require "weir.run.parking"
local stream_of = require("weir.run.kinds.agent").open_stream
local store_port = require "weir.port.store"
local task = require "weir.task"
require "weir.run.asking" -- what contexts ask of models

local M = {}

---@class weir.Run
---@field id string
---@field status "running"|"waiting"|"in_doubt"|"finished"|"failed"|"cancelled"|"quarantined"
---@field output any
---@field error table|nil {code, message, step}
---@field waits table<string, table> durable waits by key: {kind, id, name, since_ms, due_ms}
---@field counts_steps boolean a budget of its own, or one that it shares, wants to know how many there are
---@field limits_ms table<string, integer> time limits that hold while it is parked, ms since 1970
---@field taken table<string, boolean>|nil signals and events that a step is receiving
---@field event weir.Event|nil that started it
---@field event_offset string|nil where that stands in the log of events
---@field of { run: string, from: string|nil, seed: string }|nil the run whose outcomes it began with
---@field reflection string|nil the run that reflects on it, once it has finished
---@field patience number|nil seconds that it stays in memory while it only waits, if not as its engine says
---@field near number|nil seconds within which what only time ends is waited for in memory, if not as its engine says
---@field meters { key: string, usage: table<string, number> }[]|nil what counts for steps that want to know, see `meter`
---@field is_supervised boolean steps that fail are brought to supervisors, see `weir.healing.supervision`
---@field stuck_s number|nil seconds without a sign of life after which an attempt of a step counts as stuck
---@field heard table<string, number>|nil when something was last heard of steps that are under way, by key
---@field monitor nil|fun(event: table) hears what it notifies of
---@field canaries table<string, weir.Canary>|nil versions on trial, by full name
---@field since_lsn integer|nil what had been written when this life began: it reads no earlier moment but those in its journal
---@field calls table<string, table>|nil of modules that are on trial, by key: {full, version, ok}
---@field at_end table[]|nil operations that are written with its end
---@field incidents table<string, weir.Incident[]>|nil of this run, by the place of their step
---@field interrupted "parked"|"stopped"|"crashed"|nil why it ends here and goes on later
local Run = {}
Run.__index = Run
M.Run = Run

-- What most runs never have is theirs only once they have it.
Run.status, Run.steps, Run.busy, Run.waits, Run.limits_ms = "running", 0, 1, {}, {}
Run.is_supervised = false
Run.open_stream = stream_of
Run.run_flow = flow.run

-- splitmix64, seeded by the run's id, so that a replay draws the same.
local function seed_of(id)
  local seed = 0
  for position = 1, #id do seed = (seed * 31 + id:byte(position)) end
  return seed
end

--- A run that has not begun. `engine` makes it.
---@param fields table id, plan, binding, modules (the binding's), input, engine; journal and listener may be nil
function M.new(fields)
  local self = setmetatable(fields, Run)
  self.counts_steps = self.plan.budget ~= nil or self.engine.project.settings.budgets ~= nil
  self.started_ms = self.started_ms or clock.wall_ms()
  return self
end

-- Something was heard of a step, and so of all that it stands in.
local function note_life(self, step)
  local now = clock.now()
  for key in pairs(self.heard) do
    if step == key or keys.is_below(step, key) then self.heard[key] = now end
  end
end

function Run:notify(event)
  local listener = self.listener
  if self.heard and event.step then note_life(self, event.step) end
  if self.monitor then self.monitor(event) end
  if listener then listener(event, self) end
end

--- A float in [0, 1), or an integer from 1 to n. Each flow and each attempt of a step draws from a generator of its own,
--- seeded by the run and its place: what others draw meanwhile, or do not draw again in a replay, changes nothing for it.
---@param n integer|nil
---@param place table|nil what keeps the generator: the frame of a flow, the context of an attempt; default: the run
---@param name string|nil of the place in the run; the same in every life
function Run:draw(n, place, name)
  place = place or self
  local state = rawget(place, "random_state")
  if not state then
    local seed = self.of and self.of.seed or self.id
    state = seed_of((name or "") == "" and seed or seed .. "/" .. name)
  end
  state = state + 0x9e3779b97f4a7c15
  place.random_state = state
  local z = (state ~ (state >> 30)) * 0xbf58476d1ce4e5b9
  z = (z ~ (z >> 27)) * 0x94d049bb133111eb
  z = z ~ (z >> 31)
  local float = (z >> 11) * 0x1p-53
  return n and 1 + math.floor(float * n) or float
end

-- What is kept of what steps report: what counts against a budget, and what it is made of.
local MEASURES = { tokens = true, usd = true, input_tokens = true, output_tokens = true, cached_tokens = true,
  reasoning_tokens = true, tokens_estimated = true, usd_estimated = true }

--- What the run has used of something, in this life and before.
---@param what string such as "tokens", "usd"
---@return number
function Run:used(what)
  local before = self.journal and self.journal.usage[what] or 0
  return before + (self.usage and self.usage[what] or 0)
end

--- The seconds that the run was at work, in this life and before.
---@return number
function Run:active_seconds()
  return (self.active_s or 0) + (self.from_s and clock.now() - self.from_s or 0)
end

local function add_to_meters(meters, name, value, key)
  for _, meter in ipairs(meters) do
    if key == meter.key or keys.is_below(key, meter.key) then
      meter.usage[name] = (meter.usage[name] or 0) + value
      if meter.on_use then meter.on_use(meter.usage) end
    end
  end
end

-- What the steps at and below a key had used in earlier lives.
local function used_before(self, key)
  local usage = {}
  for of, used in pairs(self.journal and self.journal.usage_by or {}) do
    if of == key or keys.is_below(of, key) then
      for name, amount in pairs(used) do usage[name] = (usage[name] or 0) + amount end
    end
  end
  return usage
end

--- Counts from now on what a step, and all inside of it, uses; what they used in earlier lives counts too.
---@param key string
---@param on_use nil|fun(usage: table<string, number>) is called when something was used
---@return { key: string, usage: table<string, number> } meter to be given back with `unmeter`
function Run:meter(key, on_use)
  local meter = { key = key, usage = used_before(self, key), on_use = on_use }
  self.meters = self.meters or {}
  self.meters[#self.meters + 1] = meter
  return meter
end

--- Ends what `meter` began.
---@param meter table
function Run:unmeter(meter)
  for position, one in ipairs(self.meters) do
    if one == meter then
      table.remove(self.meters, position)
      break
    end
  end
  if #self.meters == 0 then self.meters = nil end
end

--- Takes a number that a step reports; `tokens` and `usd` count against the budget.
function Run:measure(name, value, labels, key)
  if MEASURES[name] then
    self.usage = self.usage or {}
    self.usage[name] = (self.usage[name] or 0) + value
    self.usage_of = self.usage_of or {}
    local own = self.usage_of[key] or {}
    own[name], self.usage_of[key] = (own[name] or 0) + value, own
    if self.meters then add_to_meters(self.meters, name, value, key) end
  end
  self:notify { kind = "metric", step = key, name = name, value = value, labels = labels }
end

--- What a step has reported as used; it is told once.
---@param key string
---@return table<string, number>|nil
function Run:take_usage(key)
  local own = self.usage_of and self.usage_of[key]
  if own then self.usage_of[key] = nil end
  return own
end

--- What one has reported as used counts for another from now on: a critic's for the step that it judged.
---@param from string key
---@param to string key
function Run:move_usage(from, to)
  local moved = self:take_usage(from)
  if not moved then return end
  local own = self.usage_of[to] or {}
  for name, amount in pairs(moved) do own[name] = (own[name] or 0) + amount end
  self.usage_of[to] = own
end

--- Notes which model answered inside a step, in this life: what becomes of the answer says how good the model is.
---@param key string of the call
---@param model string
---@param label string
function Run:note_answer(key, model, label)
  self.answers = self.answers or {}
  self.answers[key] = { model = model, label = label }
end

--- Scores the models that answered inside a step since it was scored last.
---@param key string of the step
---@param score number 0..1
---@param source "critic"|"person"
function Run:score(key, score, source)
  local models = self.answers and self.engine.models
  for call, answer in pairs(models and self.answers or {}) do
    if call:sub(1, #key + 1) == key .. "/" then
      self.answers[call] = nil
      models:score(answer.model, answer.label, score, source)
    end
  end
end

-- How many drafts at and below a key were refused and followed by another, in this life and before.
local function refusals_at(self, key)
  local count = 0
  for _, counts in ipairs { self.refusals or {}, self.journal and self.journal.refused or {} } do
    for of, number in pairs(counts) do
      if of == key or keys.is_below(of, key) then count = count + number end
    end
  end
  return count
end

--- Counts a draft that was refused, and that another follows.
---@param key string
function Run:note_refusal(key)
  self.refusals = self.refusals or {}
  self.refusals[key] = (self.refusals[key] or 0) + 1
end

--- Limits how many drafts a step, and all inside of it, may have refused together.
---@param key string
---@param most integer|nil nil: no limit
---@return table|nil limit to be closed
function Run:limit_refusals(key, most)
  if not most then return nil end
  local limits = self.refusal_limits or {}
  self.refusal_limits, limits[key] = limits, most
  return setmetatable({}, { __close = function() limits[key] = nil end })
end

--- Whether another draft of a step may follow one that was refused.
---@param key string
---@return boolean
function Run:may_refuse(key)
  for of, most in pairs(self.refusal_limits or {}) do
    if (of == key or keys.is_below(key, of)) and refusals_at(self, of) >= most then return false end
  end
  return true
end

--- Notes how a finished step is undone, should the run fail or be cancelled.
---@param key string of the step
---@param how { agent: string, options: table?, input: any }
function Run:note_undo(key, how)
  self.undos = self.undos or {}
  self.undos[#self.undos + 1] = { key = key, undo = how }
end

--- Pins modules and pipelines that a flow uses for the first time.
function Run:pin(modules, pipelines)
  for _, full in ipairs(modules) do
    if not self.modules[full] then self.engine:pin_module(self, full) end
  end
  for _, name in ipairs(pipelines) do self:pipeline_of(name) end
end

--- The plan of a child pipeline, as pinned.
function Run:pipeline_of(name)
  return self.engine:child_plan(self, name)
end

local NO_OPTIONS = {}

function Run:options_of(step, held)
  if not step.module then return NO_OPTIONS end
  return self.engine:options_of(self, step, held)
end

function Run:state_of(step, options, held)
  return step.module and self.engine:state_of(self, step, options, held)
end

--- The memory of a step: kept over its attempts, and with the journal over crashes.
function Run:memory_of(key)
  local memories = self.memories
  if not memories then
    memories = {}
    self.memories = memories
  end
  local memory = memories[key]
  if not memory then
    memory = self.journal and self.journal:memory(key) or {}
    memories[key] = memory
  end
  return memory
end

local function body(self)
  local data = { input = self.input, run = { id = self.id, pipeline = self.plan.name, started_at = clock.rfc3339(self.started_ms) } }
  if self.event then data.event = self.event end
  if self.plan.reads_workspace then data.workspace = documents.root(self) end
  self.data = data
  local frame = { run = self, prefix = "", data = data }
  native.set_context(frame)
  if self.plan.flow then return flow.run(frame, self.plan, self.input) end
  return group.output_of(frame, self.plan.body)
end

local function outcome(self, ok, value, cancelled)
  if ok then return "finished", value end
  local err = failure.of(value)
  if cancelled then return "cancelled", err end
  if err.code == "timeout" and self.plan.budget and self.plan.budget.seconds and not err.step then
    err = failure.new("limit", "the run has used its budget of %g seconds", self.plan.budget.seconds)
  end
  return "failed", err
end

local function recorded_error(err)
  return { code = err.code, message = err.message, step = err.step }
end

-- What is kept at the end of a life is kept also in a cancelled task.
local function shielded(keep, ...)
  local ok, err = task.within({ shield = true, timeout = 30 }, function(_, ...) keep(...) end, ...)
  if not ok then error(err, 0) end
end

local function keep_end(self)
  if not self.journal then return end
  local value = self.output
  if self.error then value = recorded_error(self.error) end
  shielded(keeping.finish, self, { "end", self.status, value, self.ended_ms })
end

local function keep_stop(self)
  if not self.journal then return end
  shielded(keeping.stop, self)
  if not self.pauses_for then return end
  local row = keeping.row(self)
  shielded(keeping.pause, self.engine.store, self.id, row, self.pauses_for)
  self.status = row.status
end

local function scoped(scope, self)
  self.scope = scope
  return body(self)
end

-- The seconds that are left of the budget: a parked run uses none.
local function limits_of(self)
  local limits = self.plan.limits
  if not limits.timeout or not self.active_s then return limits end
  return { timeout = math.max(0, limits.timeout - self.active_s) }
end

-- What an earlier life had decided already: only what it did is still to be undone.
local function resumed_ending(self)
  local ending = self.journal and self.journal.ending
  if not ending then return nil end
  return ending[2], failure.of(ending[3])
end

-- The body to its outcome; `interrupted` when the run goes on another time.
local function attempt(self)
  local status, result = resumed_ending(self)
  if status then return status, result end
  if self.cancel_reason then return "cancelled", failure.new("cancelled", self.cancel_reason) end
  if self.interrupted then return "interrupted" end
  local ok, value = task.within(limits_of(self), scoped, self)
  local outside, why = native.cancelled()
  self.scope = nil
  parking.close(self)
  if outside and self.parent and self.parent.interrupted then self.interrupted = self.interrupted or "stopped" end
  if self.interrupted and not ok then return "interrupted" end
  if outside then self.cancel_reason = self.cancel_reason or why end
  return outcome(self, ok, value, self.cancel_reason ~= nil)
end

local function say_error(self, what, err)
  self:notify { kind = "log", level = "error", text = what .. ": " .. failure.of(err).message }
end

-- Runs that this one started and that are not at work here end with it, however long it takes to undo what they did.
local function cancel_children(self)
  for key, entry in pairs(self.journal and self.journal.choices or {}) do
    local ok, err = true, nil
    if key:find "/?start [^/]*$" then
      ok, err = pcall(self.engine.cancel, self.engine, entry[3], "the run that started it was cancelled")
    end
    if not ok and failure.of(err).code ~= "conflict" then -- else it has ended
      say_error(self, ("run %s, which this one started, could not be cancelled"):format(entry[3]), err)
    end
  end
end

-- A run that failed over what no step was asked about, such as its budget, is an incident as well, kept with its end.
local function note_failure(self, err)
  if not self.journal then return end
  local desk, supervision = require "weir.healing.desk", require "weir.healing.supervision"
  local _, operations, written = desk.open(self.engine, supervision.of_pipeline(self), { kind = "run", code = err.code,
    message = err.message, pipeline = self.plan.name, version = self.plan.version, run = self.id, step = err.step,
    at_ms = self.ended_ms }, self.event)
  self.at_end, self.on_kept = operations, written
end

local function note_trials(self, status)
  self.at_end = self.at_end or {}
  local operations = require("weir.healing.canary").operations(self, status)
  table.move(operations, 1, #operations, #self.at_end + 1, self.at_end)
end

-- An output that the store cannot take, too large or too deep, is the run's failure: in another life it would be the same.
local function keepable(self, status, result)
  if status ~= "finished" or not self.journal then return status, result end
  local encoded, message, code = store_port.encode { "end", status, result }
  if encoded then return status, result end
  return "failed", failure.new(code or "invalid", "its output cannot be kept: %s", (message:gsub("^value%[3%]", "output")))
end

local function conclude(self, status, result)
  status, result = keepable(self, status, result)
  self.status = status
  if status == "finished" then
    self.output = result
  else
    self.error = result
  end
  if self.parked_on then require("weir.run.question").withdraw_parked(self) end
  if status == "cancelled" then task.within({ shield = true }, function() cancel_children(self) end) end
  if status ~= "finished" and not require("weir.run.undo").all(self, status, result) then
    self.status, self.error = "running", nil -- it goes on being undone in another life
    return keep_stop(self)
  end
  self.ended_ms = clock.wall_ms()
  if status == "failed" and self.is_supervised and not result.healing then note_failure(self, result) end
  if self.canaries then note_trials(self, status) end
  keep_end(self)
  if self.on_kept then self.on_kept() end
  if self.canaries then shielded(require("weir.healing.canary").after, self) end
end

-- What is kept of this life: the end of the run, that it waits, that it was stopped, or that a person has to look.
local function keep_what_became(self, status, result)
  local mismatch = self.journal and self.journal.mismatch
  if mismatch then
    mismatch.message = ("%s (definition version %s)"):format(mismatch.message, self.plan.version)
    self.status, self.error, result = "quarantined", mismatch, mismatch
    shielded(keeping.quarantine, self.engine.store, self.id, keeping.row(self), result)
  elseif status ~= "interrupted" then
    conclude(self, status, result)
  elseif self.interrupted == "parked" then
    shielded(keeping.park, self, (parking.due(self)))
  elseif self.interrupted == "stopped" then
    keep_stop(self)
  end
end

-- What could not be kept has not happened: the run stands in the store as before, and goes on in another life.
local function announce(self, is_kept)
  if not is_kept then self.status, self.error, self.ended_ms = "running", nil, nil end
  self.binding:release()
  if self.superseded then require("weir.run.upgrade").release(self) end
  self.engine:left(self)
  if self.listener then self:notify { kind = "run", status = self.status, at_ms = self.ended_ms or clock.wall_ms(), error = self.error } end
  if self.done and self.ended_ms then self.done:open() end
  if self.has_left then self.has_left:open() end
end

-- What this life used counts against the budgets that runs share; a run that is undone all the same.
local function count_shared(self, seconds)
  if not self.engine.project.settings.budgets or not self.engine.store then return end
  local budgets = require("weir.model").of(self.engine).budgets
  local ok, err = pcall(shielded, budgets.add, budgets, { pipeline = self.plan.name }, { steps = self.steps, seconds = seconds })
  if ok then return end
  say_error(self, "a shared budget could not be counted", err)
end

--- Runs to the end, or until nothing is left to do but wait. Waits. Never raises what the run itself did
--- wrong: that is its status and error; only that what became of it could not be kept (`full`, `unavailable`).
---@return weir.Run self
function Run:execute()
  self.from_s = clock.now()
  local status, result = attempt(self)
  local before = self.active_s or 0
  self.active_s, self.from_s = self:active_seconds(), nil
  count_shared(self, self.active_s - before)
  local ok, err = pcall(keep_what_became, self, status, result)
  announce(self, ok)
  if not ok then error(err, 0) end
  return self
end

--- Cancels the run: what it does is stopped, cleanup runs. Returns at once.
---@param reason string|nil
function Run:cancel(reason)
  if self.ended_ms then return end
  self.cancel_reason = self.cancel_reason or reason or "cancelled"
  if self.scope and not self.is_undoing then self.scope:cancel(self.cancel_reason) end
end

--- Stops the run where it stands; it goes on in another life. Returns at once.
---@param reason string|nil
function Run:stop(reason)
  if self.ended_ms or self.interrupted then return end
  self.interrupted, self.stop_reason = "stopped", reason or "stopped"
  if self.scope then self.scope:cancel(self.stop_reason) end
end

--- Stops the run where it stands, until somebody resumes it. Returns at once.
---@param what string what it is paused for
function Run:pause(what)
  self.pauses_for = what
  self:stop "paused"
end

--- Ends this life of the run as a crash of the process would: nothing is recorded any more. For specs. Returns at once.
function Run:crash()
  if self.ended_ms or self.interrupted or not self.scope then return end
  self.interrupted = "crashed"
  self.scope:cancel "the process has crashed"
end

--- A function that counts as work of the run while it runs.
---@param body_of_task fun(...): any
---@return fun(...): any
function Run:counted(body_of_task)
  self.busy = self.busy + 1
  return function(...)
    local results = table.pack(xpcall(body_of_task, failure.explain, ...))
    parking.left(self)
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
  end
end

--- The gate that opens when the run leaves this process's memory: it has ended, or is parked.
---@return weir.Gate
function Run:leaving()
  self.has_left = self.has_left or gate.new()
  return self.has_left
end

--- Waits until the run has left this process's memory.
function Run:await_left()
  self:leaving():wait "a run"
end

--- Waits until the run has ended.
---@return weir.Run self
function Run:wait()
  local engine = self.engine
  local is_being_kept = engine and engine.live[self.id] == self -- it has ended once its end is on disk
  if self.ended_ms and not is_being_kept then return self end
  if self.done then
    self.done:wait "a run"
  elseif self.engine.live[self.id] == self then
    self:await_left()
  end
  return self
end

return M

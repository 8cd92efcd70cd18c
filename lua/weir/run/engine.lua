--- Starts runs and goes on with unfinished ones. An engine belongs to a project and, unless nothing is to
--- be kept, to a store. It knows the runs that live in this process; the others are rows of the store.

local active = require "weir.registry.active"
local binding = require "weir.run.binding"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local gate = require "weir.gate"
local json = require "weir.native.json"
local id = require "weir.id"
local keeping = require "weir.run.keeping"
local journal = require "weir.run.journal"
local native = require "weir.native.scheduler"
local plan = require "weir.run.plan"
local run_type = require "weir.run.run"
local starts = require "weir.run.starts"
local value_of = require "weir.value"

local M = {}

local PATIENCE = 5 -- seconds that a run which only waits stays in memory
local NEAR = 5     -- seconds within which a time has to be due, for a run to stay in memory until then

---@class weir.Engine
---@field live table<string, weir.Run> runs that are executed in this process
---@field waking table<string, integer> how many commits that wake a run are under way, by run
---@field opening table<string, weir.Gate> by run that is being opened
---@field handles table<string, weir.Run> runs that somebody here waits for, parked ones too
---@field patience number seconds that a run which only waits stays in memory
---@field near number seconds within which what only time ends is waited for in memory
---@field observe nil|fun(event: table, run: weir.Run) hears what every run notifies of, and that one begins or goes on
---@field models weir.model.Service|nil once a run has asked a model
---@field mcp weir.mcp.House|nil once a run has asked for a tool of a server
---@field log weir.Log|nil
---@field on_tools_changed nil|fun(server: string) hears that an MCP server offers other tools: steps that begin from now on have them
---@field decide nil|fun(record: table): table|nil answers what people are asked, for specs
local Engine = {}
Engine.__index = Engine
Engine.__close = function(self) self:close() end

--- An engine.
---@param project weir.Project
---@param store userdata|nil as `weir.port.store` opens it
---@param options { patience: number?, near: number? }|nil
function M.new(project, store, options)
  options = options or {}
  require("weir.secret").load_known()
  if store then
    require("weir.skill.provider").attach(project.registry, store)
    active.attach(project.registry, store)
  end
  return setmetatable({ project = project, store = store, plans = setmetatable({}, { __mode = "k" }),
    versions = setmetatable({}, { __mode = "v" }), live = {}, opening = {}, waking = {}, handles = setmetatable({}, { __mode = "v" }),
    patience = options.patience or PATIENCE, near = options.near or NEAR }, Engine)
end

--- The plan of a definition; compiled once.
function Engine:plan_of(definition)
  local ready = self.plans[definition]
  if not ready then
    ready = plan.compile(definition)
    ready.definition = definition
    self.plans[definition], self.versions[definition.version] = ready, ready
  end
  return ready
end

--- The plan of a version: from the store when it is not at hand.
---@param version string
---@return table plan
function Engine:plan_of_version(version)
  local ready = self.versions[version]
  if ready then return ready end
  local kept, message, code = self.store:get("definitions", version)
  if not kept then
    failure.raise(code or "not_found", "definition version %s is not in the store: %s", version:sub(1, 12), tostring(message))
  end
  return self:plan_of(self.project:definition_of(kept))
end

-- Versions that a flow chose in this life and before, by full name.
local function chosen_pins(run)
  local pins = {}
  for key, entry in pairs(run.journal and run.journal.choices or {}) do
    local full = key:match "^pin/(.+)$"
    if full then pins[full] = entry[3] end
  end
  for full, version in pairs(run.journal and run.journal.versions or {}) do pins[full] = version end
  for full, version in pairs(run.binding.pins) do pins[full] = version end
  return pins
end

-- What came to a flow's binding is kept, and which versions that are, so that a later life has the same.
local function keep_pins(self, run, before)
  local entries, plans, names = {}, {}, {}
  for full in pairs(run.binding.pins) do
    local name = full:match "^pipelines/(.+)$"
    if not before[full] then
      names[#names + 1] = full
      if name then plans[#plans + 1] = run.binding.children[name] else entries[full] = run.binding.entries[full] end
    end
  end
  if #names == 0 then return end
  keeping.definitions(self, plans)
  keeping.modules(self, entries)
  table.sort(names)
  for _, full in ipairs(names) do run.journal:append { "choice", "pin/" .. full, run.binding.pins[full] } end
end

--- The plan of a pipeline that a flow calls by name; the choice of its version, and of all that it uses, is in the
--- journal.
function Engine:child_plan(run, name)
  local held = run.binding
  if held.children[name] then return held.children[name] end
  local before = chosen_pins(run)
  local child = held:add_child(name, before["pipelines/" .. name], before)
  if run.journal then keep_pins(self, run, before) end
  return child
end

--- Binds a module that a flow uses for the first time; the choice of its version is in the journal.
function Engine:pin_module(run, full)
  local before = chosen_pins(run)
  local on_trial = run.journal and require("weir.healing.trials").pins(self.store, run.id)
  run.binding:add(full, before[full] or on_trial and on_trial[full], before)
  if run.journal then keep_pins(self, run, before) end
end

---@param run weir.Run
---@param step table
---@param held weir.Binding|nil what the step began with, if that is not the run's
function Engine:options_of(run, step, held)
  held = held or run.binding
  local cache = held.options
  local options = cache[step]
  if not options then
    local entry = held.entries[step.module]
    local full = require("weir.registry.kinds").kinds[entry.kind].folder .. "/" .. entry.name -- a judge may be a critic
    options = self.project.registry:options(entry, self.project:options_of(full), step.options)
    cache[step] = options
  end
  return value_of.copy(options)
end

function Engine:state_of(run, step, options, held)
  return self.project.registry:state((held or run.binding).entries[step.module], options)
end

-- Who starts runs here, when nobody else is named.
local function user_of(self)
  self.user = self.user or require("weir.port.system").user_name()
  return self.user
end

-- Who listens to a run: whoever started it, and who observes the engine.
local function listener_of(self, given)
  local observe = self.observe
  if not given or not observe then return given or observe end
  return function(event, run)
    given(event, run)
    observe(event, run)
  end
end

local function begun(run, again)
  local observe = run.engine.observe
  if observe then observe({ kind = "run", status = "running", again = again, at_ms = clock.wall_ms() }, run) end
  return run
end

local function is_kept(self, of)
  return self.store ~= nil and of.durability ~= "none"
end

-- What comes of the calls of versions on trial is counted.
local function note_trials(self, run)
  run.canaries = self.store and is_kept(self, run.plan) and require("weir.healing.trials").running(self.store) or nil
end

-- A run with supervisors is listened to, so that it is known when something was last heard of its steps.
local function supervise(self, run)
  if not run.plan.supervise and not self.project.settings.supervise and next(run.binding.children) == nil then return end
  local supervision = require "weir.healing.supervision"
  run.is_supervised = supervision.has_any(run)
  run.stuck_s = run.is_supervised and supervision.stuck_seconds(run) or nil
  run.monitor = run.is_supervised and require("weir.healing.monitoring").of(run) or nil
  if (run.stuck_s or run.monitor) and not run.listener then run.listener = function() end end
end

local function new_run(self, of, held, input, options, run_id)
  local run = run_type.new { id = run_id or options.id, plan = of, binding = held, modules = held.modules, input = input,
    engine = self, listener = listener_of(self, options.listener), key = options.key, started_ms = options.started_ms,
    by = options.by or user_of(self), model = options.model, of = options.of, event = options.event,
    event_offset = options.event_offset, parent = options.parent,
    parent_id = options.parent and options.parent.id or options.parent_id }
  run.since_lsn = self.store and self.store:lsn()
  self.live[run.id] = run
  supervise(self, run)
  note_trials(self, run)
  return run
end

local function checked_input(of, input)
  local ok, checked, errors = of.check_input(input)
  if ok then return checked end
  local err = failure.new("invalid", "%s", checked)
  err.details = errors
  error(err, 0)
end

-- What a key stands for, of a pipeline that is kept.
local function asked_of(self, of, checked, key)
  starts.check(key)
  if is_kept(self, of) then return starts.asked(of.name, checked) end
  failure.raise("invalid", "pipeline '%s' keeps nothing here, so that the key '%s' could not be found again; start it without a key",
    of.name, key)
end

-- What a run begins with: a definition and the modules that serve with it. One that was looked up before a reload and is
-- used after it gives way to its successor, so that the run has nothing of two reloads.
local function hold(self, definition, pins)
  local on_trial = pins and pins["pipelines/" .. definition.name]
  if on_trial and not definition.is_replaced then definition = self:plan_of_version(on_trial).definition end
  while true do
    local of = self:plan_of(definition)
    local held = (pins and binding.hold_pinned or binding.hold)(self, of, pins)
    local serving = definition.is_replaced and self.project.registry.definitions[of.name]
    if not serving then return of, held end
    held:release()
    definition = serving
  end
end

--- Prepares a run of a definition: checks the input, pins what it uses and, with a store, keeps its start.
--- Waits for the disk. Raises {code, message}: `invalid` input, `full`, `conflict` (the key has started a run), ...
---@param definition weir.Definition
---@param input any
---@param options { listener: function|nil, key: string|nil, by: string|nil, parent: weir.Run|nil, model: string|nil,
---   event: weir.Event|nil, event_offset: string|nil }|nil model: of steps that name none; event: that started it, `$.event`;
---   event_offset: where that stands in the log
---@return weir.Run
function Engine:prepare(definition, input, options)
  options = options or {}
  if self.is_stopping then failure.raise("closed", "the host is stopping and starts no more runs") end
  if self.store then require("weir.healing.controls").check(self.store, definition.name) end
  local run_id = options.id or id.new "r"
  local of, held = hold(self, definition, self.store and require("weir.healing.trials").pins(self.store, run_id))
  local ok, checked, asked = pcall(function()
    local fine = checked_input(of, input)
    return fine, options.key and asked_of(self, of, fine, options.key)
  end)
  if not ok then
    held:release()
    error(checked, 0)
  end
  local run = new_run(self, of, held, checked, options, run_id)
  run.asked = asked
  if not is_kept(self, of) then return begun(run) end
  local kept, handle = pcall(function()
    require("weir.healing.controls").check(self.store, definition.name) -- what it uses may have taken a while to load
    return keeping.begin(run)
  end)
  if not kept then
    run.binding:release()
    self.live[run.id] = nil
    error(handle, 0)
  end
  run.journal = journal.new(handle, nil, self.store)
  return begun(run)
end

--- Prepares and runs, in the task that calls, to the end or until nothing is left to do but wait. Waits.
function Engine:run(definition, input, options)
  local run = self:prepare(definition, input, options)
  local listener = options and options.listener
  if listener then listener({ kind = "run", status = "running", id = run.id, at_ms = run.started_ms }, run) end
  return run:execute()
end

-- Each run that nobody else started gets its share of the processor, however much it has under way.
local function go_on(run)
  run.done = run.done or gate.new()
  run.engine.handles[run.id] = run
  native.start({ name = run.id, key = not run.parent_id and run.id or nil }, function() run:execute() end)
  return run
end

-- The run that a key has started with the same pipeline and input, or nil. Raises `conflict` and `invalid`.
local function started_before(self, definition, input, key)
  if key == nil then return nil end
  local of = self:plan_of(definition)
  return starts.find(self.store, key, asked_of(self, of, checked_input(of, input), key))
end

--- Prepares a run as `prepare` does, unless its key has started one. Waits for the disk. Raises {code, message}: `conflict`
--- when the key stands for another pipeline or input, and what `prepare` raises.
---@return weir.Run|nil run
---@return string|nil first the id of the run that was started before
function Engine:prepare_once(definition, input, options)
  local key = options and options.key
  local first = started_before(self, definition, input, key)
  if first then return nil, first end
  local ok, run = pcall(self.prepare, self, definition, input, options)
  if ok then return run end
  if not key or failure.of(run).code ~= "conflict" then error(run, 0) end
  native.recover()
  first = started_before(self, definition, input, key) -- somebody was faster with the same key
  if not first then error(run, 0) end
  return nil, first
end

--- Prepares a run and goes on in a task of its own; with a key that has started one already, gives that one.
---@return weir.Run run `run:wait()` waits for its end
---@return boolean is_new
function Engine:start(definition, input, options)
  local run, first = self:prepare_once(definition, input, options)
  if run then return go_on(run), true end
  return self:rejoin(first), false
end

--- Whether the store has a run.
---@param run_id string
---@return boolean
function Engine:knows(run_id)
  return self.store ~= nil and (self.store:row(run_id)) ~= nil
end

local HAS_ENDED = keeping.HAS_ENDED

--- Whether a run has ended, as the store says.
---@param run_id string
---@return boolean
function Engine:has_ended(run_id)
  local row = self.store:row(run_id)
  return row ~= nil and HAS_ENDED[row.status] == true
end

local function ended_run(self, run_id)
  local entries = self.store:load(run_id)
  local last, row = entries[#entries], self.store:row(run_id)
  local run = setmetatable({ id = run_id, engine = self, plan = { name = tostring(row.pipeline), version = row.version },
    started_ms = row.started_ms, status = last[2], ended_ms = last[4] }, { __index = run_type.Run })
  if run.status == "finished" then
    run.output = last[3]
  else
    run.error = failure.of(last[3])
  end
  return run
end

--- A run that was started before: goes on with it when it has not ended, else only tells how it ended.
---@param run_id string
---@param parent weir.Run|nil the run that started it
---@return weir.Run
function Engine:rejoin(run_id, parent)
  local known = self:at_work(run_id) or self.handles[run_id]
  if known then return known end
  local row, message, code = self.store:row(run_id)
  if not row then failure.raise(code or "not_found", "%s", message) end
  if HAS_ENDED[row.status] then return ended_run(self, run_id) end
  if row.status == "running" then
    local ok, run = pcall(require("weir.run.recovery").open, self, run_id, { parent = parent })
    if ok then return go_on(run) end
    row = self.store:row(run_id)
    if row.status ~= "quarantined" then error(run, 0) end -- else it is waited for until somebody resumes it
  end
  local parked = setmetatable({ id = run_id, status = row.status, engine = self, done = gate.new() }, { __index = run_type.Run })
  self.handles[run_id] = parked
  return parked
end

-- Going on ------------------------------------------------------------------------------------------

local function known(value)
  if value == json.null then return nil end
  return value
end

local function head_of(entries, run_id)
  local first = entries[1]
  if not first or first[1] ~= "run" then failure.raise("corrupt", "run %s: its journal does not begin with its start", run_id) end
  local head = journal.head_of(entries)
  if head.format > keeping.FORMAT then
    failure.raise("invalid", "run %s was written by a newer weir (journal format %d, this one reads %d)", run_id, head.format,
      keeping.FORMAT)
  end
  return head
end

-- A run that begins with much of another one is made in several transactions.
local function check_whole(head, entries, run_id)
  local of = known(head.of)
  if of and #entries - 1 < (known(of.kept) or 0) then
    failure.raise("corrupt", "run %s is not whole: the process ended while it was being made; `weir cancel %s` ends it, make it again",
      run_id, run_id)
  end
end

local function take_over(self, run_id)
  local handle, message, why = self.store:run(run_id, 1)
  if not handle then failure.raise(why, "%s", message) end
  return handle
end

local function open_again(self, run_id, options)
  local entries, row, code = self.store:load(run_id)
  if not entries then failure.raise(code, "%s", row) end
  if row and HAS_ENDED[row.status] then
    failure.raise("conflict", "run %s has %s already; there is nothing to go on with", run_id, row.status)
  end
  local head = head_of(entries, run_id)
  if not options.cancel then check_whole(head, entries, run_id) end
  local of = self:plan_of_version(head.version)
  local book = journal.new(take_over(self, run_id), entries, self.store)
  local held = binding.hold_pinned(self, of, book.versions or head.pins)
  local run = new_run(self, of, held, head.input, { id = run_id, listener = options.listener, key = known(head.key),
    started_ms = head.at, by = known(head.by), parent = options.parent, parent_id = known(head.parent), of = known(head.of),
    model = known(head.model), event = known(head.event), event_offset = known(head.event_offset) })
  run.journal, run.undos = book, #book.undos > 0 and book.undos or nil
  run.was_reopened, run.was_running = true, row.status == "running"
  run.due_ms, run.active_s, run.parked_on = known(row.due_ms), known(row.active_s), known(row.waiting)
  run.cancel_reason = options.cancel
  local handle = self.handles[run_id]
  if handle then run.done, run.handle = handle.done, handle end
  return run
end

--- The run of an id that is at work in this process, also when it is about to be: two do not go on with one run. Waits.
---@param run_id string
---@return weir.Run|nil
function Engine:at_work(run_id)
  while self.opening[run_id] do self.opening[run_id]:wait "a run that is being opened" end
  return self.live[run_id]
end

--- Calls a function while nobody goes on with a run, which is not at work: who wants to waits. Raises what it raises. Waits as it does.
---@param run_id string
---@param body fun(...): any
---@param ... any its arguments
---@return any
function Engine:alone(run_id, body, ...)
  local opening = gate.new()
  self.opening[run_id] = opening
  local _ <close> = setmetatable({}, { __close = function()
    self.opening[run_id] = nil
    opening:open()
  end })
  return (body(...))
end

--- Prepares to go on with a run that has not ended. What happened is found in its journal and not done
--- again. Raises {code, message}.
---@param run_id string
---@param options { listener: function|nil, parent: weir.Run|nil, cancel: string|nil }|nil
---@return weir.Run
function Engine:reopen(run_id, options)
  if self:at_work(run_id) then failure.raise("conflict", "run %s is at work in this process already", run_id) end
  local run = self:alone(run_id, open_again, self, run_id, options or {})
  if self.is_stopping and not run.cancel_reason then run:stop "the host is stopping" end -- it was not there yet to be stopped
  return begun(run, true)
end

--- A run has left: it has ended, is parked, or stops here. Whoever started it and waits hears of it.
---@param run weir.Run
function Engine:left(run)
  self.live[run.id] = nil
  if run.handle then -- who waits has the run of an earlier life
    run.handle.status, run.handle.output, run.handle.error, run.handle.ended_ms = run.status, run.output, run.error, run.ended_ms
  end
  if run.ended_ms and run.parent_id and self.live[run.parent_id] then
    require("weir.run.waking").wake(self, run.parent_id, function(wait) return wait.kind == "run" and wait.id == run.id end)
  end
  if self.service and (run.interrupted == "parked" or run.parent_id or run.reflection) then self.service:nudge() end
end

-- One of which definition, modules or journal cannot be read: it ends, and says that nothing of it was undone.
local function give_up(self, run_id, row, reason, why)
  if why.code == "conflict" or why.code == "unavailable" then error(why, 0) end
  for _, wait in ipairs(known(row.waiting) or {}) do
    if wait.kind == "approval" or wait.kind == "in_doubt" then require("weir.approval").cancel(self.store, wait.id, reason) end
  end
  keeping.give_up(self.store, run_id, row, failure.new("cancelled", "%s; what it did was not undone: %s", reason, why.message))
  return ended_run(self, run_id)
end

--- Cancels a run, wherever it stands: what it does is stopped, what it did is undone, and so with the runs that it
--- started. Of one that cannot be read any more nothing is undone, and its error says so. Waits until it has ended.
--- Raises `not_found`, and `conflict` when it has ended already.
---@param run_id string
---@param reason string
---@param options { listener: function|nil }|nil
---@return weir.Run
function Engine:cancel(run_id, reason, options)
  local live = self:at_work(run_id)
  while live do
    live:cancel(reason)
    live:await_left()
    if live.ended_ms or self.is_stopping then return live end
    live = self:at_work(run_id) -- it was just being parked, or paused
  end
  local row, message, code = self.store:row(run_id)
  if not row then failure.raise(code or "not_found", "%s", message) end
  if HAS_ENDED[row.status] then
    local err = failure.new("conflict", "run %s has %s already; there is nothing to cancel", run_id, row.status)
    err.run = run_id
    error(err, 0)
  end
  local ok, run = pcall(self.reopen, self, run_id, { cancel = reason, listener = options and options.listener })
  if not ok then return give_up(self, run_id, row, reason, failure.of(run)) end
  if not run.journal.ending then keeping.ending(run, "cancelled", failure.new("cancelled", reason)) end
  return run:execute()
end

--- Ends what runs have opened and share: what was measured of models is written, MCP servers are ended. Before the store is
--- closed. Safe twice. Waits.
function Engine:close()
  if self.models then self.models:close() end
  if self.mcp then self.mcp:close() end
end

--- Stops every run of this process where it stands; no new one is started. They go on in another life.
---@param reason string
function Engine:stop(reason)
  self.is_stopping = true
  for _, run in pairs(self.live) do run:stop(reason) end
end

return M

--- For specs: runs of pipelines with stand-ins, a virtual clock and a seed; modules and contexts on their
--- own. What a spec opens here is closed when the call returns.

local clock = require "weir.port.clock"
local engine = require "weir.run.engine"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local random = require "weir.port.random"
local registry = require "weir.registry"
local store_port = require "weir.port.store"
local tape = require "weir.port.tape"
local task = require "weir.task"
local value_of = require "weir.value"
local waking = require "weir.run.waking"

local M = {}

local JITTER = 10000 -- instructions to a drawn preemption, at most
local CRASH_WITHIN = 12 -- events of a life in which a crash is drawn

--- The seed of runs that name none; `weir test --seed` sets it.
---@type integer|nil
M.seed = nil

--- The project that specs run in: that of the working folder.
local function open_project()
  return project.open "."
end

--- A module, loaded as the host loads it.
---@param full string such as "critics/agreement"
---@return table
function M.module(full)
  local here = open_project()
  local kind, name = registry.split(full)
  if not kind then error(("'%s' is no module; write its folder and name, such as critics/agreement"):format(full), 2) end
  local entry, err = here.registry:lookup(kind, name)
  if not entry then error(err.message, 2) end
  return entry.module
end

local Context = {}
Context.__index = Context

function Context:log() end -- luacheck: ignore 212
function Context:metric() end -- luacheck: ignore 212
function Context:sleep(seconds) self.slept = (self.slept or 0) + seconds end
function Context:now() return self.time or 0 end
function Context:random(n) return n and 1 or 0 end -- luacheck: ignore 212
function Context:atomic(body, ...) return body(...) end -- luacheck: ignore 212
function Context:secret(name) return require("weir.secret").handle(name) end -- luacheck: ignore 212
function Context:emit(item) self.emitted[#self.emitted + 1] = item end

function Context:publish(event)
  self.published[#self.published + 1] = event
  return "published/" .. #self.published
end

function Context:items()
  local position = 0
  return function()
    position = position + 1
    return self.stream and self.stream[position]
  end
end

--- A context to call a module's functions with. Options get the module's defaults.
---@param module table
---@param fields table|nil input, options, memory, state, attempt, feedback, drafts, stream (a list for items())
---@return weir.Context
function M.context(module, fields)
  fields = fields or {}
  local schema = require "weir.schema"
  local declared = assert(schema.object(module.options or {}))
  local ctx = setmetatable({ attempt = 1, visit = 1, memory = {}, drafts = {}, emitted = {}, published = {}, input = {} }, Context)
  for name, value in pairs(fields) do ctx[name] = value end
  ctx.options = schema.defaults(declared, fields.options or {})
  if module.setup and ctx.state == nil then ctx.state = module.setup(ctx.options, nil) end
  return ctx
end

---@class weir.TestRun
---@field status string
---@field output any
---@field error table|nil
---@field events table[]
---@field published weir.Event[] what its steps published, in order
local TestRun = {}
TestRun.__index = TestRun

--- How often a step was tried.
---@param name string
---@return integer
function TestRun:attempts(name)
  local count = 0
  for _, event in ipairs(self.events) do
    local is_begin = event.kind == "step" and event.name == name and event.status == "running" and not event.again
    if is_begin or (event.kind == "retry" and event.step:match "[^/]+$" == name) then count = count + 1 end
  end
  return count
end

--- The output of a finished step, as StepData has it.
function TestRun:data(name)
  return name == nil and self.step_data or self.step_data[name]
end

local function definition_of(here, what, text)
  local definition, errors
  if text then
    definition, errors = here:load(what, text)
  elseif type(what) == "string" then
    local file, message = here:pipeline_file(what)
    if not file then error(message, 3) end
    definition, errors = here:load(file)
  else
    definition, errors = here:check(what)
  end
  if definition then return definition end
  local format = require("weir.definition.check").format
  local lines = {}
  for index, err in ipairs(errors) do lines[index] = format(err) end
  error(table.concat(lines, "\n"), 3)
end

local function stand_in(here, kind, call, given)
  for name, body in pairs(given or {}) do
    here.registry:put { kind = kind, name = name, api = 1, options = { type = "object" }, [call] = body }
  end
end

-- Models that answer as the spec says. The only one, or the one that is named, is that of steps which name none.
local function stand_in_models(here, models, model)
  stand_in(here, "model", "chat", models)
  local names = value_of.names(models or {})
  here.settings.model = model or #names == 1 and names[1] or here.settings.model
end

-- Options of modules, as the project's settings would give them.
local function set_options(here, modules)
  local options = {}
  for full, given in pairs(here.settings.options or {}) do options[full] = given end
  for full, given in pairs(modules or {}) do options[full] = given end
  here.settings.options = options
end

-- The events that the run's steps published, as a sink would be handed them.
local function published_in(store)
  local outbox, events = require "weir.outbox", {}
  if outbox.queue(store):depth() == 0 then return events end
  outbox.drain(store, function(event)
    events[#events + 1] = event
    return true
  end)
  return events
end

local function result_of(run, events, published)
  return setmetatable({ status = run.status, output = run.output, error = run.error, events = events, id = run.id,
    published = published, step_data = run.data or {}, seconds = ((run.ended_ms or clock.wall_ms()) - run.started_ms) / 1000,
    waits = run.waits }, TestRun)
end

-- The lives of the run that are to end in a crash: each at a drawn event of the run.
local function crasher(count)
  local left, at = count, nil
  local function draw() at = left > 0 and random.integer() % CRASH_WITHIN + 1 or nil end
  draw()
  return function(run)
    if not at then return end
    at = at - 1
    if at > 0 then return end
    left = left - 1
    draw()
    run:crash()
  end
end

-- The run to where it ends or waits, whatever crashes on the way.
local function through_crashes(here, run, options)
  run:execute()
  while run.interrupted == "crashed" do run = here:reopen(run.id, options):execute() end
  return run
end

-- Time passes until the run has ended, or only people and other runs could wake it.
local function until_nothing_is_due(here, run, options)
  while not run.ended_ms and run.status ~= "quarantined" do
    local due_ms = waking.next_due(here)
    if not due_ms then break end
    clock.sleep(math.max(0, (due_ms - clock.wall_ms()) / 1000))
    for _, run_id in ipairs(waking.due(here)) do
      local live = here.live[run_id]
      if live then
        live:await_left()
      else
        local woken = through_crashes(here, recovery.open(here, run_id, options), options)
        if run_id == run.id then run = woken end
      end
    end
  end
  return run
end

-- What people decide, by the name of the step that asks.
local function decider(decisions)
  return function(record)
    local given = decisions[record.step:match "[^/]+$"] or decisions[record.step]
    if type(given) == "function" then given = given(record) end
    return given and { decision = given.decision, by = given.by or "somebody", answer = given.answer, comment = given.comment }
  end
end

local function with_definition(what, text, options)
  local here = open_project()
  stand_in(here, "agent", "execute", options.agents)
  stand_in(here, "critic", "review", options.critics)
  stand_in(here, "judge", "judge", options.judges)
  stand_in_models(here, options.models, options.model)
  for name, value in pairs(options.settings or {}) do here.settings[name] = value end
  set_options(here, options.modules)
  local definition = definition_of(here, what, text)
  local store = assert(store_port.open(":memory:"))
  local was_virtual = native.is_virtual()
  local seed = options.seed or M.seed
  if not options.real_time then native.use_virtual_clock(seed, options.jitter or (seed and JITTER or 0)) end
  local events, crash = {}, crasher(options.crashes or 0)
  local ok, run, published = task.within({}, function()
    local own <close> = engine.new(here, store)
    own.decide = decider(options.decisions or {})
    local life = { listener = function(event, of)
      events[#events + 1] = event
      crash(of)
    end }
    local ended = until_nothing_is_due(own, through_crashes(own, own:prepare(definition, options.input, life), life), life)
    return ended, published_in(store)
  end)
  store:close()
  if not was_virtual then native.use_real_clock() end
  if not ok then
    if run.code == "invalid" then
      return setmetatable({ status = "refused", error = failure.of(run), events = events, step_data = {} }, TestRun)
    end
    error(run, 0)
  end
  return result_of(run, events, published)
end

-- Recorded answers in the place of the network, or a recording of what it answers.
local function run_definition(what, text, options)
  options = options or {}
  if not options.replay and not options.record then return with_definition(what, text, options) end
  local own, message = (options.replay and tape.player or tape.recorder)(options.replay or options.record)
  if not own then error(message, 3) end
  return tape.within(own, with_definition, what, text, options)
end

--- Runs a pipeline on a virtual clock, in a store of its own that is gone afterwards. Waits.
---@param what string|table a file, a name, or what weir.pipeline or weir.flow gave
---@param options table|nil input; agents: stand-ins by name, `function(ctx, input)`; critics: stand-ins by name,
---   `function(ctx, draft)`; judges: stand-ins by name, `function(ctx, branches)`; models: stand-ins by name,
---   `function(ctx, request)` as a model module's `chat`; model: the one of steps that name none; settings: in the place of
---   those of weir.lua; decisions: what people decide, by
---   step, {decision, by, answer, comment} or a function that gives it from the question; modules: options by full name
---   ("agents/files"); seed: draws the order of what runs side by side; jitter: instructions to a drawn preemption,
---   at most; crashes: how often the host is lost on the way, at drawn moments, and the run resumed;
---   real_time: keeps the real clock, for processes and sockets; replay: a recording that answers what the run asks by HTTP,
---   record: a file to record that into (see `weir.port.tape`)
---@return weir.TestRun
function M.run(what, options)
  return run_definition(what, nil, options)
end

--- The same for the text of a definition.
---@param file string its extension tells the format
---@param text string
---@param options table|nil as for `run`
---@return weir.TestRun
function M.run_text(file, text, options)
  return run_definition(file, text, options)
end

return M

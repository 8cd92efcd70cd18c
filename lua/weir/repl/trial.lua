--- One step tried again: its agent, as it is now, with the input that the step had. Nothing is recorded, and what
--- reaches out of the host is refused unless it is allowed.

local context = require "weir.run.context"
local failure = require "weir.failure"
local history = require "weir.run.history"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local registry_of = require "weir.registry"
local schema = require "weir.schema"
local value_of = require "weir.value"
local weir = require "weir"

local M = {}

-- The step of a run's plan, and what it knew when it began.
local function step_of(host, run_id, text)
  local past = history.load(host.engine, run_id)
  local found = past:find(text)
  if not found.key then failure.raise("invalid", "'%s' is a group; try one of its steps", text) end
  local last = found.n and found.n - 1 or #past.entries
  local data, step = past:data(last, found.key)
  return found.key, step, data
end

local function input_of(key, step, data, given)
  if given ~= nil then return value_of.copy(given) end
  if not step or not step.input then
    failure.raise("invalid", "step '%s': what a flow gave it is not in the record; give input =", key)
  end
  return value_of.copy(step.input(data))
end

local function entry_of(host, key, step, agent)
  local full = agent and "agents/" .. agent or step and step.module
  if not full then failure.raise("invalid", "step '%s' is no agent's; name one with agent =", key) end
  local entry, err = host.project.registry:lookup(registry_of.split(full))
  if not entry then error(err, 0) end
  return entry, full
end

-- What an agent may do in a trial --------------------------------------------------------------------

local Context = {}
local meta = {}

-- What only a run has is refused by its name.
function meta.__index(_, name)
  local own = Context[name]
  if own ~= nil or context.methods[name] == nil then return own end
  return function() failure.raise("unavailable", "the agent asks for ctx:%s, which only a run has", name) end
end

local function outside(self, what)
  if self._effects then return end
  failure.raise("denied", "the agent asks for %s, which reaches out of the host; allow it with effects = true", what)
end

function Context:secret(name) return require("weir.secret").handle(name) end -- luacheck: ignore 212

function Context:http(request)
  outside(self, "an HTTP request")
  return require("weir.port.http").fetch(request)
end

function Context:process(args, options)
  outside(self, "a process")
  return require("weir.port.process").run(args, options)
end

-- Models and tools are asked by a run that keeps nothing, as a step of the kind would ask them.
local function in_run(self, name, given, ...)
  local more = table.pack(...)
  local function ask(run)
    return run[name](run, given, table.unpack(more, 1, more.n))
  end
  local definition, errors = self._host.project:check(weir.flow "trial" { durability = "none", ask })
  if not definition then failure.raise("invalid", "%s", errors[1].message) end
  local run = self._host.engine:run(definition, {})
  if run.status ~= "finished" then error(run.error, 0) end
  return run.output
end

-- What is to be heard goes to the trial, whose items are shown at its end.
local function asking(self, given)
  local own = {}
  for name, value in pairs(given) do own[name] = value end
  if own.model == nil then own.model = self._model end
  if own.emit == true then own.emit = function(delta) if delta.text then self:emit(delta.text) end end end
  return own
end

for _, name in ipairs { "chat", "converse" } do
  Context[name] = function(self, given)
    outside(self, "a model")
    local own = asking(self, given)
    if name == "converse" and own.tools == nil then own.tools = self._tools end
    return in_run(self, name, own)
  end
end

function Context:embed(texts, options)
  outside(self, "a model")
  return in_run(self, "embed", texts, options or { model = self._model })
end

function Context:tool(name, input)
  outside(self, ("the tool '%s'"):format(tostring(name)))
  return in_run(self, "tool", name, input)
end

function Context:publish(event)
  self._published[#self._published + 1] = event
  return "trial/" .. #self._published
end

function Context:log(level, text) self._say(("%s: %s"):format(level, tostring(text))) end
function Context:print(text) self._say(text) end
function Context:metric() end -- luacheck: ignore 212
function Context:emit(item) self._items[#self._items + 1] = item end
function Context:sleep(seconds) require("weir.port.clock").sleep(seconds) end -- luacheck: ignore 212
function Context:now() return require("weir.port.clock").wall() end -- luacheck: ignore 212
function Context:atomic(body, ...) return require("weir.native.scheduler").atomic(body, ...) end -- luacheck: ignore 212

function Context:random(n) -- luacheck: ignore 212
  if n then return math.random(n) end
  return math.random()
end

local function context_of(host, of, entry, options)
  local merged = host.project.registry:options(entry, host.project:options_of(of.full), of.step and of.step.options)
  for name, value in pairs(options.options or {}) do merged[name] = value end
  merged = schema.defaults(entry.options, merged)
  return setmetatable({ run = of.run, pipeline = of.pipeline, step = of.key, attempt = 1, visit = 1, input = of.input,
    options = merged, root = host.project.root, idempotency_key = "trial/" .. of.key, memory = {}, drafts = {},
    state = host.project.registry:state(entry, merged), feedback = options.feedback, _effects = options.effects == true,
    _host = host, _model = of.step and of.step.model, _tools = of.step and of.step.tools,
    _say = of.say, _items = {}, _published = {} }, meta)
end

local function output_of(ctx, value, message, code)
  if value ~= nil then return value end
  if type(message) == "string" then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
  return #ctx._items > 0 and json.list(ctx._items) or nil
end

-- What it prints is the trial's; it starts runs only where it may reach out.
local function execute(host, ctx, module, input)
  local engine, before = native.get_local "engine", native.context()
  native.set_context { current = ctx, run = { engine = ctx._effects and host.engine or nil } }
  native.set_local("engine", false)
  local results = table.pack(pcall(module.execute, ctx, input))
  native.set_context(before)
  native.set_local("engine", engine or false)
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Calls an agent outside of any run. Waits.
---@param host weir.Host
---@param of { run: string, pipeline: string, key: string, input: any, step: table|nil, agent: string|nil, say: fun(text: string) }
---@param options { effects: boolean|nil, options: table|nil, feedback: table|nil }
---@return any output
function M.call(host, of, options)
  local entry
  entry, of.full = entry_of(host, of.key, of.step, of.agent)
  local ctx = context_of(host, of, entry, options)
  return output_of(ctx, execute(host, ctx, entry.module, of.input))
end

--- Tries a step of a run again. Waits.
---@param host weir.Host
---@param run_id string
---@param text string the step
---@param options { input: any, agent: string|nil, effects: boolean|nil, options: table|nil, feedback: table|nil }
---@param say fun(text: string) what the agent prints
---@return any output
function M.step(host, run_id, text, options, say)
  local key, step, data = step_of(host, run_id, text)
  local pipeline = host.store:row(run_id).pipeline
  return M.call(host, { run = run_id, pipeline = pipeline, key = key, step = step, agent = options.agent,
    input = input_of(key, step, data, options.input), say = say }, options)
end

return M

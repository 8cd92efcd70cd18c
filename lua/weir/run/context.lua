--- What an agent, critic or flow is given as `ctx`: where it stands, what it may read, and every way in
--- which it may touch the world. One shared metatable; what is rarely asked for is made when asked.

local documents = require "weir.run.documents"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local proof = require "weir.proof"

local M = {}

local LOG_LEVELS = { debug = true, info = true, warn = true, error = true }
local PRINT_MAX = 1 << 20 -- bytes that one attempt may print and log

--- Methods; the flow adds its own (step, group, map, ...).
---@class weir.Context
---@field input any          the step's input
---@field attempt integer    from 1
---@field visit integer      from 1
---@field feedback table|nil from the critic: {verdict, score, advice, draft}
---@field workspace weir.WorkspaceView the documents of the run, the pipeline and the project
---@field branch string|nil  may be set: the label this step emits
local methods = {}
M.methods = methods

local getters = {}

function getters.run(self) return self._frame.run end
function getters.pipeline(self) return self._frame.run.plan.name end
function getters.step(self) return self._step.name end
function getters.attempt() return 1 end
function getters.visit(self) return self._frame.visit or 1 end
function getters.idempotency_key(self) return self._frame.run.id .. "/" .. self._key end
function getters.root(self) return self._frame.run.engine.project.root end
function getters.data(self) return self._frame.data end

-- A flow itself has no outcome that could be committed with what it writes.
function getters.workspace(self)
  if not self._step.kind then
    failure.raise("invalid", "a flow uses the workspace in its steps: run:step \"x\" { function(step) step.workspace:post(...) end }")
  end
  local view = documents.view(self)
  self.workspace = view
  return view
end

-- What a remedy has changed for the attempts of this step, and for nothing inside of it.
local function remedied(self)
  local given = self._frame.remedied
  return given and given.key == self._key and given or nil
end

--- The model that a remedy gives the step, or nil.
---@param ctx weir.Context
---@return string|nil
function M.remedied_model(ctx)
  local given = remedied(ctx)
  return given and given.model
end

function getters.options(self)
  local frame = self._frame
  local options = frame.run:options_of(self._step, frame.held)
  local given = remedied(self)
  if given and given.options and self._step.module then
    options = require("weir.healing.supervision").options(frame.run, self._step, frame.held, given.options)
  end
  self.options = options
  return options
end

function getters.state(self)
  local state = self._frame.run:state_of(self._step, self.options, self._frame.held)
  self.state = state
  return state
end

function getters.memory(self)
  local memory = self._frame.run:memory_of(self._key)
  self.memory = memory
  return memory
end

local Context = {
  __name = "weir.context",
  __index = function(self, name)
    local method = methods[name]
    if method then return method end
    local get = getters[name]
    if get then return get(self) end
  end,
}

--- A context for one attempt of one step.
---@param frame table where the step stands: {run, data, prefix, visit}
---@param step table  of the plan
---@param key string  of the step in the journal
---@param input any
---@param attempt integer
---@return weir.Context
function M.new(frame, step, key, input, attempt)
  local self = setmetatable({ _frame = frame, _step = step, _key = key, input = input }, Context)
  if attempt ~= 1 then self.attempt = attempt end
  return self
end

--- Sleeps; ends early only when the step is cancelled, which raises. Waits.
---@param seconds number
function methods:sleep(seconds)
  if type(seconds) ~= "number" or seconds < 0 then error("seconds: a number from 0 expected", 2) end
  if self._frame.run.rehearsal then return end -- only agents and flows wait so, and those have waited already
  local ok, err = pcall(native.sleep, seconds)
  if ok then return end
  proof.stopped "sleep"
  error(err, 0)
end

--- A number drawn from a generator of the flow's, or of the attempt's, own: with no argument a float in [0, 1), with n an
--- integer from 1 to n. The same run draws the same numbers again after a crash.
function methods:random(n)
  local flow, frame = rawget(self, "_flow"), self._frame
  if flow and flow.is_flow then return frame.run:draw(n, flow, flow.prefix) end
  return frame.run:draw(n, self, ("%s#%d#%d"):format(self._key, frame.draft or 1, self.attempt))
end

local function charge(self, bytes)
  local used = (self._printed or 0) + bytes
  self._printed = used
  if used > PRINT_MAX then
    failure.raise("limit", "step '%s' has printed and logged more than %d bytes", self._key, PRINT_MAX)
  end
end

--- Logs a line.
---@param level "debug"|"info"|"warn"|"error"
---@param text string
---@param fields table|nil
function methods:log(level, text, fields)
  if not LOG_LEVELS[level] then error("level: debug, info, warn or error expected, got '" .. tostring(level) .. "'", 2) end
  text = tostring(text)
  charge(self, #text)
  self._frame.run:notify { kind = "log", step = self._key, level = level, text = text, fields = fields }
end

--- What a module's `print` does inside a step.
function methods:print(text)
  charge(self, #text)
  self._frame.run:notify { kind = "print", step = self._key, text = text }
end

--- Reports a number about the run, such as tokens used.
---@param name string
---@param value number
---@param labels table|nil
function methods:metric(name, value, labels)
  if type(value) ~= "number" then error("value: a number expected", 2) end
  self._frame.run:measure(name, value, labels, self._key)
end

--- Runs a function that no other task interrupts and that may not wait.
function methods:atomic(body, ...)
  return native.atomic(body, ...)
end

--- Publishes an event: it goes out once the step has finished, in one transaction with its outcome, and not at all if
--- the attempt fails or is cancelled. It arrives at least once, after those that the run published before; twice
--- only with the same id. Does not wait. Raises `invalid`, `limit` (1000 events of a step, 1 MiB each), `unavailable` (of the
--- run nothing is kept).
---@param event { type: string, data: any, subject: string? } the rest of a CloudEvent (id, source, time) is filled in
---@return string id
function methods:publish(event)
  return require("weir.outbox").publish(self, event)
end

--- Sends an item to whoever reads this step's stream; waits while they are behind.
---@param item any not nil
function methods:emit(item)
  if item == nil then error("item: a value other than nil expected", 2) end
  local stream = self._stream
  if not stream then
    stream = self._frame.run.open_stream(self)
    self._stream, self.emit = stream, methods.emit -- from now on found without asking the metatable
  end
  stream:emit(item)
end

local NO_COUNTERS = setmetatable({}, { __newindex = function() error "the counters of a reader without steps" end })

--- Iterates over the stream of another step of the group, as it comes. When that step is tried again and says something
--- else, what it said is taken back: a reader with `rewind` is told how many items hold, and gets what comes in the place
--- of the others; what it streamed and did as steps since is taken back with them. Any other reader is begun anew.
---@param what string|{ step: string|nil, rewind: fun(valid: integer)|nil }|nil the name of the step; may go when there is one
---@return fun(): any
function methods:items(what)
  local frame, name = self._frame, self._step.name
  local sources = frame.sources and frame.sources[name]
  if not sources then error(("step '%s' reads no stream; name its source with `from`"):format(name), 2) end
  return sources:items(what, { key = self._key, own = frame.streams[name], counters = function()
    local flow = rawget(self, "_flow")
    return flow and flow.counters or NO_COUNTERS
  end })
end

--- A handle of a secret, for what sends it: { authorization = { "Bearer ", ctx:secret "API_KEY" } }. Lua never has its
--- value. Does not wait.
---@param name string as weir.lua's `secrets` names it, or a variable of the environment
---@return weir.SecretHandle
function methods:secret(name)
  return require("weir.secret").handle(name)
end

--- An HTTP request. Waits.
---@param request { method: string?, url: string, headers: table?, body: string?, timeout: number? }
---@return table|nil response {status, headers, body}, or nil, message, code
function methods:http(request)
  if self._frame.run.rehearsal then self._frame.run.rehearsal:wait_for_ever(self._key .. "/http") end
  return require("weir.port.http").fetch(request)
end

--- Runs a child process in a group of its own. Waits until it has ended; it ends with the step.
---@param args string[] program and arguments
---@param options table|nil stdin, cwd, env, timeout, max_bytes
---@return table|nil result {status, signal, stdout, stderr}, or nil, message, code
function methods:process(args, options)
  if self._frame.run.rehearsal then self._frame.run.rehearsal:wait_for_ever(self._key .. "/process") end
  return require("weir.port.process").run(args, options)
end

return M

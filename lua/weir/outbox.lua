--- Outgoing events: what a step publishes is committed in one transaction with its outcome, and handed to a sink
--- afterwards, as often as it takes until the sink has confirmed it.
---
--- So no event is of a step that failed or was cancelled, none of a finished one is missing, and one that arrives
--- twice has the same id: it is made of the run, the step and which of its events it is. The events of one run reach
--- the sink in their order. An event is a CloudEvent 1.0 (https://github.com/cloudevents/spec) in its JSON form.

local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local hops = require "weir.event.hops"
local native = require "weir.native.scheduler"
local plain = require "weir.run.plain"
local queue = require "weir.queue"
local retry = require "weir.run.retry"
local store_port = require "weir.port.store"
local suggest = require "weir.suggest"
local task = require "weir.task"
local values = require "weir.value"

local M = {}

local QUEUE = "outbox"
local FIELDS = { type = true, data = true, subject = true }
local TEXT_MAX, EVENT_MAX, COUNT_MAX = 1024, 1 << 20, 1000 -- bytes of a type or subject, of an event; events of an attempt
local ATTEMPTS, BACKOFF, BACKOFF_MAX = 10, 1, 300
local SINK_TIMEOUT, WORKERS, PATIENCE = 30, 4, 3600
local AGAIN = 1 -- seconds after the store has refused

---@class weir.Event a CloudEvent
---@field specversion "1.0"
---@field id string       RUN/STEP/N: the same whenever it is delivered
---@field source string   /pipelines/NAME
---@field type string
---@field time string     RFC 3339: when it was published
---@field subject string|nil
---@field datacontenttype "application/json"|nil  with data
---@field data any

-- Publishing ----------------------------------------------------------------------------------------

local function check_text(event, name, is_needed)
  local text = event[name]
  if text == nil and not is_needed then return end
  if type(text) ~= "string" or text == "" or #text > TEXT_MAX then
    failure.raise("invalid", "an event's %s has to be a text of 1 to %d bytes, got '%s'", name, TEXT_MAX, tostring(text))
  end
end

local function check(event)
  if type(event) ~= "table" then failure.raise("invalid", "publish: an event {type, data, subject} expected, got %s", type(event)) end
  for name in pairs(event) do
    if not FIELDS[name] then
      failure.raise("invalid", "an event has no field '%s'%s; it has type, data and subject", tostring(name),
        suggest.hint(tostring(name), { "type", "data", "subject" }))
    end
  end
  check_text(event, "type", true)
  check_text(event, "subject")
  local refusal = plain.refusal(event.data)
  if refusal then failure.raise("invalid", "an event's data is %s", refusal) end
end

-- What is committed with the step: all its events, in their order.
local Staged = {}
Staged.__index = Staged

function Staged:operations()
  local operations = {}
  for _, event in ipairs(self.events) do
    local list = self.queue:enqueue_operations(event, { key = self.run_id })
    table.move(list, 1, #list, #operations + 1, operations)
  end
  return operations
end

function Staged:committed() self.queue:committed() end

-- A function's handle publishes with the step that the function is; whatever else with its own.
local function staged_of(ctx)
  local frame = ctx._frame
  local outer = rawget(ctx, "_flow") == frame and frame.commits_in or frame
  local list = rawget(outer, "staged") or {}
  outer.staged = list
  for _, source in ipairs(list) do
    if getmetatable(source) == Staged then return source end
  end
  local run = frame.run
  local source = setmetatable({ queue = queue.open(run.engine.store, QUEUE), run_id = run.id, events = {} }, Staged)
  list[#list + 1] = source
  return source
end

local function event_of(ctx, given, n)
  return { [hops.NAME] = hops.next(ctx._frame.run.event),
    specversion = "1.0", id = ("%s/%s/%d"):format(ctx._frame.run.id, ctx._key, n), source = "/pipelines/" .. ctx.pipeline,
    type = given.type, subject = given.subject, time = clock.rfc3339(clock.wall_ms()),
    datacontenttype = given.data ~= nil and "application/json" or nil, data = values.copy(given.data) }
end

--- Publishes an event with the outcome of a context's step (`ctx:publish`).
---@param ctx weir.Context
---@param event { type: string, data: any, subject: string? }
---@return string id
function M.publish(ctx, event)
  if not ctx._step.kind then
    failure.raise("invalid",
      "'%s' has no outcome to publish an event with; do it in a step: run:step \"x\" { function(step) step:publish(...) end }", ctx.step)
  end
  if not ctx._frame.run.journal then
    failure.raise("unavailable", "step '%s' publishes, and of this run nothing is kept: give it a durability and a store", ctx._key)
  end
  check(event)
  local source = staged_of(ctx)
  if #source.events == COUNT_MAX then failure.raise("limit", "step '%s' has published %d events; publish fewer", ctx._key, COUNT_MAX) end
  local full = event_of(ctx, event, #source.events + 1)
  local bytes, message, code = store_port.encode(full)
  if not bytes then failure.raise(code, "an event of step '%s': %s", ctx._key, message) end
  if #bytes > EVENT_MAX then
    failure.raise("limit", "an event of step '%s' has %d bytes, more than %d; publish where its data stands", ctx._key, #bytes, EVENT_MAX)
  end
  source.events[#source.events + 1] = full
  return full.id
end

-- Handing over --------------------------------------------------------------------------------------

--- The queue of the events that the sink has not confirmed. Does not wait.
---@param of weir.Engine|weir.Store
---@param options table|nil as `drain`
---@return weir.Queue
function M.queue(of, options)
  local store = type(of) == "table" and of.store or of
  options = options or {}
  return queue.open(store, QUEUE, { attempts = options.attempts or ATTEMPTS, lease_s = 2 * (options.timeout or SINK_TIMEOUT) })
end

local function must(result, message, code)
  if result == nil and code ~= "conflict" then failure.raise(code, "outbox: %s", message) end
  return result
end

-- What the sink says of an event: nil when it has it, else why not.
local function offer(sink, item, timeout)
  local ok, confirmed, message, code = task.within({ timeout = timeout }, function() return sink(item.value, item.attempt) end)
  if not ok then return failure.of(confirmed) end
  if confirmed then return nil end
  return failure.new(failure.codes[code] and code or "failed", "%s", tostring(message or "the sink did not confirm it"))
end

-- A lease that was lost meanwhile is no trouble: the event is handed over once more, with the same id.
local function settle(self, item, err, was_cancelled)
  if not err then
    must(self.queue:finish(item))
    self.counts.sent = self.counts.sent + 1
  elseif was_cancelled then
    must(self.queue:release(item, nil, { is_uncounted = true }))
  else
    local due_ms = duration.after(clock.wall_ms(), retry.delay(self.policy, item.attempt))
    local where = must(self.queue:release(item, due_ms, { error = err }))
    self.counts.refused = self.counts.refused + 1
    if where == "dead" then self.counts.dead = self.counts.dead + 1 end
  end
end

local function hand_over(self, item)
  local err = offer(self.sink, item, self.timeout)
  local was_cancelled = native.cancelled() ~= nil
  local ok, trouble = task.within({ shield = true }, function() settle(self, item, err, was_cancelled) end)
  if not ok then error(trouble, 0) end
  native.check()
end

-- Whether there was an event to be handed over.
local function hand_over_next(self, patience)
  local item, message, code = self.queue:claim { timeout = patience }
  if not item and code ~= "empty" then failure.raise(code, "outbox: %s", message) end
  if item then hand_over(self, item) end
  return item ~= nil
end

-- What the store refuses now, such as on a full disk, it may do later.
local function keep_handing_over(self, on_failed)
  while true do
    local ok, err = pcall(hand_over_next, self, PATIENCE)
    if not ok then
      native.recover()
      native.check()
      if on_failed then on_failed(failure.of(err)) end
      clock.sleep(AGAIN)
    end
  end
end

local function new_drain(of, sink, options)
  options = options or {}
  if type(sink) ~= "function" then error("sink: a function(event) expected", 3) end
  local policy = retry.policy { backoff = options.backoff or BACKOFF, max = options.backoff_max or BACKOFF_MAX }
  return { sink = sink, queue = M.queue(of, options), timeout = options.timeout or SINK_TIMEOUT, policy = policy,
    counts = { sent = 0, refused = 0, dead = 0 } }
end

--- Hands every event that is due to a sink. An event is removed when the sink has confirmed it; one that it refuses is
--- handed over again later, and those of the same run wait behind it; after so many times it is a dead letter of the
--- queue (see `queue`). Waits; a sink that is called is given to the end of its timeout, unless the task is cancelled.
--- Raises `full`, `corrupt`, `unavailable` when the store does.
---@param of weir.Engine|weir.Store
---@param sink fun(event: weir.Event, attempt: integer): true|nil, string?, string? may wait; nil, message, code: not taken
---@param options { attempts: integer?, backoff: number?, backoff_max: number?, timeout: number? }|nil attempts: default 10; backoff:
---   seconds before the second one, default 1, doubled each time to `backoff_max`, default 300; timeout: seconds that the
---   sink may take, default 30
---@return { sent: integer, refused: integer, dead: integer } counts dead: those of the refused that are dead letters now
function M.drain(of, sink, options)
  local self = new_drain(of, sink, options)
  while hand_over_next(self) do end
  return self.counts
end

---@class weir.OutboxService
---@field counts { sent: integer, refused: integer, dead: integer } since it was started
local Service = {}
Service.__index = Service

--- Hands events to a sink as they come, those of several runs side by side, until it is closed. Does not wait.
---@param of weir.Engine|weir.Store
---@param sink fun(event: weir.Event, attempt: integer): true|nil, string?, string? as for `drain`
---@param options table|nil as for `drain`; `workers`: events at once, default 4; `on_failed(err)`: told when the store refuses, after
---   which it is tried again
---@return weir.OutboxService
function M.serve(of, sink, options)
  local self = new_drain(of, sink, options)
  options = options or {}
  local function serve()
    for _ = 1, options.workers or WORKERS do task.spawn(keep_handing_over, self, options.on_failed) end
  end
  return setmetatable({ counts = self.counts, task = task.serve(serve) }, Service)
end

--- Ends it: a sink that is being called is cancelled, and its event handed over again by whoever serves next. Waits.
function Service:close()
  self.task:cancel "the outbox is closed"
  self.task:join()
end

return M

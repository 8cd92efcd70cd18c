--- What a host does beside its runs: hands published events to where they go, and removes what is over: every minute what
--- queues and the workspace forget, every ten minutes runs whose retention is over. After runs that went, and once a day,
--- also what nothing refers to any more: versions and blobs. All of it in small batches, with others served between them.

local digest = require "weir.native.hash"
local failure = require "weir.failure"
local clock = require "weir.port.clock"
local event_log = require "weir.event.log"
local forget = require "weir.trigger.forget"
local incident = require "weir.healing.incident"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local outbox = require "weir.outbox"
local queue = require "weir.queue"
local tend = require "weir.approval.tend"
local upkeep = require "weir.upkeep"
local workspace = require "weir.workspace"

local M = {}

local EVERY = 60 -- seconds between two rounds
local ROUNDS_OF_PRUNE = 10 -- after which runs are looked at; the first time one round after the start
local SWEEP = 86400 -- seconds after which what nothing refers to is looked for although no run went
local ROOM = 20 -- seconds that a published event waits for room in a pipeline's queue before it comes again
local PAUSE = 0.01 -- seconds between two batches
local LINKS_KEPT_MS = 7 * 86400000 -- after they expired, so that they are told from what never was one
local EVENT_TYPE = "application/cloudevents+json"

---@class weir.House
local House = {}
House.__index = House

-- Published events ----------------------------------------------------------------------------------

-- Anything but 2xx is no confirmation: the event comes again.
local function sink_to(host, url)
  return function(event, attempt)
    local response, message, code = require("weir.port.http").fetch { url = url, method = "POST",
      headers = { ["content-type"] = EVENT_TYPE }, body = assert(json.encode(event)), timeout = 25 }
    if response and response.status >= 200 and response.status < 300 then
      host.feed:publish("event", { event = event, attempt = attempt })
      return true
    end
    message = message or ("answered with status %d"):format(response.status)
    host.log:warn("an event was not taken", { url = url, event = event.id, attempt = attempt, error = message })
    return nil, message, code or "unavailable"
  end
end

-- What a run publishes is an event of this host as well: it may start pipelines, and others may wait for it.
local function take_in(host, event)
  local ok, err = pcall(host.events.take, host.events, { { event = event, from = "run", dedupe = digest.sha256("run " .. event.id) } },
    { patience = ROOM })
  if ok then return true end
  native.recover()
  err = failure.of(err)
  if err.code == "limit" then -- it would never be taken
    host.log:error("an event was left out", { event = event.id, error = err.message })
    return true
  end
  return nil, err.message, err.code
end

local function open_outbox(self)
  local host = self.host
  local url = host.settings.events
  local send = url and sink_to(host, url)
  self.outbox = outbox.serve(host.engine, function(event, attempt)
    if host.events then
      local taken, message, code = take_in(host, event)
      if not taken then return nil, message, code end
    end
    if send then return send(event, attempt) end
    host.feed:publish("event", { event = event, attempt = attempt })
    return true
  end, { on_failed = function(err) host.log:error("events could not be handed over", { error = err.message, code = err.code }) end })
end

-- What is over --------------------------------------------------------------------------------------

-- However much has come to be over since the last round, all of it goes in this one.
local function until_none(host, expire, ...)
  repeat
    local removed, message, code = expire(...)
    if removed == nil then failure.raise(code or "failed", "%s", message) end
    clock.sleep(PAUSE)
  until removed == 0 or host.engine.is_stopping
end

local REMOVED = { "runs", "definitions", "modules", "documents", "blobs" }

-- What went is told; so is what is damaged, once.
local function tell(self, done)
  local log, fields, has_gone = self.host.log, { bytes = done.bytes + done.blob_bytes }, false
  for _, name in ipairs(REMOVED) do
    fields[name] = done[name]
    has_gone = has_gone or done[name] > 0
  end
  if has_gone then log:info("pruned", fields) end
  for _, found in ipairs(done.damaged) do
    if not self.damaged[found.run] then log:warn("a run is damaged and was not pruned", { run = found.run, error = found.message }) end
    self.damaged[found.run] = true
  end
end

local function prune(self)
  local engine, now = self.host.engine, clock.now()
  local is_lazy = now - self.swept < SWEEP
  local done = upkeep.prune(engine, { pause = PAUSE, is_lazy = is_lazy, is_stopping = function() return engine.is_stopping end })
  if not is_lazy then self.swept = now end
  tell(self, done)
end

local function try(self, what, body, ...)
  local ok, err = pcall(body, ...)
  if not ok then
    native.recover()
    self.host.log:warn(what, { error = failure.of(err).message })
  end
  native.check()
end

-- What is in the way of one kind, such as a row that is damaged, keeps none of the others where it is.
local function tidy(self)
  local host = self.host
  local store, now_ms = host.store, clock.wall_ms()
  local function remove(what, body, ...) try(self, what .. " that are over could not be removed", body, ...) end
  remove("keys of deliveries", until_none, host, queue.expire, store, now_ms)
  remove("documents", until_none, host, workspace.expire, store, now_ms)
  remove("incidents", incident.expire, store, now_ms)
  remove("events", until_none, host, event_log.expire, store, now_ms - event_log.KEPT * 1000)
  remove("links", tend.forget_links, store, now_ms - LINKS_KEPT_MS)
  remove("keys of triggers", forget.keys, store, now_ms)
  if host.triggers then remove("marks of triggers", forget.sweep, store, host.triggers, now_ms) end
end

local function keep(self)
  local round = 0
  while true do
    tidy(self)
    if round % ROUNDS_OF_PRUNE == 1 then try(self, "runs that are over could not be removed", prune, self) end
    round = round + 1
    clock.sleep(EVERY)
  end
end

--- Starts what is done beside the runs. Does not wait.
---@param host weir.Host
---@return weir.House
function M.start(host)
  local self = setmetatable({ host = host, swept = clock.now(), damaged = {} }, House)
  open_outbox(self)
  self.task = native.spawn_root(keep, self)
  return self
end

--- Ends it. Waits.
function House:close()
  if self.outbox then self.outbox:close() end
  self.task:cancel "the host stops"
  self.task:join()
end

return M

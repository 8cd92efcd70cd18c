--- What a host does beside its runs: hands published events to where they go, and removes what is over.

local failure = require "weir.failure"
local clock = require "weir.port.clock"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local outbox = require "weir.outbox"
local queue = require "weir.queue"
local workspace = require "weir.workspace"

local M = {}

local EVERY = 60 -- seconds between two rounds
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

local function open_outbox(self)
  local host = self.host
  local url = host.settings.events
  if url then self.outbox = outbox.serve(host.engine, sink_to(host, url)) end
end

-- What is over --------------------------------------------------------------------------------------

local function tidy(host)
  local now_ms = clock.wall_ms()
  local removed, message, code = queue.expire(host.store, now_ms)
  if removed == nil then failure.raise(code or "failed", "%s", message) end
  workspace.expire(host.store, now_ms)
end

local function keep(host)
  while true do
    local ok, err = pcall(tidy, host)
    if not ok then
      native.recover()
      host.log:warn("what is over could not be removed", { error = failure.of(err).message })
    end
    native.check()
    clock.sleep(EVERY)
  end
end

--- Starts what is done beside the runs. Does not wait.
---@param host weir.Host
---@return weir.House
function M.start(host)
  local self = setmetatable({ host = host }, House)
  open_outbox(self)
  self.task = native.spawn_root(keep, host)
  return self
end

--- Ends it. Waits.
function House:close()
  if self.outbox then
    local err = self.outbox:close()
    if err then self.host.log:error("events were not handed over", { error = err.message, code = err.code }) end
  end
  self.task:cancel "the host stops"
  self.task:join()
end

return M

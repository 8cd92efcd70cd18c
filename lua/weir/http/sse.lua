--- Server-sent events: what happens, as it happens (https://html.spec.whatwg.org/multipage/server-sent-events.html).
---
--- Each event has an id; a client that comes back with `Last-Event-ID` goes on from there. A client that reads too
--- slowly is waited for, up to 64 KiB of its answer; the host's events wait for nobody, so what it has missed when
--- it goes on is told as one event `gap`, with the id after which it goes on: it reads again what it needs to know.
--- When nothing happens a comment line is sent every ten seconds, so that both sides notice that the other has gone.

local sayable = require "weir.view.sayable"
local scheduler = require "weir.native.scheduler"
local secret = require "weir.native.secret"

local M = {}

local BEAT = 10 -- seconds
local RETRY_MS = 2000

local HEADERS = { ["Content-Type"] = "text/event-stream", ["Cache-Control"] = "no-store", ["X-Accel-Buffering"] = "no",
  ["X-Content-Type-Options"] = "nosniff" }

--- One event as text.
---@param id string|nil
---@param kind string
---@param data any plain data
---@return string
function M.event(id, kind, data)
  local text = secret.redact(sayable.encode(data) or '{"code":"invalid"}')
  return ("%sevent: %s\ndata: %s\n\n"):format(id and ("id: %s\n"):format(id) or "", kind, text)
end

--- Begins a stream. Does not wait.
---@param request weir.Request
---@return boolean is_open false: the client has gone, or has asked for the head alone
function M.begin(request)
  if request:method() == "HEAD" then
    if request:stream(200, HEADERS) then request:close() end
    return false
  end
  return request:stream(200, HEADERS) ~= nil and request:write(("retry: %d\n: weir\n\n"):format(RETRY_MS)) ~= nil
end

--- The id that a client has seen last.
---@param request weir.Request
---@param given string|nil of the query
---@return string|nil
function M.last_id(request, given)
  local header = request:header "last-event-id"
  if header and header:find "^[%w%-_.]+$" then return header end
  return given
end

local function next_text(follower, beat)
  local event, why, id = follower:next(beat)
  if event then return M.event(event.id, event.kind, event.data), event end
  if why == "gap" then return M.event(id, "gap", { after = id }) end
  if why == "timeout" then return ": still here\n\n" end
end

--- Sends what a follower gives until it ends, the client goes, or `is_last` says so. Waits.
---@param call weir.Call of whose request `begin` was called
---@param follower table {next, close}
---@param options { is_last: (fun(event: table): boolean)|nil, beat: number|nil }|nil beat: seconds between two comment lines
function M.follow(call, follower, options)
  options = options or {}
  local request, streams = call.request, call.streams
  streams[follower] = true
  local _ <close> = setmetatable({}, { __close = function()
    streams[follower] = nil
    follower:close()
  end })
  while true do
    local text, event = next_text(follower, options.beat or BEAT)
    if not text or not request:write(text) then break end
    if event and options.is_last and options.is_last(event) then break end
    scheduler.yield()
  end
  request:close()
end

return M

--- The one place that listens on the network. Loaded when the first server is made.

local failure = require "weir.failure"
local native = require "weir.native.http_server"
local scheduler = require "weir.native.scheduler"

local M = {}

---@class weir.Request one request and its answer; see lua/meta/http_server.lua
---@class weir.Server
---@field url string|nil of TCP, such as http://127.0.0.1:4010
---@field path string|nil of a Unix socket
local Server = {}
Server.__index = Server

local GRACE = 5 -- seconds

local function url_of(options, port)
  if not options.address then return nil end
  return (options.address:find(":", 1, true) and "http://[%s]:%d" or "http://%s:%d"):format(options.address, port)
end

-- The task of a request. What it raises is told, and its client hears that something went wrong.
local function serve(self, request)
  local me = scheduler.current()
  request:attach(me)
  self.tasks[me] = true
  local ok, err = xpcall(self.handler, failure.explain, request)
  self.tasks[me] = nil
  if ok then return end
  scheduler.recover()
  if not scheduler.cancelled() then self.on_error(err) end
  if not pcall(request.respond, request, 500, {}, "") then request:close() end
end

--- Listens, and runs a task for each request. A client that goes away cancels the task of its request. Does not wait.
---@param options { address: string|nil, port: integer|nil, path: string|nil, body_bytes: integer|nil, header_bytes: integer|nil,
---   connections: integer|nil, per_address: integer|nil, idle: number|nil, receive: number|nil,
---   on_error: (fun(err: table))|nil } address: of TCP, a number, with a port (0: any that is free); else path: of a Unix socket
---   in a folder of mode 0700; body_bytes: 1 MiB; header_bytes: 16 KiB; connections: 256 at once, per_address 32 of one;
---   idle: seconds of silence (10); receive: seconds for a whole request (30); on_error: told what a handler raised
---@param handler fun(request: weir.Request) answers it
---@return weir.Server|nil
---@return string? message
---@return string? code invalid, denied, conflict (somebody listens there), unavailable
function M.listen(options, handler)
  local self = setmetatable({ handler = handler, tasks = {}, on_error = options.on_error or function() end, path = options.path }, Server)
  local given = { handler = function(request) return serve(self, request) end,
    gone = function(task) task:cancel "the client has gone" end }
  for _, name in ipairs { "address", "port", "path", "body_bytes", "header_bytes", "connections", "per_address", "idle", "receive" } do
    given[name] = options[name]
  end
  local message, code
  self.native, message, code = native.listen(given)
  if not self.native then return nil, message, code end
  self.port = self.native:port()
  self.url = url_of(options, self.port)
  return self
end

--- How many connections are open, and how many requests are under way. Does not wait.
---@return integer connections
---@return integer requests
function Server:stats()
  return self.native:stats()
end

--- Ends it: no new connections; requests under way get a time of grace, then they are cancelled. Safe twice. Waits.
---@param grace number|nil seconds, default 5
function Server:close(grace)
  if self.is_closed then return end
  self.is_closed = true
  if not self.native:drain(grace or GRACE) then
    for task in pairs(self.tasks) do task:cancel "the server is closed" end
    self.native:drain(math.min(grace or GRACE, 1))
  end
  self.native:close()
end

return M

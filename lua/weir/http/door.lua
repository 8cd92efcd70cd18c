--- From a request to its answer: who asks, which route, what it brings, what came of it. Each in this order, so that
--- nothing of a request is read that was not let in.

local access_of = require "weir.http.access"
local native = require "weir.native.scheduler"
local problem = require "weir.http.problem"
local router = require "weir.http.router"
local sayable = require "weir.view.sayable"
local secret = require "weir.native.secret"
local target = require "weir.http.target"

local M = {}

---@class weir.Call what a handler is given
---@field host weir.Host
---@field request weir.Request
---@field route weir.Route
---@field params table<string, string>  of the path
---@field query table<string, any>
---@field body any                      decoded; nil when there is none
---@field who weir.Principal|nil        nil on a public path
---@field streams table<table, true>    followers, which are closed with the door

local JSON_TYPE = "application/json"
local BARE = { ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff" }
local OF_JSON = { ["Cache-Control"] = "no-store", ["X-Content-Type-Options"] = "nosniff", ["Content-Type"] = JSON_TYPE }

local function with(headers, more)
  if not more then return headers end
  local all = {}
  for name, text in pairs(headers) do all[name] = text end
  for name, text in pairs(more) do all[name] = text end
  return all
end

-- A text is JSON already, unless its headers say what it is.
local function send(request, status, value, more)
  if value == nil then return request:respond(status, with(BARE, more)) end
  local body = value
  if type(value) ~= "string" then
    local message
    body, message = sayable.encode(value)
    if not body then problem.raise(500, "corrupt", "the answer cannot be written as JSON: %s", message) end
  end
  request:respond(status, with(OF_JSON, more), secret.redact(body))
end

local function body_text(request)
  local text, message, code = request:body()
  if text then return text end
  if code == "limit" then problem.raise(413, "limit", "%s", message) end
  problem.raise(400, code, "%s", message)
end

--- The raw body of a call. Waits. Raises what answers with 413.
M.raw = body_text

local function has_body(request)
  local length = request:header "content-length"
  return request:header "transfer-encoding" ~= nil or length ~= nil and length ~= "0"
end

-- A body needs its content type, also where it may be left out.
local function read_body(call)
  local route, request = call.route, call.request
  if has_body(request) then
    call.type = router.content_type(route, request:header "content-type")
    if route.is_raw then return end
    call.body = router.body(route, body_text(request))
  elseif route.check_body and not route.is_raw then
    if route.needs_body then problem.raise(400, "invalid", "there is no body; null, {} or another JSON is needed") end
    call.body = router.body(route, "{}")
  end
end

local function authorize(self, call)
  local route = call.route
  if route and route.role == "public" then return end
  if route and route.role == "signed" then return end
  call.who = self.access:who_asks(call.request)
  if route then access_of.check_role(call.who, route.role) end
end

local function answer(self, request, place)
  self.access:admit(request)
  local segments, query = target.parse(request:target())
  local route, params = self.router:find(request:method(), segments)
  place.route = route
  local call = { host = self.host, request = request, route = route, params = params, streams = self.streams }
  authorize(self, call)
  if not route then error(params, 0) end
  call.query = router.query(route, query)
  read_body(call)
  local status, value, headers = route.handler(call)
  if status then send(request, status, value, headers) end
end

-- What is over a limit is to be tried later, but where the route says otherwise.
local function refuse(self, request, raised, route)
  if route and route.limit_status and type(raised) == "table" and rawget(raised, "code") == "limit" then
    raised.status = rawget(raised, "status") or route.limit_status
  end
  local status, headers, body, is_internal = problem.of(raised, route and route.refusal)
  if is_internal and self.host.log then
    local err = require("weir.failure").of(raised)
    self.host.log:error("a request failed", { method = request:method(), target = request:target(), error = err.message,
      traceback = err.traceback })
  end
  request:respond(status, headers, body and secret.redact(body))
  return status
end

-- The traceback of what is no refusal is for the log.
local function explain(raised)
  if type(raised) == "table" and rawget(raised, "code") then return raised end
  return require("weir.failure").explain(raised)
end

--- The function that answers requests.
---@param host weir.Host
---@param routes weir.Router
---@param access weir.Access
---@param http weir.HttpDoor
---@return fun(request: weir.Request)
function M.new(host, routes, access, http)
  local self = { host = host, router = routes, access = access, streams = http.streams }
  return function(request)
    local place = {} -- gets the route, which may have a shape of its own for refusals
    local ok, raised = xpcall(answer, explain, self, request, place)
    if ok then return end
    native.recover()
    if native.cancelled() then return end -- the client has gone
    refuse(self, request, raised, place.route)
  end
end

--- Runs a function outside of the request, whose client may go away, and waits for what came of it. Raises what it raises.
---@param body fun(): ...
function M.detached(body)
  local waiter = native.waiter()
  native.spawn_root(function() waiter:wake(xpcall(body, explain)) end)
  local results = table.pack(waiter:wait "what was begun for a request")
  if not results[1] then error(results[2], 0) end
  return table.unpack(results, 2, results.n)
end

--- Has a run that was opened go on by itself, whoever asked for it.
---@param run weir.Run
function M.go_on(run)
  native.start({ name = run.id }, function()
    local ok, err = pcall(run.execute, run)
    if not ok and run.engine.service and run.engine.service.on_refused then
      run.engine.service.on_refused(run.id, require("weir.failure").of(err))
    end
  end)
end

return M

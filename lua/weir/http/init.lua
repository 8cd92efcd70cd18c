--- The HTTP door of a host: one for its owner on a Unix socket, one on TCP for who has a token.

local access_of = require "weir.http.access"
local bodies = require "weir.http.bodies"
local door = require "weir.http.door"
local failure = require "weir.failure"
local intake = require "weir.http.intake"
local metrics_of = require "weir.http.metrics"
local native = require "weir.native.scheduler"
local port = require "weir.port.server"
local router = require "weir.http.router"
local signature = require "weir.http.signature"
local tokens_of = require "weir.http.tokens"

local M = {}

local PARTS = { "runs", "approvals", "decide", "schedules", "project", "goals", "skills", "incidents", "candidates", "workspace", "events",
  "sources", "host", "v1", "console" }

--- All routes, in the order of their files.
---@return weir.Route[]
function M.routes()
  local routes = {}
  for _, part in ipairs(PARTS) do
    for _, route in ipairs(require("weir.http.routes." .. part)) do routes[#routes + 1] = route end
  end
  return routes
end

---@class weir.HttpDoor
---@field url string|nil    of TCP
---@field path string|nil   of the Unix socket
---@field token string|nil  of an administrator, as long as this process lives; only when there are no tokens
---@field routes weir.Route[]
---@field metrics weir.Metrics
---@field intake weir.Intake
---@field bodies weir.Bodies
---@field hooks table<string, weir.Signature>
local Door = {}
Door.__index = Door

local function read_listen(text)
  local address, number = text:match "^%[([%x:]+)%]:(%d+)$"
  if not address then address, number = text:match "^([%d.]*):?(%d+)$" end
  local value = math.tointeger(tonumber(number))
  if not value or value > 65535 then
    failure.raise("invalid", "listen: ADDRESS:PORT expected, such as 127.0.0.1:4010 or [::1]:4010, got '%s'", text)
  end
  return address ~= "" and address or "127.0.0.1", value
end

local function hooks_of(given)
  local hooks = {}
  for path, one in pairs(given or {}) do
    if type(path) ~= "string" or path:find "[/%c]" then
      failure.raise("invalid", "hooks: a name without '/' expected, got '%s'", tostring(path))
    end
    hooks[path] = signature.new(one, ("hook '%s'"):format(path))
  end
  return hooks
end

local function own_tokens(host)
  local folder = host.store:path()
  return folder ~= ":memory:" and folder .. "/tokens" or nil
end

local function must(server, message, code)
  if not server then failure.raise(code, "%s", message) end
  return server
end

local function listen_tcp(self, options)
  local address, number = read_listen(options.listen)
  local tokens = tokens_of.load(options.tokens)
  access_of.check_start(address, tokens)
  if tokens:number() == 0 then self.token = tokens:issue("local", "admin") end
  local answer
  self.tcp = must(port.listen({ address = address, port = number, on_error = self.on_error }, function(request) return answer(request) end))
  self.url = self.tcp.url
  answer = door.new(self.host, self.router, access_of.tcp(address, self.tcp.port, tokens, options), self)
end

local function listen_unix(self, options)
  self.unix = must(port.listen({ path = options.socket, on_error = self.on_error },
    door.new(self.host, self.router, access_of.owner(), self)))
  self.path = options.socket
end

local function open_all(self, options)
  if options.socket then listen_unix(self, options) end
  if options.listen then listen_tcp(self, options) end
  self.counting = native.spawn_root(function() self.metrics:follow(self.host.feed) end)
end

--- Opens the door of a host. From then on `host.http` is what this returns. Raises `invalid`, `denied` (an address that
--- others reach without a token, a file of tokens that others may read), `conflict` (somebody listens there), `unavailable`.
---@param host weir.Host {project, store, engine, feed, log, settings, started_ms}
---@param options { listen: string|nil, socket: string|nil, tokens: string|nil, hosts: string[]|nil, origins: string[]|nil,
---   hooks: table<string, table>|nil } listen: ADDRESS:PORT of TCP; socket: the path of the Unix socket;
---   tokens: the file of tokens, default `tokens` of the store's folder; hosts: more names of this host; origins: of pages that
---   may ask; hooks: by name, see weir.http.signature; default of the last three: the settings of that name
---@return weir.HttpDoor
function M.start(host, options)
  local settings = setmetatable({}, { __index = function(_, name)
    local value = host.settings[name]
    if value == nil then return host.project.settings[name] end
    return value
  end })
  local routes = M.routes()
  local self = setmetatable({ host = host, routes = routes, router = router.new(routes), metrics = metrics_of.new(),
    streams = {}, bodies = bodies.new(), intake = intake.new(host),
    hooks = hooks_of(options.hooks or settings.hooks) }, Door)
  function self.on_error(err)
    if host.log then host.log:error("a request failed", { error = err.message, traceback = err.traceback }) end
  end
  host.http = self
  local given = { listen = options.listen, socket = options.socket, tokens = options.tokens or own_tokens(host),
    hosts = options.hosts or settings.hosts,
    origins = options.origins or settings.origins }
  local ok, raised = pcall(open_all, self, given)
  if ok then return self end
  self:close(0)
  error(raised, 0)
end

--- Closes it: streams end, requests under way get a time of grace. Safe twice. Waits.
---@param grace number|nil seconds, default 5
function Door:close(grace)
  for follower in pairs(self.streams) do follower:close() end
  if self.tcp then self.tcp:close(grace) end
  if self.unix then self.unix:close(grace) end
  if self.counting then
    self.counting:cancel "the door is closed"
    self.counting:join()
    self.counting = nil
  end
end

return M

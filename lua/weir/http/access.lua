--- Who may do what. On the Unix socket the system says who asks, and its owner may do everything. On TCP everybody needs a
--- token, also on this machine, since any page in a browser can reach it: the names in Host and Origin have to be those
--- that were allowed, there are no cookies, and no other origin is ever told that it may read an answer.

local failure = require "weir.failure"
local private = require "weir.port.private"
local problem = require "weir.http.problem"
local system = require "weir.port.system"
local tokens_of = require "weir.http.tokens"

local M = {}

---@class weir.Access
local Access = {}
Access.__index = Access

--- Access by the Unix socket.
---@return weir.Access
function M.owner()
  return setmetatable({ uid = private.uid(), who = tokens_of.principal(system.user_name(), "admin") }, Access)
end

--- Whether an address is this machine's alone.
---@param address string
---@return boolean
function M.is_loopback(address)
  return address:find "^127%." ~= nil or address == "::1"
end

local function names_of(address, port, more)
  local hosts = {}
  local function allow(name) hosts[name:lower()] = true end
  for _, name in ipairs { "localhost", "127.0.0.1", "[::1]" } do
    if M.is_loopback(address) then allow(name .. ":" .. port) end
  end
  if address ~= "0.0.0.0" and address ~= "::" then allow((address:find ":" and "[%s]:%d" or "%s:%d"):format(address, port)) end
  for _, name in ipairs(more or {}) do allow(name) end
  return hosts
end

local function origins_of(hosts, more)
  local origins = {}
  for name in pairs(hosts) do origins["http://" .. name] = true end
  for _, origin in ipairs(more or {}) do origins[origin:lower()] = true end
  return origins
end

--- Access by TCP.
---@param address string
---@param port integer
---@param tokens weir.Tokens
---@param options { hosts: string[]|nil, origins: string[]|nil }|nil more names that are this host's, as they stand in Host; more
---  origins, such as https://weir.example.org, whose pages may ask
---@return weir.Access
function M.tcp(address, port, tokens, options)
  options = options or {}
  local hosts = names_of(address, port, options.hosts)
  return setmetatable({ tokens = tokens, hosts = hosts, origins = origins_of(hosts, options.origins) }, Access)
end

--- Raises `denied` for an address that others reach while there are no tokens that somebody has made for it.
---@param address string
---@param tokens weir.Tokens
function M.check_start(address, tokens)
  if M.is_loopback(address) or tokens:number() > 0 then return end
  failure.raise("denied", "listening on %s lets other machines in, and there is no token yet; make one (docs/http.md), or listen on "
    .. "127.0.0.1", address)
end

local function check_names(self, request)
  local host, count = request:header "host"
  if count ~= 1 or not (self.hosts[host] or self.hosts[host:lower()]) then
    problem.raise(421, "denied", "Host '%s' is not a name of this host", tostring(host):sub(1, 100))
  end
  local origin = request:header "origin"
  if origin and not self.origins[origin:lower()] then
    problem.raise(403, "denied", "pages of '%s' may not ask here", origin:sub(1, 100))
  end
end

local function refuse_token(message)
  local err = problem.new(401, "denied", "%s", message)
  err.headers = { ["WWW-Authenticate"] = 'Bearer realm="weir"' }
  error(err, 0)
end

local function bearer(self, request)
  local given, count = request:header "authorization"
  if not given then refuse_token "a token is needed: Authorization: Bearer TOKEN" end
  local token = count == 1 and given:match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+) *$"
  local who = token and self.tokens:who(token)
  if not who then refuse_token "this token is not known here" end
  return who
end

--- Raises what answers with 401, 403 or 421 when a request must not be answered at all, whatever it asks for.
---@param request weir.Request
function Access:admit(request)
  if self.hosts then return check_names(self, request) end
  local uid = request:peer().uid
  if uid ~= self.uid then problem.raise(403, "denied", "this socket is for its owner alone") end
end

--- Who asks. Raises what answers with 401.
---@param request weir.Request
---@return weir.Principal
function Access:who_asks(request)
  return self.who or bearer(self, request)
end

--- Raises what answers with 403 when somebody may not do what a route does.
---@param who weir.Principal
---@param role string
function M.check_role(who, role)
  if who.may[role] then return end
  problem.raise(403, "denied", "%s has the role '%s'; this needs '%s'", who.name, who.role, role)
end

return M

--- The one place that asks the network. Loaded when the first request is made.

local client = require "weir.native.http_client"
local proof = require "weir.proof"
local secret = require "weir.secret"
local tape = require "weir.port.tape"

local M = {}

-- The part of a request that says whom it asks, without what may be secret: `http://host:port`.
local function host_of(url)
  local scheme, authority = tostring(url):match "^(%a[%w+.-]*://)([^/?#]*)"
  return scheme and scheme .. authority:gsub("^.*@", "") or nil
end

-- Leaves a note when it is closed by an error: the connection was closed before the headers came.
local Asking = { __close = function(self, err)
  if err ~= nil then proof.stopped("request", host_of(self.url)) end
end }

---@class weir.Response
---@field status integer
---@field headers table<string, string|string[]>
---@field url string
local Response = {}
Response.__index = Response

local function end_of(self, value, message, code)
  self.has_ended = true
  return value, message, code
end

--- The next bytes, at most `most`; nil at the end, and nil, message, code when it broke. Waits.
---@param most integer|nil bytes
function Response:read(most)
  local piece, message, code = self.transfer:read(most)
  if piece then return piece end
  return end_of(self, nil, message, code)
end

--- All bytes that were not read yet, or nil, message, code. Waits for the end.
function Response:all()
  return end_of(self, self.transfer:all())
end

--- Closes it; the connection too when the answer has not ended. Safe twice. Does not wait.
function Response:close()
  if not self.has_ended then proof.stopped("request", host_of(self.url)) end
  self.has_ended = true
  self.transfer:close()
end

Response.__close = Response.close

-- What stands in a header is looked up now, that it may be waited for.
local function ask(request)
  local loaded, message, code = secret.load_of_headers(request.headers)
  if not loaded then return nil, message, code end
  return client.request(request)
end

--- Sends a request and waits until the headers of the answer are there. The body is read with
--- `response:read()`; what is not read stays on the other side. Closed with the variable that holds it.
---@param request table url, method ("GET"), headers (values: strings, handles of secrets; a list of strings is a header that is
---   repeated, one with a handle in it is one value, such as { "Bearer ", handle }), body, timeout and idle_timeout in seconds, max_bytes,
---   follow (redirects, 3), addresses ("any", "public", "loopback"), hosts (names that may be asked, also by a redirect;
---   "*.example.org" is all below it)
---@return weir.Response|nil response
---@return string? message
---@return string? code unavailable, denied (an address, a host, a secret), timeout, limit, invalid, closed
function M.open(request)
  if type(request) ~= "table" then error(("request: a table expected, got %s"):format(type(request)), 2) end
  local _ <close> = setmetatable({ url = request.url }, Asking)
  local transfer, message, code = tape.request(request, ask)
  if not transfer then return nil, message, code end
  return setmetatable({ transfer = transfer, status = transfer.status, headers = transfer.headers, url = transfer.url }, Response)
end

--- Sends a request and waits for the whole answer.
---@param request table as for `open`
---@return { status: integer, headers: table<string, string|string[]>, body: string }|nil response
---@return string? message
---@return string? code
function M.fetch(request)
  local response <close>, message, code = M.open(request)
  if not response then return nil, message, code end
  local body, why, what = response:all()
  if not body then return nil, why, what end
  return { status = response.status, headers = response.headers, body = body, url = response.url }
end

return M

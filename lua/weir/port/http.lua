--- The one place that asks the network. Loaded when the first request is made.

local client = require "weir.native.http_client"

local M = {}

--- Sends a request and waits until the headers of the answer are there. The body is read with
--- `response:read()`; what is not read stays on the other side. Closed with the variable that holds it.
---@param request table url, method ("GET"), headers, body, timeout and idle_timeout in seconds, max_bytes,
---   follow (redirects, 3), addresses ("any", "public", "loopback")
---@return table|nil response {status, headers, url, read, all, close}
---@return string? message
---@return string? code unavailable, denied, timeout, limit, invalid, closed
function M.open(request)
  return client.request(request)
end

--- Sends a request and waits for the whole answer.
---@param request table as for `open`
---@return { status: integer, headers: table<string, string|string[]>, body: string }|nil response
---@return string? message
---@return string? code
function M.fetch(request)
  local response <close>, message, code = client.request(request)
  if not response then return nil, message, code end
  local body, why, what = response:all()
  if not body then return nil, why, what end
  return { status = response.status, headers = response.headers, body = body, url = response.url }
end

return M

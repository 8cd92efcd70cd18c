--- For specs: an MCP server over HTTP in this process, that behaves as the spec says.

local json = require "weir.native.json"
local loopback = dofile "spec/loopback.lua"
local native = require "weir.native.scheduler"

local M = {}

---@class weir.spec.Reply what a spec answers one request with
local Reply = {}
Reply.__index = Reply

function Reply:raw(bytes)
  if self.socket:is_closing() then return nil end
  local waiter = native.waiter()
  self.socket:write(bytes, function(err) waiter:wake(err) end)
  return waiter:wait "a write" == nil
end

function Reply:send(status, kind, body, headers)
  local lines = { ("HTTP/1.1 %s"):format(status), "Content-Length: " .. #body }
  if kind then lines[#lines + 1] = "Content-Type: " .. kind end
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  return self:raw(table.concat(lines, "\r\n") .. "\r\n\r\n" .. body)
end

function Reply:json(value, headers) return self:send("200 OK", "application/json", assert(json.encode(value)), headers) end

function Reply:result(id, result, headers) return self:json({ jsonrpc = "2.0", id = id, result = result }, headers) end

function Reply:refuse(status, id, code, message, data)
  return self:send(status, "application/json",
    assert(json.encode { jsonrpc = "2.0", id = id, error = { code = code, message = message, data = data } }))
end

--- Begins a stream of events, which lasts until the connection is closed.
function Reply:stream(headers)
  local lines = { "HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8", "Connection: close" }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = name .. ": " .. value end
  return self:raw(table.concat(lines, "\r\n") .. "\r\n\r\n")
end

function Reply:event(value, id)
  return self:raw((id and ("id: %s\r\n"):format(id) or "") .. "event: message\r\ndata: " .. assert(json.encode(value)) .. "\r\n\r\n")
end

function Reply:close()
  if not self.socket:is_closing() then self.socket:close() end
end

local function parse(head)
  local method, path = head:match "^(%S+) (%S+)"
  local request = { method = method, path = path, headers = {} }
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do request.headers[name:lower()] = value end
  return request
end

local function answer(self, socket, request)
  request.message = request.body ~= "" and json.decode(request.body) or {}
  self.requests[#self.requests + 1] = request
  local reply = setmetatable({ socket = socket }, Reply)
  request.reply = reply
  self.handle(request, reply)
end

local function on_data(self, socket, state, bytes)
  if not bytes then
    self.left = self.left + 1
    if state.request then state.request.is_gone = true end
    if not socket:is_closing() then socket:close() end
    return
  end
  state.bytes = state.bytes .. bytes
  while true do
    local head, body = state.bytes:match "^(.-\r\n)\r\n(.*)$"
    if not head then return end
    local request = parse(head)
    local size = tonumber(request.headers["content-length"] or 0)
    if #body < size then return end
    request.body, state.bytes = body:sub(1, size), body:sub(size + 1)
    state.request = request
    native.spawn(answer, self, socket, request)
  end
end

--- Serves until it is closed.
---@param handle fun(request: table, reply: weir.spec.Reply) a task for each request; request.message is its body
function M.new(handle)
  local self = { handle = handle, requests = {}, left = 0 }
  self.tcp = loopback.listen(function(socket)
    local state = { bytes = "" }
    socket:nodelay(true)
    -- each callback is a task, and a task of a spec may lose the processor anywhere
    socket:read_start(function(err, bytes) native.atomic(on_data, self, socket, state, not err and bytes or nil) end)
  end)
  self.url = self.tcp.url .. "/mcp"
  function self.close() self.tcp:close() end
  --- The requests for a method, in order.
  function self.of(method)
    local list = {}
    for _, request in ipairs(self.requests) do
      if request.message.method == method then list[#list + 1] = request end
    end
    return list
  end
  return self
end

local TOOLS = { { name = "echo", inputSchema = { type = "object" } }, { name = "mirrored", inputSchema = { type = "object",
  properties = { region = { type = "string", ["x-mcp-header"] = "Region" }, deep = { type = "object", properties = {
    n = { type = "integer", ["x-mcp-header"] = "N" }, on = { type = "boolean", ["x-mcp-header"] = "On" } } } } } },
  { name = "badly_marked", inputSchema = { type = "object", properties = { list = { type = "array", items = { type = "string",
    ["x-mcp-header"] = "Item" } } } } } }

--- A server of the modern era whose calls go to `call(request, reply)`.
function M.modern(call, capabilities)
  return M.new(function(request, reply)
    local method, id = request.message.method, request.message.id
    if method == "server/discover" then
      return reply:result(id, { resultType = "complete", supportedVersions = { "2026-07-28" }, capabilities = capabilities or { tools = {} },
        _meta = { ["io.modelcontextprotocol/serverInfo"] = { name = "spec", version = "1" } } })
    elseif method == "tools/list" then
      return reply:result(id, { resultType = "complete", tools = TOOLS })
    end
    call(request, reply)
  end)
end

--- One of the legacy era with sessions, whose calls and streams go to `call(request, reply)`.
function M.legacy(call)
  local self
  self = M.new(function(request, reply)
    local method, id = request.message.method, request.message.id
    if method == "server/discover" then
      return reply:refuse("400 Bad Request", json.null, -32000, "Bad Request: Server not initialized")
    elseif method == "initialize" then
      self.sessions = (self.sessions or 0) + 1
      self.session = "session-" .. self.sessions
      return reply:result(id, { protocolVersion = "2025-11-25", capabilities = { tools = { listChanged = true } },
        serverInfo = { name = "spec", version = "1" } }, { ["Mcp-Session-Id"] = self.session })
    elseif request.method == "DELETE" then
      return reply:send("200 OK", nil, "")
    elseif request.headers["mcp-session-id"] ~= self.session then
      return reply:refuse("404 Not Found", json.null, -32001, "Session not found")
    elseif request.method == "GET" and not self.has_stream then
      return reply:send("405 Method Not Allowed", nil, "")
    elseif method == "tools/list" then
      return reply:result(id, { tools = TOOLS })
    elseif request.method == "POST" and (id == nil or method == nil) then
      reply:send("202 Accepted", nil, "")
    end
    call(request, reply)
  end)
  return self
end

return M

--- For specs of the server: a client that writes and reads bytes as they are.

local scheduler = require "weir.native.scheduler"
local task = require "weir.task"
local uv = require "luv"

local M = {}

local PATIENCE = 20 -- seconds; what is waited for comes long before

---@class weir.spec.Wire
local Wire = {}
Wire.__index = Wire

--- Connects to a server of `weir.port.server`. Waits.
---@param server weir.Server
---@return weir.spec.Wire
function M.connect(server)
  local socket = server.path and uv.new_pipe(false) or uv.new_tcp()
  local self = setmetatable({ socket = socket, bytes = "" }, Wire)
  local waiter = scheduler.waiter()
  if server.path then
    socket:connect(server.path, function(err) waiter:wake(err) end)
  else
    socket:connect("127.0.0.1", server.port, function(err) waiter:wake(err) end)
  end
  self.refused = waiter:wait("a connection", PATIENCE)
  return self
end

--- Begins to read.
function Wire:start()
  if self.reading then return end
  self.reading = true
  local function take(err, bytes)
    if bytes and not err then self.bytes = self.bytes .. bytes else self.ended = true end
    if self.waiter then self.waiter:wake() end
  end
  -- each callback is a task, and a task of a spec may lose the processor between reading and writing `bytes`
  self.socket:read_start(function(err, bytes) scheduler.atomic(take, err, bytes) end)
end

--- Stops reading: what the other side writes stays there.
function Wire:stop()
  self.reading = false
  self.socket:read_stop()
end

--- Waits until `holds(bytes)` is true, or the other side has closed.
function Wire:until_(holds)
  self:start()
  local last = scheduler.now() + PATIENCE
  while not holds(self.bytes) and not self.ended do
    assert(scheduler.now() < last, "nothing came for too long; so far: " .. self.bytes:sub(1, 300))
    self.waiter = scheduler.waiter()
    self.waiter:wait("bytes", 1)
    self.waiter = nil
  end
  return self.bytes
end

--- Sends bytes. Waits until they are on their way.
function Wire:send(bytes)
  if self.socket:is_closing() then return "closed" end
  local waiter = scheduler.waiter()
  self.socket:write(bytes, function(err) waiter:wake(err) end)
  return (waiter:wait("a write", PATIENCE))
end

local function drop(self, count)
  scheduler.atomic(function() self.bytes = self.bytes:sub(count + 1) end)
end

local function parse(head)
  local answer = { headers = {}, status = tonumber(head:match "^HTTP/1%.1 (%d+)") }
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do answer.headers[name:lower()] = value end
  return answer
end

local function unchunk(text)
  local parts, at = {}, 1
  while true do
    local size, from = text:match("^(%x+)\r\n()", at)
    if not size then return nil end
    size = tonumber(size, 16)
    if size == 0 then return table.concat(parts), at + 5 end
    if #text < from + size + 1 then return nil end
    parts[#parts + 1] = text:sub(from, from + size - 1)
    at = from + size + 2
  end
end

--- The next answer: {status, headers, body}, or nil when the other side closed first. Waits.
---@param no_body boolean|nil of a HEAD
function Wire:answer(no_body)
  self:until_(function(bytes) return bytes:find("\r\n\r\n", 1, true) end)
  local head, from = self.bytes:match "^(.-)\r\n\r\n()"
  if not head then return nil end
  local answer = parse(head)
  if answer.status == 100 then
    drop(self, from - 1)
    return self:answer(no_body)
  end
  local size = no_body and 0 or tonumber(answer.headers["content-length"] or 0)
  if not no_body and answer.headers["transfer-encoding"] == "chunked" then
    self:until_(function(bytes) return unchunk(bytes:sub(from)) end)
    local used
    answer.body, used = unchunk(self.bytes:sub(from))
    drop(self, from - 2 + (used or 1))
    return answer
  end
  self:until_(function(bytes) return #bytes >= from - 1 + size end)
  answer.body = self.bytes:sub(from, from - 1 + size)
  drop(self, from - 1 + size)
  return answer
end

--- Waits until the other side has closed.
function Wire:closed()
  self:until_(function() return false end)
  return self.ended
end

function Wire:close()
  if not self.socket:is_closing() then self.socket:close() end
end

--- A request as text.
function M.request(method, target, headers, body)
  local lines = { ("%s %s HTTP/1.1"):format(method, target) }
  local names = {}
  for name in pairs(headers or {}) do names[#names + 1] = name end
  table.sort(names)
  if not (headers or {}).Host then lines[2] = "Host: localhost" end
  for _, name in ipairs(names) do
    if headers[name] then lines[#lines + 1] = name .. ": " .. headers[name] end
  end
  if body then lines[#lines + 1] = "Content-Length: " .. #body end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

--- One request over a connection of its own. Waits.
function M.ask(server, method, target, headers, body)
  local wire = M.connect(server)
  wire:send(M.request(method, target, headers, body))
  local answer = wire:answer(method == "HEAD")
  wire:close()
  return answer
end

--- Looks again until it holds, for what another side does in its own time.
function M.eventually(holds)
  for _ = 1, 2000 do
    if holds() then return true end
    task.sleep(0.01)
  end
  return false
end

return M

--- Unix sockets that carry lines of text, both ends. A socket file is its owner's alone, and so is who connects: the
--- other end's user is asked of the system.
---
--- What is not read stays in the socket once a buffer is full, and the other end feels it; a writer waits while much of
--- what it wrote is still on its way.

local native = require "weir.native.scheduler"
local peer = require "weir.native.peer"
local uv = require "luv"

local M = {}

local MODE = 384                -- 0600
local PATH_MAX = 107            -- bytes that a socket's address holds
local BACKLOG = 64
local READ_MAX = 1024 * 1024    -- bytes that are read ahead
local WRITE_MAX = 256 * 1024    -- bytes on their way while a writer goes on
local LINE_MAX = 17 * 1024 * 1024

local CODES = { ENOENT = "not_found", ECONNREFUSED = "not_found", EACCES = "denied", EPERM = "denied", EADDRINUSE = "conflict",
  ENOSPC = "full", EMFILE = "unavailable", ENFILE = "unavailable", EROFS = "denied" }

local function refuse(path, err)
  local text = tostring(err)
  return nil, ("socket '%s': %s"):format(path, (text:gsub("^%u+: ", ""))), CODES[text:match "^%u+"] or "unavailable"
end

-- A path that fits an address: a longer one is reached through its folder, which stays open meanwhile.
local function address_of(path)
  if #path <= PATH_MAX then return path end
  local folder, name = path:match "^(.*)/([^/]+)$"
  local descriptor, err = uv.fs_open(folder or ".", "r", 0)
  if not descriptor then return nil, err end
  return ("/proc/self/fd/%d/%s"):format(descriptor, name or path), descriptor
end

local function close_folder(descriptor)
  if descriptor then uv.fs_close(descriptor) end
end

-- Connections ---------------------------------------------------------------------------------------

---@class weir.Connection
---@field uid integer|nil  user of the other end
---@field pid integer|nil  its process
---@field has_ended boolean the other end sends no more
local Connection = {}
Connection.__index = Connection

local function ring(self)
  local waiter = self.reader
  if not waiter then return end
  self.reader = nil
  waiter:wake()
end

local function came(self, err, bytes)
  if bytes then
    self.pieces[#self.pieces + 1] = bytes
    self.has_line = self.has_line or bytes:find("\n", 1, true) ~= nil
    self.size = self.size + #bytes
    if self.size > READ_MAX and not self.is_paused then
      self.is_paused = true
      self.pipe:read_stop()
    end
  else
    self.has_ended, self.failure = true, err
    if self.on_end then self.on_end() end
  end
  ring(self)
end

local function start_reading(self)
  self.pipe:read_start(function(err, bytes)
    if not self.is_closed then came(self, err, bytes) end
  end)
end

local function new_connection(pipe)
  local self = setmetatable({ pipe = pipe, pieces = {}, size = 0, rest = "", from = 1, has_ended = false }, Connection)
  self.uid, self.pid = peer.credentials(pipe:fileno())
  start_reading(self)
  return self
end

local function resume(self)
  if not self.is_paused or self.is_closed then return end
  self.is_paused = false
  start_reading(self)
end

-- The first whole line of what has come, if there is one.
local function take_line(self)
  local at = self.rest:find("\n", self.from, true)
  if not at and self.has_line then
    self.rest, self.from = self.rest:sub(self.from) .. table.concat(self.pieces), 1
    self.pieces, self.size, self.has_line = {}, 0, false
    at = self.rest:find("\n", 1, true)
    resume(self)
  end
  if not at then return nil end
  local line = self.rest:sub(self.from, at - 1)
  self.from = at + 1
  return line
end

--- The next line, without its end. Waits.
---@param timeout number|nil seconds
---@return string|nil line
---@return string|nil message
---@return string|nil code `closed` (the other end, or this one), `limit` (longer than 17 MiB), `timeout`
function Connection:read_line(timeout)
  local deadline = timeout and native.now() + timeout
  while not self.is_closed do
    local line = take_line(self)
    if line then return line end
    if #self.rest + self.size > LINE_MAX then return nil, ("a line is longer than %d bytes"):format(LINE_MAX), "limit" end
    if self.has_ended then break end
    local left = deadline and deadline - native.now()
    if left and left <= 0 then return nil, "no line has come in time", "timeout" end
    if self.is_paused then resume(self) end
    self.reader = native.waiter()
    self.reader:wait("a line", left)
  end
  return nil, "the connection is closed", "closed"
end

--- Writes. Waits while much is still on its way.
---@param text string
---@return true|nil
---@return string|nil message
---@return string|nil code `closed`
function Connection:write(text)
  if self.is_closed or self.pipe:is_closing() then return nil, "the connection is closed", "closed" end
  local waiter = self.pipe:get_write_queue_size() > WRITE_MAX and native.can_wait() and native.waiter() or nil
  local started, err = self.pipe:write(text, function(failed)
    if failed then self.write_failure = failed end
    if waiter then waiter:wake(failed) end
  end)
  if not started then return nil, tostring(err), "closed" end
  local failed = waiter and waiter:wait "a reader at the other end" or self.write_failure
  if failed then return nil, tostring(failed), "closed" end
  return true
end

--- Bytes that were written and are still on their way. Does not wait.
---@return integer
function Connection:pending()
  return self.is_closed and 0 or self.pipe:get_write_queue_size()
end

--- Closes it once what was written has been sent, but at once when the other end does not read. Does not wait; safe
--- twice.
function Connection:close()
  if self.is_closed then return end
  self.is_closed = true
  ring(self)
  local pipe = self.pipe
  local function close()
    if not pipe:is_closing() then pipe:close() end
  end
  if pipe:get_write_queue_size() == 0 or self.has_ended or not pipe:shutdown(close) then close() end
end

-- Listening -----------------------------------------------------------------------------------------

---@class weir.Listener
---@field path string
local Listener = {}
Listener.__index = Listener

--- Connects to a socket. Waits.
---@param path string
---@return weir.Connection|nil
---@return string|nil message
---@return string|nil code `not_found` (nobody listens there), `denied`, `unavailable`
function M.connect(path)
  local address, folder = address_of(path)
  if not address then return refuse(path, folder) end
  local pipe, waiter = uv.new_pipe(false), native.waiter()
  local started, start_error = pipe:connect(address, function(err) waiter:wake(err or false) end)
  local err = start_error
  if started then err = waiter:wait "a socket" end
  close_folder(folder)
  if err then
    pipe:close()
    return refuse(path, err)
  end
  return new_connection(pipe)
end

-- What a process that ended has left is removed; a socket at which somebody answers is not.
local function make_room(path)
  if not uv.fs_lstat(path) then return true end
  local other, message, code = M.connect(path)
  if other then
    other:close()
    return nil, ("socket '%s': another process listens there"):format(path), "conflict"
  end
  if code ~= "not_found" then return nil, message, code end
  uv.fs_unlink(path)
  return true
end

local function accept(self)
  local pipe = uv.new_pipe(false)
  if not self.pipe:accept(pipe) then return pipe:close() end
  local connection = new_connection(pipe)
  if connection.uid == uv.getuid() then return self.on_connection(connection) end
  if self.refusal then connection:write(self.refusal .. "\n") end
  connection:close()
end

--- Listens at a path, which only its owner may connect to: the file's mode says so, and who connects is asked of the
--- system. Waits a moment if there is a socket already, to see whether somebody answers.
---@param path string
---@param on_connection fun(connection: weir.Connection) called in a task of its own
---@param refusal string|nil the line that another user is told before the connection is closed
---@return weir.Listener|nil
---@return string|nil message
---@return string|nil code `conflict` (somebody listens there), `denied`, `not_found`, `unavailable`
function M.listen(path, on_connection, refusal)
  local free, message, code = make_room(path)
  if not free then return nil, message, code end
  local address, folder = address_of(path)
  if not address then return refuse(path, folder) end
  local self = setmetatable({ path = path, folder = folder, pipe = uv.new_pipe(false), on_connection = on_connection, refusal = refusal },
    Listener)
  local ok, err = self.pipe:bind(address)
  if ok then ok, err = uv.fs_chmod(path, MODE) end
  if ok then ok, err = self.pipe:listen(BACKLOG, function(failed)
    if not failed and not self.is_closed then accept(self) end
  end) end
  if ok then return self end
  self:close()
  return refuse(path, err)
end

--- Stops listening; connections stay. Safe twice. Does not wait.
function Listener:close()
  if self.is_closed then return end
  self.is_closed = true
  self.pipe:close()
  uv.fs_unlink(self.path)
  close_folder(self.folder)
end

return M

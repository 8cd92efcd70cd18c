--- The socket at which a host takes requests: a JSON object a line, both ways. Who may connect is the owner alone.
---
--- A request is {op, id, ...}; what is answered carries its id, and the last answer has a `status`. Requests of one
--- connection run side by side, each in a task; those that only look end with the connection, as evaluations do. What
--- the operations are is said by who opens the socket; `input` and `interrupt` belong to the protocol. What carries bytes
--- that are no UTF-8 has `latin1 = true`: each character of its text is one byte.

local failure = require "weir.failure"
local json = require "weir.native.json"
local latin1 = require "weir.text.latin1"
local native = require "weir.native.scheduler"
local secret = require "weir.native.secret"
local socket = require "weir.port.socket"
local task = require "weir.task"
local value_of = require "weir.value"

local M = {}

local BUFFER = 16384          -- bytes of output that are sent together
local BEHIND = 1024 * 1024    -- bytes on their way, above which what happens on the way is not told any more
local AT_ONCE = 64            -- requests of one connection
local STDIN_MAX = 16 * 1024 * 1024

---@class weir.LineOperation
---@field lane integer 0: whoever asks does not wait for steps that compute
---@field run fun(request: weir.LineRequest): table gives the last answer; may raise {code, message}

---@class weir.LineServer
---@field path string
---@field operations table<string, weir.LineOperation>
---@field status_of fun(err: table): integer the status of what an operation raised
local Server = {}
Server.__index = Server

-- Text that can be written as JSON.
local function field(name, text)
  if utf8.len(text) then return { [name] = text } end
  return { [name] = latin1.encode(text), latin1 = true }
end

-- One request ---------------------------------------------------------------------------------------

---@class weir.LineRequest
---@field given table
---@field host weir.Host
---@field session table of its connection; operations may keep what is theirs in it
---@field connection weir.Connection
---@field client weir.Client|nil for whom it works; a signal at the client goes there
---@field is_kept boolean|nil it is not ended with its connection
local Request = {}
Request.__index = Request

--- Answers. Waits while the client does not read.
---@param answer table gets the request's id
function Request:send(answer)
  if self.is_over then return end
  answer.id = self.given.id
  local text, message = json.encode(answer)
  text = text or json.encode { id = answer.id, err = "weir: an answer cannot be written: " .. message }
  self.connection:write(secret.redact(text) .. "\n")
end

-- Where a command of the client writes its data: in pieces.
local Out = {}
Out.__index = Out

function Out:write(text)
  if self.request.connection.is_closed then return nil, "Broken pipe" end
  self[#self + 1] = text
  self.size = self.size + #text
  if self.size > BUFFER then self:flush() end
  return self
end

function Out:flush()
  if self.size == 0 then return true end
  local text = table.concat(self)
  for index = #self, 1, -1 do self[index] = nil end
  self.size = 0
  self.request:send(field("out", text))
  return true
end

-- And its messages: at once, unless the client is so far behind that runs would have to wait for it.
local Err = {}
Err.__index = Err

function Err:write(text)
  local request = self.request
  request.out:flush()
  if request.connection:pending() < BEHIND then request:send(field("err", text)) end
  return self
end

function Err.flush() return true end

-- Standard input is asked for when somebody reads it.
local Input = {}
Input.__index = Input

function Input:read(what)
  local request = self.request
  request.out:flush()
  request:send { read = what == "l" and "line" or "all" }
  local parts, size = {}, 0
  repeat
    request.input_waiter = native.waiter()
    local piece = table.remove(request.inputs, 1) or request.input_waiter:wait "the client's input"
    if not piece then return nil end
    parts[#parts + 1] = piece.text or ""
    size = size + #parts[#parts]
  until piece.is_last or size > STDIN_MAX
  local text = table.concat(parts)
  if what == "l" then return parts[1] ~= "" and (text:gsub("\n$", "")) or nil end
  return text
end

--- What a command of the client writes to and reads from, as a console has them.
---@param is_terminal boolean whether the client's standard input is one
---@return table out
---@return table err
---@return table stdin
function Request:streams(is_terminal)
  self.out = setmetatable({ request = self, size = 0 }, Out)
  return self.out, setmetatable({ request = self }, Err), setmetatable({ request = self, is_terminal = is_terminal }, Input)
end

--- Sends a piece of output. Waits while the client does not read.
---@param text string
function Request:print(text)
  self:send(field("out", text))
end

local function take_input(request, given)
  local piece = { text = given.latin1 and latin1.decode(given.text) or given.text, is_last = given.last ~= false }
  local waiter = request.input_waiter
  if waiter and #request.inputs == 0 then
    request.input_waiter = nil
    return waiter:wake(piece)
  end
  request.inputs[#request.inputs + 1] = piece
end

-- Requests of one connection --------------------------------------------------------------------------

local function answer_failure(request, err)
  err = failure.of(err)
  request:send { status = request.session.server.status_of(err), error = { code = err.code, message = err.message } }
end

local function serve(request, operation)
  local ok, answer = pcall(operation.run, request)
  if not ok then native.recover() end
  request.session.requests[request], request.session.count = nil, request.session.count - 1
  if request.is_over then return end
  task.within({ shield = true, timeout = 5 }, function()
    if ok then request:send(answer) else answer_failure(request, answer) end
  end)
end

local function start(session, given)
  local request = setmetatable({ given = given, host = session.host, connection = session.connection, session = session,
    inputs = {} }, Request)
  local operation = session.server.operations[given.op]
  if not operation then
    local names = value_of.names(session.server.operations)
    return answer_failure(request, failure.new("invalid", "there is no op '%s'; there are %s, input and interrupt", tostring(given.op),
      table.concat(names, ", ")))
  end
  if session.count >= AT_ONCE then
    return answer_failure(request, failure.new("full", "%d requests of this connection are under way; wait for one of them", AT_ONCE))
  end
  session.count = session.count + 1
  session.requests[request] = true
  request.task = native.start({ name = given.op, lane = operation.lane }, function() serve(request, operation) end)
end

-- What a signal at the client means: a command that waits says what it does then; others that only look, and
-- evaluations, end; what changes something is not left half done.
local function interrupt(request, name)
  local client = request.client
  if client then client.signal = client.signal or name end
  if client and client.on_signal then return client.on_signal(name) end
  if not request.is_kept and request.task then request.task:cancel "interrupted" end
end

local function each_of(session, id, visit)
  for request in pairs(session.requests) do
    if id == nil or request.given.id == id then visit(request) end
  end
end

local function take(session, given)
  if given.op == "interrupt" then
    each_of(session, given.id, function(request) interrupt(request, tostring(given.signal or "sigint")) end)
  elseif given.op == "input" then
    each_of(session, given.id, function(request) take_input(request, given) end)
  else
    start(session, given)
  end
end

local function end_session(session)
  session.server.sessions[session] = nil
  each_of(session, nil, function(request)
    request.is_over = true
    if request.input_waiter then request.input_waiter:wake(nil) end
    interrupt(request, "sighup")
  end)
  session.connection:close()
end

local function read_requests(session)
  while true do
    local line = session.connection:read_line()
    if not line then return end
    local given, message = json.decode(line)
    if type(given) == "table" and not json.is_list(given) then
      take(session, given)
    else
      session.connection:write(json.encode { status = 2, error = { code = "invalid",
        message = "a JSON object a line expected" .. (message and ": " .. message or "") } } .. "\n")
    end
  end
end

local function attend(server, connection)
  local session = { server = server, host = server.host, connection = connection, requests = {}, count = 0 }
  server.sessions[session] = true
  local ok, err = pcall(read_requests, session)
  end_session(session)
  if not ok then error(err, 0) end
end

--- Opens the socket of a host. Raises what listening refuses. Does not wait long.
---@param host weir.Host
---@param path string
---@param operations table<string, weir.LineOperation>
---@param status_of fun(err: table): integer
---@return weir.LineServer
function M.start(host, path, operations, status_of)
  local self = setmetatable({ host = host, path = path, sessions = {}, operations = operations, status_of = status_of }, Server)
  local refusal = json.encode { status = 8, error = { code = "denied", message = "this host is another user's" } }
  local listener, message, code = socket.listen(path, function(connection) attend(self, connection) end, refusal)
  if not listener then failure.raise(code, "%s", message) end
  self.listener = listener
  return self
end

--- Takes no more connections, and ends those there are. Safe twice. Does not wait.
function Server:close()
  self.listener:close()
  for session in pairs(self.sessions) do session.connection:close() end
end

return M

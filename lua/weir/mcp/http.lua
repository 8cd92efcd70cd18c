--- MCP over streamable HTTP: each request is a POST of its own, answered with JSON or with a stream of events of which
--- the answer is the last. The task that asks reads the stream itself, so what it does not read stays with the server.
---
--- Closing the stream is the cancellation in the modern era; servers with a handshake are told besides. Those give a
--- session its id, which is sent with every request and taken back at the end. Redirects are not followed: the headers
--- may hold secrets.

local channel = require "weir.channel"
local events_of = require "weir.wire.sse"
local failure = require "weir.failure"
local json = require "weir.native.json"
local messages = require "weir.mcp.messages"
local native = require "weir.native.scheduler"
local task = require "weir.task"
local visible = require "weir.text.visible"

local M = {}

local LONG = 365 * 86400    -- seconds: the deadlines of an exchange are its own
local BODY_BYTES = 1 << 40  -- of a stream in all; each of its events is bounded
local ERROR_BYTES = 64 * 1024
local POSTS = 4096          -- notifications and answers that wait to be sent
local POST_SECONDS = 10     -- for one of them
local CLOSE_SECONDS = 2     -- for taking a session back
local RETURNS = 5           -- to a stream that the server has ended before the answer
local RETURN_SECONDS = 1    -- before that, unless the server says otherwise
local RETURN_MAX = 30
local END_SECONDS = 0.05    -- for a stream to end after its answer
local SESSION_ID = "^[\x21-\x7E]+$"

local SECRET = "^secret://(.+)$"

---@class weir.mcp.HttpTransport: weir.mcp.Transport
local Http = { kind = "http" }
Http.__index = Http

-- Headers -------------------------------------------------------------------------------------------

local function part_of(part)
  local name = type(part) == "string" and part:match(SECRET)
  if name then return require("weir.secret").handle(name), true end
  return part
end

local function header_of(value)
  if type(value) ~= "table" then value = { value } end
  local parts, has_secret = {}, false
  for index, part in ipairs(value) do
    local is_secret
    parts[index], is_secret = part_of(part)
    has_secret = has_secret or is_secret
  end
  return has_secret and parts or table.concat(parts)
end

--- The headers that the settings give, with a handle in the place of each `secret://NAME`.
---@param headers table<string, string|string[]>|nil
---@return table
function M.headers(headers)
  local result = {}
  for name, value in pairs(headers or {}) do result[name:lower()] = header_of(value) end
  return result
end

local function headers_for(self, more)
  local headers = { ["content-type"] = "application/json", accept = "application/json, text/event-stream" }
  for _, some in ipairs { self.headers, more or {} } do
    for name, value in pairs(some) do headers[name:lower()] = value end
  end
  headers["mcp-session-id"] = self.session_id
  return headers
end

-- Waiting -------------------------------------------------------------------------------------------

-- Calls a function that waits, until the exchange's time is over or the connection is closed: true and its results, or
-- false.
local function before(exchange, body)
  local deadline = exchange.deadline
  local left = deadline and deadline - native.now()
  if exchange.owner.ended or left and left <= 0 then return false end
  local results = table.pack(task.within({ timeout = left }, function(scope)
    exchange.scope = scope
    return body()
  end))
  exchange.scope = nil
  if results[1] then return table.unpack(results, 1, results.n) end
  native.check() -- the caller itself may have been cancelled
  if not exchange.owner.ended and failure.of(results[2]).code ~= "timeout" then error(results[2], 0) end
  return false
end

local function late(self, exchange)
  if self.ended then return nil, self.ended.message, self.ended.code end
  return nil, ("%s: no answer to %s within %s"):format(self.label, exchange.method, messages.seconds(exchange.timeout)), "timeout"
end

-- Asking --------------------------------------------------------------------------------------------

local function open(self, method, body, headers)
  local http = require "weir.port.http"
  return http.open { url = self.url, method = method, headers = headers_for(self, headers), body = body, timeout = LONG,
    idle_timeout = LONG, max_bytes = BODY_BYTES, follow = 0 }
end

-- The whole body, when it is not larger than a limit.
local function body_of(response, limit)
  local parts, size = {}, 0
  while true do
    local piece, message, code = response:read()
    if not piece then
      if message then return nil, message, code end
      return table.concat(parts)
    end
    size = size + #piece
    if size > limit then return nil, ("the answer has more than %d bytes"):format(limit), "limit" end
    parts[#parts + 1] = piece
  end
end

local function type_of(response)
  local given = response.headers["content-type"]
  if type(given) == "table" then given = given[1] end
  return given and given:lower():match "^%s*([^;%s]+)" or "nothing"
end

local STATUSES = { [401] = "denied", [403] = "denied", [407] = "denied", [404] = "not_found", [408] = "timeout", [409] = "conflict",
  [413] = "limit", [429] = "full", [504] = "timeout" }

local HINTS = { [401] = "; it wants other credentials: see the setting `headers`", [403] = "; it does not let weir in",
  [404] = "; is its url right?" }

local function code_of(status)
  if status >= 300 and status < 400 then return "denied" end
  return STATUSES[status] or (status >= 500 and "unavailable" or "failed")
end

-- A refusal may have an answer of JSON-RPC as its body.
local function answer_in(body, status, id)
  if not body or status < 400 or status >= 500 or status == 401 or status == 403 then return nil end
  local list = messages.decode(body)
  local answer = list and list[1]
  if not answer or not messages.is_object(answer.error) then return nil end
  return (answer.id == json.null or messages.own_id(answer.id) == id) and answer or nil
end

local function refused(self, response, body, exchange)
  local status = response.status
  local is_lost = status == 404 and exchange.session_id ~= nil
  local answer = not is_lost and answer_in(body, status, exchange.id)
  if answer then return answer end
  local said = body and body ~= "" and (": " .. visible.plain(visible.head(body, 200))) or ""
  if status >= 300 and status < 400 then
    said = (": it leads to '%s'; put that into `url` if it is right"):format(visible.plain(tostring(response.headers.location)))
  end
  if is_lost then said = ": it has forgotten the session" end
  return nil, ("%s: answered with status %d%s%s"):format(self.label, status, said, is_lost and "" or HINTS[status] or ""),
    is_lost and "unavailable" or code_of(status), { status = status, lost = is_lost and exchange.session_id or nil }
end

local function unreadable(self, why)
  return nil, ("%s: its answer cannot be read: %s"):format(self.label, why), "failed"
end

local function is_answer(message, id)
  return messages.kind(message) == "response" and messages.own_id(message.id) == id
end

-- Gives what belongs to the exchange to whoever asks; the answer when it is among it.
local function take(self, list, exchange)
  for _, message in ipairs(list) do
    if is_answer(message, exchange.id) then return message end
    if messages.kind(message) == "response" then
      self.log:debug("mcp: an answer that nobody waits for", { server = self.name })
    else
      local seconds = exchange.on_message(message)
      if exchange.deadline and seconds then exchange.deadline = exchange.deadline + seconds end
    end
  end
end

local function take_events(self, events, exchange)
  for _, event in ipairs(events) do
    if event.data ~= "" then
      local list, why = messages.decode(event.data)
      if not list then return unreadable(self, why) end
      local answer = take(self, list, exchange)
      if answer then return answer end
    end
  end
end

-- A stream ends with its answer, and its connection is used again; of a server that does not end it, this is found out once.
local function see_its_end(self, response)
  if self.leaves_open then return end
  local has_ended = before({ owner = self, deadline = native.now() + END_SECONDS }, function()
    while response:read() do end
  end)
  self.leaves_open = not has_ended
end

-- Reads a stream to the answer. False when it ended before.
local function read_events(self, response, exchange)
  local reader = events_of.reader { max_bytes = messages.BYTES }
  while true do
    local in_time, piece, message, code = before(exchange, function() return response:read() end)
    if not in_time then return late(self, exchange) end
    if not piece then
      exchange.last_id, exchange.retry_ms = reader.id or exchange.last_id, reader.retry_ms or exchange.retry_ms
      return false, message, code
    end
    local events, why, what = reader:push(piece)
    if not events then return nil, ("%s: %s"):format(self.label, why), what end
    local answer
    answer, message, code = take_events(self, events, exchange)
    if answer then see_its_end(self, response) end
    if answer or message then return answer, message, code end
  end
end

local function read_json(self, response, exchange)
  local in_time, body, message, code = before(exchange, function() return body_of(response, messages.BYTES) end)
  if not in_time then return late(self, exchange) end
  if not body then return nil, ("%s: %s"):format(self.label, message), code end
  local list, why = messages.decode(body)
  if not list then return unreadable(self, why) end
  local answer = take(self, list, exchange)
  if answer then return answer end
  return unreadable(self, "it does not answer " .. exchange.method)
end

local function read_refusal(self, response, exchange)
  local in_time, body = before(exchange, function() return body_of(response, ERROR_BYTES) end)
  return refused(self, response, in_time and body or nil, exchange)
end

local function read_answer(self, response, exchange)
  if response.status < 200 or response.status >= 300 then return read_refusal(self, response, exchange) end
  local kind = type_of(response)
  if kind == "text/event-stream" then return read_events(self, response, exchange) end
  if kind == "application/json" then return read_json(self, response, exchange) end
  return nil, ("%s: answered %s with status %d and %s instead of JSON; is its url right?"):format(self.label, exchange.method,
    response.status, kind), "failed"
end

local function no_connection(self, message, code)
  return nil, ("%s: %s"):format(self.label, message), code == "closed" and "unavailable" or code
end

-- A server may end a stream that it has given ids, and go on in another one.
local function come_back(self, exchange)
  local seconds = exchange.retry_ms and exchange.retry_ms / 1000 or RETURN_SECONDS
  if not before(exchange, function() native.sleep(math.min(seconds, RETURN_MAX)) end) then
    return late(self, exchange)
  end
  local headers = { ["last-event-id"] = exchange.last_id }
  for name, value in pairs(exchange.headers) do headers[name] = value end
  local in_time, response, message, code = before(exchange, function() return open(self, "GET", nil, headers) end)
  if not in_time then return late(self, exchange) end
  if not response then return no_connection(self, message, code) end
  local _ <close> = response
  return read_answer(self, response, exchange)
end

local function ask(self, body, exchange)
  exchange.session_id = self.session_id
  local in_time, response, message, code = before(exchange, function() return open(self, "POST", body, exchange.headers) end)
  if not in_time then return late(self, exchange) end
  if not response then return no_connection(self, message, code) end
  local _ <close> = response
  if self.keeps_session then
    local id = response.headers["mcp-session-id"]
    self.session_id = type(id) == "string" and #id <= 1024 and id:find(SESSION_ID) and id or self.session_id
  end
  return read_answer(self, response, exchange)
end

local function ask_until_answered(self, body, exchange)
  local answer, message, code, detail = ask(self, body, exchange)
  for _ = 1, RETURNS do
    if answer ~= false or not exchange.last_id then break end
    answer, message, code, detail = come_back(self, exchange)
  end
  if answer == false then
    return nil, ("%s: the stream ended before the answer to %s%s"):format(self.label, exchange.method,
      message and ": " .. message or ""), code == "limit" and code or "unavailable"
  end
  return answer, message, code, detail
end

-- Servers with a handshake do not take the end of the stream for a cancellation.
local Exchange = {}
Exchange.__index = Exchange

function Exchange:__close()
  self.owner.exchanges[self] = nil
  if self.is_answered or self.is_quiet or not self.owner.tells_cancellation then return end
  self.owner:post(messages.cancelled(self.id, "nobody waits for the answer any more"))
end

--- Sends a request and waits for its answer. Closed in the middle, its connection is closed.
---@param message table with an `id` of its own
---@param options weir.mcp.Exchange
---@return table|nil answer the whole message, with `result` or `error`
---@return string|nil message
---@return string|nil code `timeout`, `unavailable`, `denied`, `limit`, `full`, `invalid`, `failed`, `not_found`, `conflict`
---@return { status: integer, lost: string|nil }|nil detail of an answer that HTTP refuses; lost: the session that the server
---   does not know any more
function Http:exchange(message, options)
  if self.ended then return nil, self.ended.message, self.ended.code end
  local body, why, what = json.encode(message, { max_bytes = messages.BYTES })
  if not body then return nil, ("%s: %s cannot be sent: %s"):format(self.label, message.method, why), what end
  local exchange <close> = setmetatable({ owner = self, id = message.id, method = message.method, headers = options.headers or {},
    on_message = options.on_message or function() end, is_quiet = options.is_quiet, timeout = options.timeout,
    deadline = options.timeout and native.now() + options.timeout }, Exchange)
  self.exchanges[exchange] = true
  local answer, text, code, detail = ask_until_answered(self, body, exchange)
  exchange.is_answered = answer ~= nil or code ~= "timeout"
  return answer, text, code, detail
end

-- What is sent without an answer ----------------------------------------------------------------------

local function send_post(self, body)
  local in_time, response, message = before({ owner = self, deadline = native.now() + POST_SECONDS }, function()
    return open(self, "POST", body, self.post_headers)
  end)
  local _ <close> = in_time and response or nil
  if in_time and response and response.status < 300 then return true end
  local why = message or (response and "status " .. response.status) or "no answer in time"
  self.log:debug("mcp: a message was not taken", { server = self.name, error = why })
  return nil, why
end

local function send_posts(self)
  for body in function() return self.posts:recv() end do send_post(self, body) end
end

--- Sends a notification, or an answer to the server, as soon as those before it are sent. Does not wait.
---@param message table
---@return boolean
function Http:post(message)
  local body = json.encode(message, { max_bytes = messages.BYTES })
  return body ~= nil and self.posts:try_send(body) == true
end

--- Sends a notification, or an answer to the server, now. Waits until the server has taken it.
---@param message table
---@return boolean
function Http:send(message)
  local body = json.encode(message, { max_bytes = messages.BYTES })
  return body ~= nil and send_post(self, body) == true
end

--- Reads the stream on which a server with a handshake speaks unasked, until it ends.
---@param headers table
---@param on_open fun() it listens; does not wait
---@return boolean had_one false: the server has no such stream
---@return number|nil seconds that it asks to wait before coming back
function Http:listen(headers, on_open)
  local response <close> = open(self, "GET", nil, headers)
  if not response then return true end
  if response.status == 405 or response.status == 404 then return false end
  if response.status ~= 200 or type_of(response) ~= "text/event-stream" then return response.status >= 500 end
  on_open()
  local exchange = { owner = self, method = "GET", on_message = function(message) self.handlers.on_message(message) end }
  read_events(self, response, exchange)
  return true, exchange.retry_ms and math.min(exchange.retry_ms / 1000, RETURN_MAX)
end

-- Opening and closing -------------------------------------------------------------------------------

--- A connection to a server. Does not wait: it is reached with the first request. Ends with the scope that is open now.
---@param settings { url: string, headers: table|nil }
---@param handlers { on_message: fun(message: table), on_end: fun(message: string, code: string) }
---@param about { name: string, label: string, log: weir.Log }
---@return weir.mcp.HttpTransport|nil
---@return string|nil message
---@return string|nil code `invalid`, `unavailable`
function M.open(settings, handlers, about)
  local ok, headers = pcall(M.headers, settings.headers)
  if not ok then return nil, ("%s: %s"):format(about.label, failure.of(headers).message), failure.of(headers).code end
  local self = setmetatable({ url = settings.url, headers = headers, handlers = handlers, name = about.name, label = about.label,
    log = about.log, posts = channel.new(POSTS), exchanges = {} }, Http)
  self.deferred = native.defer(function() self:close() end)
  self.poster = native.start({ name = "mcp post" }, function()
    local done, err = pcall(send_posts, self)
    if done then return end
    native.recover()
    self.log:debug("mcp: nothing more is sent unasked", { server = self.name, error = failure.of(err).message })
  end)
  return self
end

local function give_back(_, self)
  self.poster:cancel "the connection is closed"
  self.poster:join()
  if not self.session_id then return end
  task.within({ timeout = CLOSE_SECONDS }, function()
    local response <close> = open(self, "DELETE", nil, self.post_headers)
    return response ~= nil
  end)
end

--- Ends it; a session is given back. Waits, two seconds at most. Safe twice.
function Http:close()
  if self.is_closed then return end
  self.is_closed = true
  self.ended = { message = self.label .. " was closed", code = "closed" }
  self.posts:close()
  self.deferred:release()
  for exchange in pairs(self.exchanges) do
    if exchange.scope then exchange.scope:cancel(self.ended.message) end
  end
  self.handlers.on_end(self.ended.message, self.ended.code)
  if native.can_wait() then task.within({ shield = true, timeout = CLOSE_SECONDS + 3 }, give_back, self) end
end

Http.__close = Http.close

return M

--- Asking a provider over HTTP: the request goes out, the answer comes in whole or as a stream, and whatever goes wrong
--- on the way gets its class.
---
--- What the bytes mean is the dialect's: `dialect.whole(answer, value)` reads an answer, `dialect.event(answer, value,
--- type)` one event of a stream; both tell `weir.model.answer` what they found. `event` gives "end" at the mark with which
--- streams of the dialect end, and a table { class, message } where the provider tells of an error. A stream that ends
--- without the mark is cut, unless the model had said why it ended (`answer.finish`). The connection is closed on every
--- way out; it is kept for the next request where the answer was read to its end.
---
--- A dialect may say where its events have their text, `mark` and `place` (see weir.wire.alike): then a value that `event` is
--- given is not to be kept.

local alike = require "weir.wire.alike"
local answers = require "weir.model.answer"
local clock = require "weir.port.clock"
local errors = require "weir.model.errors"
local json = require "weir.native.json"
local limits = require "weir.model.limits"
local ndjson = require "weir.wire.ndjson"
local sse = require "weir.wire.sse"
local task = require "weir.task"

local M = {}

local TIMEOUT = 600                 -- seconds for the whole
local IDLE = 300                    -- seconds without a sign of life in a stream: some think long before they speak
local WHOLE_MAX = 16 << 20          -- bytes of an answer
local STREAM_MAX = 1 << 30          -- of all events together, which are not kept
local PIECE = 16384                 -- bytes of a stream that are read before others have their turn
local ERROR_MAX, ERROR_WAIT = 65536, 5 -- bytes and seconds for the body of an error
local END_WAIT = 0.25               -- seconds that a stream's end may take after its end mark
local REDIRECTS = 3
local SHOWN = 200                   -- bytes of a url in a message

---@class weir.model.Ask
---@field url string
---@field body table            plain data
---@field headers table|nil     further headers
---@field secret string|nil     name of the key; nil or "": none is sent
---@field secret_header string|nil "authorization"
---@field secret_prefix string|nil "Bearer "
---@field timeout number|nil    seconds for the whole (600)
---@field idle_timeout number|nil seconds between two signs of life (300 in a stream, else that of the whole)
---@field addresses string|nil  see weir.port.http
---@field format "sse"|"ndjson"|nil how a stream is written

-- The request --------------------------------------------------------------------------------------

--- The headers of a request: the key's value is put in by the host, at the socket.
---@param ctx table
---@param ask weir.model.Ask
---@param is_stream boolean
---@return table<string, any>
function M.headers(ctx, ask, is_stream)
  local stream_type = ask.format == "ndjson" and "application/x-ndjson" or "text/event-stream"
  local headers = { ["content-type"] = "application/json", accept = is_stream and stream_type or "application/json" }
  for name, value in pairs(ask.headers or {}) do headers[name:lower()] = value end
  if ask.secret and ask.secret ~= "" then
    headers[ask.secret_header or "authorization"] = { ask.secret_prefix or "Bearer ", ctx:secret(ask.secret) }
  end
  return headers
end

local function origin(url)
  local scheme, authority = url:match "^(%a[%w+.-]*)://([^/?#\\]*)"
  if not scheme then return nil end
  scheme, authority = scheme:lower(), authority:gsub("^.*@", ""):lower()
  if not authority:find ":%d+$" then authority = authority .. (scheme == "https" and ":443" or ":80") end
  return scheme .. "://" .. authority
end

-- Where a redirect leads, made absolute as far as a base URL needs it.
local function target_of(url, location)
  if location:find "^%a[%w+.-]*:" then return location end
  if location:find "^//" then return url:match "^%a[%w+.-]*:" .. location end
  if location:find "^/" then return url:match "^%a[%w+.-]*://[^/?#]*" .. location end
  return url:gsub("[?#].*$", ""):gsub("[^/]*$", "") .. location
end

-- A url as messages show it: without who asks and without its query, which may be secret.
local function shown(url)
  return "POST " .. url:gsub("[?#].*$", ""):gsub("^(%a[%w+.-]*://)[^/]*@", "%1"):sub(1, SHOWN)
end

local KEEPS_METHOD = { [307] = true, [308] = true }

-- One request: the answer with its headers.
local function send(ctx, ask, url, body, is_stream)
  local timeout = ask.timeout or TIMEOUT -- an answer that comes whole shows no sign of life before
  local http = require "weir.port.http" -- here, so that whoever asks nobody does not load what it needs
  local response, message, code = http.open {
    method = "POST", url = url, headers = M.headers(ctx, ask, is_stream), body = body, follow = 0, addresses = ask.addresses,
    timeout = timeout, idle_timeout = ask.idle_timeout or is_stream and math.min(IDLE, timeout) or timeout,
    max_bytes = is_stream and STREAM_MAX or WHOLE_MAX,
  }
  if response then return response end
  local class, at_once = errors.of_connection(message, code)
  return errors.refuse(class, message, { at_once = at_once })
end

local function refuse_redirect(url, response, target)
  return errors.refuse("redirect", ("%s answered %d and points to '%s', which gets no key; if that is the right place set it as url")
    :format(shown(url), response.status, target and errors.shown(shown(target):sub(6)) or "nowhere"), { status = response.status })
end

-- Sends a request, also to where the same host says that it has moved.
local function open(ctx, ask, body, is_stream)
  local url = ask.url
  for _ = 0, REDIRECTS do
    local response, message, code, detail = send(ctx, ask, url, body, is_stream)
    if not response then return nil, message, code, detail end
    if response.status < 300 or response.status >= 400 then return response end
    response:close()
    local location = limits.header(response.headers, "location")
    local target = location and target_of(url, location)
    if not target or not KEEPS_METHOD[response.status] or origin(target) ~= origin(url) then
      return refuse_redirect(url, response, target)
    end
    url = target
  end
  return errors.refuse("redirect", ("%s redirects more than %d times"):format(shown(ask.url), REDIRECTS))
end

-- Answers that are none ----------------------------------------------------------------------------

-- The beginning of a body; an error's body need not have an end.
local function beginning(response)
  local pieces, size = {}, 0
  task.within({ timeout = ERROR_WAIT }, function()
    while size < ERROR_MAX do
      local piece = response:read(ERROR_MAX - size)
      if not piece then break end
      pieces[#pieces + 1], size = piece, size + #piece
    end
  end)
  return table.concat(pieces)
end

local function seconds_now()
  return clock.wall_ms() / 1000
end

local function refuse_status(where, response)
  local said = errors.of_answer(response.status, beginning(response))
  local headers, now = response.headers, seconds_now()
  local final = limits.header(headers, "x-should-retry") == "false"
  return errors.refuse(said.class, ("%s answered %d%s"):format(where, response.status, said.message == "" and "" or ": " .. said.message), {
    status = response.status, provider_code = said.provider_code, at_once = said.at_once or final or nil,
    retry_after = limits.retry_after(headers, now), limits = limits.rates(headers, now),
  })
end

local function content_type(response)
  return (limits.header(response.headers, "content-type") or ""):lower()
end

local function refuse_html(where, response)
  return errors.refuse("protocol", where .. " answered with a page of HTML; is the url that of an API?", { status = response.status })
end

-- Of what class it is that an answer has begun and does not go on.
local BROKEN = { timeout = "timeout", limit = "too_large", closed = "cancelled" }

local function refuse_broken(answer, message, code)
  return answer:refuse(BROKEN[code] or "cut", message)
end

-- Whole answers ------------------------------------------------------------------------------------

local function decode(where, body, refuse)
  if body:find "^%s*<" then return nil, { refuse("protocol", where .. " answered with HTML or XML in place of JSON") } end
  local value, message = json.decode(body)
  if message then return nil, { refuse("protocol", ("%s answered with what is no JSON: %s"):format(where, message)) } end
  if type(value) ~= "table" or json.is_list(value) or value == json.null then
    return nil, { refuse("protocol", where .. " answered with JSON that is no object") }
  end
  return value
end

-- An error that stands in an answer whose status is that of success.
local function refuse_said(where, said, refuse)
  return refuse(said.class, ("%s: %s"):format(where, said.message), { provider_code = said.provider_code, at_once = said.at_once })
end

local function read_whole(where, response, answer, dialect)
  local body, message, code = response:all()
  if not body then return refuse_broken(answer, message, code) end
  local function refuse(...) return answer:refuse(...) end
  local value, refusal = decode(where, body, refuse)
  if not value then return table.unpack(refusal, 1, 4) end
  local said = errors.said(value)
  if said then return refuse_said(where, said, refuse) end
  local problem = dialect.whole(answer, value)
  if problem then return refuse_said(where, problem, refuse) end
  return answer:response()
end

-- Streams ------------------------------------------------------------------------------------------

-- `push` and `finish` give the next things of a stream that are complete, or a refusal; `open` a thing's value, its type, and
-- what is wrong with it.
local READERS = {}

function READERS.sse(where, dialect)
  local reader, known = sse.reader(), dialect.mark and alike.new(dialect.mark, dialect.place)
  return {
    push = function(bytes) return reader:push(bytes) end,
    finish = function()
      local ok, message, code = reader:finish()
      if not ok then return nil, message, code end
      return {}
    end,
    open = function(event)
      local data = event.data
      if data == "[DONE]" then return data end
      local value, message
      if known then value, message = known:decode(data) else value, message = json.decode(data) end
      if not message then return value, event.event end
      return nil, nil, { class = "protocol", message = ("%s sent an event that is no JSON: %s"):format(where, message) }
    end,
  }
end

function READERS.ndjson()
  local reader = ndjson.reader()
  return {
    push = function(bytes) return reader:push(bytes) end,
    finish = function()
      local values, message, code = reader:finish()
      if code == "closed" then return {} end -- it was cut within a line: no end mark has come
      return values, message, code
    end,
    open = function(value) return value end,
  }
end

-- Hands things to the dialect: "end" at the end mark, or what is wrong.
local function hand(things, reader, answer, dialect)
  for index = 1, #things do
    local value, kind, problem = reader.open(things[index])
    if problem then return problem end
    if value ~= reader.latest then -- the same table again differs in its text only
      local said = type(value) == "table" and errors.said(value)
      if said then return said end
      reader.latest = value
    end
    local outcome = dialect.event(answer, value, kind)
    if outcome then return outcome end
  end
end

local function refuse_event(where, answer, message, code)
  return answer:refuse(code == "limit" and "too_large" or "protocol", ("%s: %s"):format(where, message))
end

-- Reads what is left after the end mark, so that the connection can be used again; not for long.
local function drain(response)
  task.within({ timeout = END_WAIT }, function()
    while response:read() do end
  end)
end

local function at_end(where, reader, answer, dialect)
  local things, message, code = reader.finish()
  if not things then return refuse_event(where, answer, message, code) end
  local outcome = hand(things, reader, answer, dialect)
  if type(outcome) == "table" then return refuse_said(where, outcome, function(...) return answer:refuse(...) end) end
  if outcome == "end" or answer.finish then return answer:response() end
  return answer:refuse("cut", where .. ": the stream ended before its end mark")
end

local function read_stream(where, response, answer, dialect, format)
  local reader = READERS[format](where, dialect)
  while true do
    local bytes, message, code = response:read(PIECE)
    if not bytes then
      if message and not answer.finish then return refuse_broken(answer, message, code) end
      return at_end(where, reader, answer, dialect)
    end
    local things, why, what = reader.push(bytes)
    if not things then return refuse_event(where, answer, why, what) end
    local outcome = hand(things, reader, answer, dialect)
    if outcome == "end" then
      drain(response)
      return answer:response()
    elseif outcome then
      return refuse_said(where, outcome, function(...) return answer:refuse(...) end)
    end
    if answer:size() > WHOLE_MAX then
      return answer:refuse("too_large", ("%s: the answer has more than %d bytes"):format(where, WHOLE_MAX))
    end
    if #bytes == PIECE then task.yield() end
  end
end

-- Asking -------------------------------------------------------------------------------------------

--- Asks for an answer in a conversation. Waits for all of it; a stream's deltas go to `ctx:emit` meanwhile.
---@param ctx table emit(delta), secret(name)
---@param request table see the contract of model modules
---@param ask weir.model.Ask
---@param dialect { whole: fun(answer: weir.model.Answer, value: table): table?, event: function } see above
---@return table|nil response
---@return string|nil message
---@return string|nil code that of the class, see weir.model.errors
---@return weir.model.Detail|nil detail
function M.chat(ctx, request, ask, dialect)
  local answer = answers.new(ctx, request)
  local body, why = json.encode(ask.body)
  if not body then return errors.refuse("invalid_request", "the request cannot be written as JSON: " .. why) end
  local response <close>, message, code, detail = open(ctx, ask, body, request.stream)
  if not response then return nil, message, code, detail end
  local where = shown(ask.url)
  if response.status >= 400 then return refuse_status(where, response) end
  answer.limits = limits.rates(response.headers, seconds_now())
  local kind = content_type(response)
  if kind:find("text/html", 1, true) then return refuse_html(where, response) end
  if not request.stream or ask.format ~= "ndjson" and kind:find("^application/json") then
    return read_whole(where, response, answer, dialect)
  end
  return read_stream(where, response, answer, dialect, ask.format or "sse")
end

--- Asks for one JSON object, such as embeddings. Waits.
---@param ctx table secret(name)
---@param ask weir.model.Ask
---@return table|nil value
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail
function M.post(ctx, ask)
  local response <close>, message, code, detail = open(ctx, ask, assert(json.encode(ask.body)), false)
  if not response then return nil, message, code, detail end
  local where = shown(ask.url)
  if response.status >= 400 then return refuse_status(where, response) end
  local body, why, what = response:all()
  if not body then return errors.refuse(BROKEN[what] or "cut", why) end
  local value, refusal = decode(where, body, errors.refuse)
  if not value then return table.unpack(refusal, 1, 4) end
  local said = errors.said(value)
  if said then return refuse_said(where, said, errors.refuse) end
  return value
end

return M

--- For specs: a server on the loopback that speaks HTTP by hand, as well or as badly as the spec says, and what answers of
--- each provider look like on the wire.

local json = require "weir.json"
local loopback = dofile "spec/loopback.lua"
local scheduler = require "weir.native.scheduler"

local M = {}

local PATIENCE = 60 -- seconds until a write is given up

-- One connection, as the one who answers sees it.
local Reply = {}
Reply.__index = Reply

--- Writes bytes as they are. False once the other side has gone. Waits.
function Reply:raw(bytes)
  if self.socket:is_closing() then return false end
  local waiter = scheduler.waiter()
  self.socket:write(bytes, function(err) waiter:wake(err or false) end)
  return not waiter:wait("a write", PATIENCE)
end

function Reply:close()
  if not self.socket:is_closing() then self.socket:close() end
end

--- A whole answer.
function Reply:answer(status, body, headers)
  local lines = { ("HTTP/1.1 %d X"):format(status), ("Content-Length: %d"):format(#body) }
  for name, value in pairs(headers or {}) do lines[#lines + 1] = ("%s: %s"):format(name, value) end
  return self:raw(table.concat(lines, "\r\n") .. "\r\n\r\n" .. body)
end

function Reply:json(status, value, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return self:answer(status, type(value) == "string" and value or json.encode(value), headers)
end

--- Begins a stream; `chunk` goes on, `finish` ends it as HTTP has it.
function Reply:begin(kind)
  return self:raw(("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"):format(kind))
end

function Reply:chunk(bytes)
  return self:raw(("%x\r\n%s\r\n"):format(#bytes, bytes))
end

function Reply:finish()
  return self:raw "0\r\n\r\n"
end

local function parse(head)
  local request = { headers = {} }
  request.method, request.path = head:match "^(%S+) (%S+)"
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do request.headers[name:lower()] = value end
  return request
end

local function take(state)
  local head, rest = state.bytes:match "^(.-\r\n)\r\n(.*)$"
  if not head then return nil end
  local request = parse(head)
  local size = tonumber(request.headers["content-length"] or 0)
  if #rest < size then return nil end
  request.text, state.bytes = rest:sub(1, size), rest:sub(size + 1)
  request.body = json.decode(request.text)
  return request
end

--- Serves: `on_request(request, reply)` is called for each request, in a task of its own.
---@param on_request fun(request: table, reply: table)
---@return table server url, requests, gone (connections that the other side has closed), close()
function M.serve(on_request)
  local self = { requests = {}, gone = 0 }
  local tcp = loopback.listen(function(socket)
    local state = { bytes = "" }
    socket:nodelay(true)
    socket:read_start(function(_, bytes)
      if not bytes then
        self.gone = self.gone + 1
        return socket:is_closing() or socket:close()
      end
      state.bytes = state.bytes .. bytes
      local request = take(state)
      if not request then return end
      self.requests[#self.requests + 1] = request
      on_request(request, setmetatable({ socket = socket }, Reply))
    end)
  end)
  self.url = tcp.url
  self.tcp = tcp
  function self.close()
    if not tcp.is_closed then tcp:close() end
  end
  return self
end

-- Dialects -----------------------------------------------------------------------------------------

local function sse(value, event)
  return (event and "event: " .. event .. "\n" or "") .. "data: " .. (type(value) == "string" and value or json.encode(value)) .. "\n\n"
end

local OPENAI = { content_type = "text/event-stream", done = "data: [DONE]\n\n" }

function OPENAI.text(text)
  return sse { id = "c1", model = "m-1", choices = json.list { { index = 0, delta = { content = text } } } }
end

function OPENAI.reasoning(text)
  return sse { choices = json.list { { index = 0, delta = { reasoning_content = text } } } }
end

function OPENAI.calls(name, arguments)
  local half = #arguments // 2
  local function piece(call) return sse { choices = json.list { { index = 0, delta = { tool_calls = json.list { call } } } } } end
  return piece { index = 0, id = "t1", type = "function", ["function"] = { name = name, arguments = arguments:sub(1, half) } } ..
    piece { index = 0, ["function"] = { arguments = arguments:sub(half + 1) } }
end

local OPENAI_FINISH = { stop = "stop", tool_calls = "tool_calls", length = "length" }

function OPENAI.finish(reason)
  return sse { choices = json.list { { index = 0, delta = {}, finish_reason = OPENAI_FINISH[reason or "stop"] } } } ..
    sse { choices = json.list {}, usage = { prompt_tokens = 7, completion_tokens = 3, prompt_tokens_details = { cached_tokens = 2 } } }
end

function OPENAI.refusal()
  return sse { choices = json.list { { index = 0, delta = { refusal = "I will not" }, finish_reason = "stop" } } }
end

function OPENAI.whole(text, calls)
  local list = calls and json.list { { id = "t1", type = "function", ["function"] = { name = calls[1], arguments = calls[2] } } } or nil
  return { id = "c1", object = "chat.completion", model = "m-1", usage = { prompt_tokens = 7, completion_tokens = 3, prompt_tokens_details = { cached_tokens = 2 } },
    choices = json.list { { index = 0, finish_reason = calls and "tool_calls" or "stop", message = { role = "assistant", content = text or json.null, tool_calls = list } } } }
end

function OPENAI.whole_refusal()
  return { choices = json.list { { index = 0, finish_reason = "stop", message = { role = "assistant", content = json.null, refusal = "I will not" } } } }
end

function OPENAI.error(kind, message, code)
  return { error = { message = message, type = kind, code = code or json.null, param = json.null } }
end

OPENAI.words = { context = { "invalid_request_error", "too many tokens", "context_length_exceeded" }, overloaded = { "server_error", "busy", "server_overloaded" } }
OPENAI.stream_error = function() return sse(OPENAI.error("server_error", "busy", "server_overloaded")) end
OPENAI.number = "data: 42\n\n"
OPENAI.garbage = "data: {\"choices\":[{\n\n"
OPENAI.unknown = sse({ hello = "there" }, "news") .. ": ping\n\n"

local ANTHROPIC = { content_type = "text/event-stream", done = sse({ type = "message_stop" }, "message_stop") }

local function event(value) return sse(value, value.type) end

function ANTHROPIC.begin()
  return event { type = "message_start", message = { id = "c1", model = "m-1", content = json.list {}, usage = { input_tokens = 5, cache_read_input_tokens = 2,
    cache_creation_input_tokens = 0, output_tokens = 1 } } } .. event { type = "content_block_start", index = 0, content_block = { type = "text", text = "" } }
end

function ANTHROPIC.text(text)
  return event { type = "content_block_delta", index = 0, delta = { type = "text_delta", text = text } }
end

function ANTHROPIC.reasoning(text)
  return event { type = "content_block_delta", index = 0, delta = { type = "thinking_delta", thinking = text } }
end

function ANTHROPIC.calls(name, arguments)
  local half = #arguments // 2
  local function piece(text) return event { type = "content_block_delta", index = 1, delta = { type = "input_json_delta", partial_json = text } } end
  return event { type = "content_block_start", index = 1, content_block = { type = "tool_use", id = "t1", name = name, input = {} } } ..
    piece "" .. piece(arguments:sub(1, half)) .. piece(arguments:sub(half + 1)) .. event { type = "content_block_stop", index = 1 }
end

local ANTHROPIC_FINISH = { stop = "end_turn", tool_calls = "tool_use", length = "max_tokens" }

function ANTHROPIC.finish(reason)
  return event { type = "message_delta", delta = { stop_reason = ANTHROPIC_FINISH[reason or "stop"] }, usage = { output_tokens = 3 } }
end

function ANTHROPIC.refusal()
  return event { type = "message_delta", delta = { stop_reason = "refusal" }, usage = { output_tokens = 3 } }
end

function ANTHROPIC.whole(text, calls)
  local content = json.list {}
  if text then content[1] = { type = "text", text = text } end
  if calls then content[#content + 1] = { type = "tool_use", id = "t1", name = calls[1], input = json.decode(calls[2]) or calls[2] } end
  return { id = "c1", type = "message", model = "m-1", content = content, stop_reason = calls and "tool_use" or "end_turn",
    usage = { input_tokens = 5, cache_read_input_tokens = 2, output_tokens = 3 } }
end

function ANTHROPIC.whole_refusal()
  return { id = "c1", content = json.list {}, stop_reason = "refusal", usage = {} }
end

function ANTHROPIC.error(kind, message) return { type = "error", error = { type = kind, message = message } } end

ANTHROPIC.words = { context = { "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum" }, overloaded = { "overloaded_error", "busy" } }
ANTHROPIC.stream_error = function() return event(ANTHROPIC.error("overloaded_error", "busy")) end
ANTHROPIC.number = OPENAI.number
ANTHROPIC.garbage = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\n\n"
ANTHROPIC.unknown = event { type = "novelty", index = 7 } .. event { type = "ping" } .. event { type = "content_block_delta", index = 0, delta = { type = "sung_delta", song = "la" } }

local OLLAMA = { content_type = "application/x-ndjson", done = "" }

local function line(value) return json.encode(value) .. "\n" end

function OLLAMA.text(text) return line { model = "m-1", message = { role = "assistant", content = text }, done = false } end
function OLLAMA.reasoning(text) return line { model = "m-1", message = { role = "assistant", content = "", thinking = text }, done = false } end

function OLLAMA.calls(name, arguments)
  return line { model = "m-1", done = false, message = { role = "assistant", content = "",
    tool_calls = json.list { { ["function"] = { name = name, arguments = json.decode(arguments) or arguments } } } } }
end

function OLLAMA.finish(reason)
  return line { model = "m-1", message = { role = "assistant", content = "" }, done = true, done_reason = reason == "length" and "length" or "stop",
    prompt_eval_count = 7, eval_count = 3 }
end

function OLLAMA.whole(text, calls)
  local list = calls and json.list { { ["function"] = { name = calls[1], arguments = json.decode(calls[2]) or calls[2] } } } or nil
  return { model = "m-1", message = { role = "assistant", content = text or "", tool_calls = list }, done = true, done_reason = "stop", prompt_eval_count = 7, eval_count = 3 }
end

function OLLAMA.error(_, message) return { error = message } end

OLLAMA.words = { context = { "", "the prompt exceeds the context window" }, overloaded = { "", "busy" } }
OLLAMA.stream_error = function() return line { error = "busy" } end
OLLAMA.number = "42\n"
OLLAMA.garbage = '{"message":\n'
OLLAMA.unknown = line { model = "m-1", hello = "there" }

--- By the name of the module: what it sends, the path of its url, and the class of an error within a stream.
M.dialects = {
  openai = { wire = OPENAI, base = "/v1", path = "/v1/chat/completions", stream_class = "overloaded" },
  compatible = { wire = OPENAI, base = "/v1", path = "/v1/chat/completions", stream_class = "overloaded" },
  anthropic = { wire = ANTHROPIC, base = "/v1", path = "/v1/messages", stream_class = "overloaded" },
  ollama = { wire = OLLAMA, base = "", path = "/api/chat", stream_class = "server" },
}

--- The names of the dialects, in order.
M.names = { "openai", "compatible", "anthropic", "ollama" }

--- A whole stream: what its pieces are, with an end.
---@param wire table
---@param pieces string[] texts
---@return string
function M.stream(wire, pieces)
  local parts = { wire.begin and wire.begin() or "" }
  for _, text in ipairs(pieces) do parts[#parts + 1] = wire.text(text) end
  return table.concat(parts) .. wire.finish() .. wire.done
end

--- A context for a model module: what it emits is kept, in order.
---@param options table
---@return table ctx
function M.context(testing, module, options)
  local ctx = testing.context(module, { options = options })
  ctx.secret = function(_, name) return "secret://" .. name end
  function ctx.text()
    local parts = {}
    for _, delta in ipairs(ctx.emitted) do parts[#parts + 1] = delta.text end
    return table.concat(parts)
  end
  return ctx
end

return M

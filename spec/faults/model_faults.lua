--- What a provider can do to one who asks it, kind by kind: how the server of a spec does it, in every dialect, and what
--- must come of it.
---
--- A fault is { name, serve(reply, dialect, name, request), class, text (what was given out before), streams (which
--- requests it is for: both, or true, or false), fields (of the detail), request (over the spec's) }.

local M = {}

local MIB = 1 << 20
local GIB = 1 << 30

local function status(number, kind, message, code, headers)
  return function(reply, dialect)
    reply:json(number, dialect.wire.error(kind, message, code), headers)
  end
end

local function begin(reply, dialect)
  reply:begin(dialect.wire.content_type)
  if dialect.wire.begin then reply:chunk(dialect.wire.begin()) end
end

local function after_text(body)
  return function(reply, dialect)
    begin(reply, dialect)
    reply:chunk(dialect.wire.text "The mïll")
    body(reply, dialect)
  end
end

local PAGE = "<!doctype html><html><head><title>Bad Gateway</title></head><body>Sorry</body></html>"

-- The same bytes until the other side has had enough, at most a GiB; server.sent says how many went out.
local function flood(reply, piece)
  local sent = 0
  while sent < GIB do
    if not reply:raw(piece) then break end
    sent = sent + #piece
  end
end

M.faults = {
  { name = "a wrong key", serve = status(401, "authentication_error", "wrong key", "invalid_api_key"), class = "auth" },
  { name = "a key that may not do this", serve = status(403, "permission_error", "not for you"), class = "auth" },
  { name = "a wrong base url, answered with a page", class = "not_found",
    serve = function(reply) reply:answer(404, PAGE, { ["Content-Type"] = "text/html" }) end },
  { name = "a model that does not exist", serve = status(404, "not_found_error", "no such model", "model_not_found"), class = "not_found" },
  { name = "a redirect to another host", class = "redirect", fields = { status = 307 },
    serve = function(reply) reply:answer(307, "", { Location = "http://other.invalid/v1/" }) end },
  { name = "a redirect that would change the method", class = "redirect",
    serve = function(reply) reply:answer(302, "", { Location = "/elsewhere" }) end },
  { name = "a redirect of one host that never ends", class = "redirect",
    serve = function(reply, _, _, request) reply:answer(308, "", { Location = request.path .. "x" }) end },
  { name = "400", serve = status(400, "invalid_request_error", "no"), class = "invalid_request", fields = { status = 400 } },
  { name = "408", serve = status(408, "timeout_error", "late"), class = "timeout" },
  { name = "409", serve = status(409, "conflict_error", "again"), class = "conflict" },
  { name = "413", serve = status(413, "request_too_large", "big"), class = "too_large" },
  { name = "422", serve = status(422, "invalid_request_error", "no"), class = "invalid_request" },
  { name = "429 with the time to wait", class = "rate_limit", fields = { retry_after = 7, status = 429 },
    serve = status(429, "rate_limit_error", "slow down", "rate_limit_exceeded", { ["Retry-After"] = "7" }) },
  { name = "500", serve = status(500, "api_error", "oh"), class = "server" },
  { name = "500 that says not to ask again", serve = status(500, "api_error", "oh", nil, { ["x-should-retry"] = "false" }), class = "server", fields = { at_once = true } },
  { name = "502 with a page", class = "server",
    serve = function(reply) reply:answer(502, PAGE, { ["Content-Type"] = "text/html" }) end },
  { name = "503", serve = status(503, "server_error", "busy"), class = "overloaded" },
  { name = "504", serve = status(504, "server_error", "late"), class = "server" },
  { name = "529", serve = status(529, "overloaded_error", "busy"), class = "overloaded" },
  { name = "an error whose body never ends", class = "server",
    serve = function(reply)
      reply:raw "HTTP/1.1 500 X\r\nContent-Type: application/json\r\n\r\n"
      flood(reply, ("x"):rep(MIB))
    end },
  { name = "a page in place of JSON", class = "protocol",
    serve = function(reply) reply:answer(200, PAGE, { ["Content-Type"] = "text/html" }) end },
  { name = "a page that says it is JSON", class = "protocol", streams = false, serve = function(reply) reply:json(200, PAGE) end },
  { name = "no body", class = "protocol", streams = false, serve = function(reply) reply:json(200, "") end },
  { name = "JSON that is malformed", class = "protocol", streams = false,
    serve = function(reply, dialect) reply:json(200, (require("weir.json").encode(dialect.wire.whole "The mill"):sub(1, -3))) end },
  { name = "JSON of something else", class = "protocol", streams = false, serve = function(reply) reply:json(200, '{"hello":"there"}') end },
  { name = "a list in place of an object", class = "protocol", streams = false, serve = function(reply) reply:json(200, "[]") end },
  { name = "bytes that are no UTF-8", class = "protocol", streams = false,
    serve = function(reply, dialect) reply:json(200, (require("weir.json").encode(dialect.wire.whole "The mXll"):gsub("X", "\xC3"))) end },
  { name = "an error under the status of success", class = "server", streams = false,
    serve = function(reply, dialect) reply:json(200, dialect.wire.error("api_error", "oh")) end },
  { name = "a body that is shorter than it says", class = "cut", streams = false,
    serve = function(reply, dialect)
      local body = require("weir.json").encode(dialect.wire.whole "The mill")
      reply:raw(("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(#body + 10, body))
      reply:close()
    end },
  { name = "a body that is longer than it says", class = "protocol", streams = false,
    serve = function(reply, dialect)
      local body = require("weir.json").encode(dialect.wire.whole "The mill")
      reply:raw(("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"):format(#body - 10, body))
    end },
  { name = "a body without end", class = "timeout", request = { idle_timeout = 0.3 }, streams = false,
    serve = function(reply) reply:raw "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"choices\":" end },
  { name = "a body that comes byte by byte and never ends", class = "timeout", request = { timeout = 1.5 }, streams = false,
    serve = function(reply)
      reply:raw "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
      while reply:raw " " do require("weir.task").sleep(0.02) end
    end },
  { name = "a body of a GiB", class = "too_large", streams = false,
    serve = function(reply)
      reply:raw "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
      flood(reply, (" "):rep(MIB))
    end },
  { name = "a connection that is closed before the answer", class = "connection", serve = function(reply) reply:close() end },
  { name = "an answer that does not begin", class = "timeout", request = { idle_timeout = 0.3 }, serve = function() end },
  { name = "a stream that stops for ever", class = "timeout", text = "The mïll", request = { idle_timeout = 0.3 }, streams = true,
    serve = after_text(function() end) },
  { name = "a stream that stops before anything", class = "timeout", text = "", request = { idle_timeout = 0.3 }, streams = true, serve = begin },
  { name = "a stream that sends nothing but signs of life", class = "timeout", text = "The mïll", request = { timeout = 1.5 }, streams = true,
    serve = after_text(function(reply)
      while reply:chunk "\n" do require("weir.task").sleep(0.02) end
    end) },
  { name = "a stream cut between two events", class = "cut", text = "The mïll", streams = true, serve = after_text(function(reply) reply:close() end) },
  { name = "a stream that ends as HTTP has it, without its end mark", class = "cut", text = "The mïll", streams = true,
    serve = after_text(function(reply) reply:finish() end) },
  { name = "a stream cut within an event", class = "cut", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      reply:chunk((dialect.wire.text " turns"):sub(1, -8))
      reply:finish()
    end) },
  { name = "a stream cut within a character", class = "cut", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      local bytes = dialect.wire.text " tïrns"
      reply:chunk(bytes:sub(1, bytes:find("\xC3", 1, true)))
      reply:close()
    end) },
  { name = "a stream cut within a call of a tool", class = "cut", text = "", streams = true, emits = "tool_call", dialects = { openai = true, compatible = true, anthropic = true },
    serve = function(reply, dialect)
      begin(reply, dialect)
      reply:chunk(dialect.wire.calls("find", '{"q":'))
      reply:finish()
    end },
  { name = "an event that is no JSON", class = "protocol", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      reply:chunk(dialect.wire.garbage .. dialect.wire.text " turns" .. dialect.wire.finish() .. dialect.wire.done)
      reply:finish()
    end) },
  { name = "an event that is no object", class = "protocol", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      reply:chunk(dialect.wire.number)
      reply:finish()
    end) },
  { name = "an event that never ends", class = "too_large", text = "The mïll", streams = true,
    serve = after_text(function(reply)
      reply:chunk "data: "
      while reply:chunk(("x"):rep(65536)) do end
    end) },
  { name = "an answer that never ends", class = "too_large", streams = true, is_long = true,
    serve = function(reply, dialect)
      begin(reply, dialect)
      local chunk = dialect.wire.text(("x"):rep(MIB // 2))
      while reply:chunk(chunk) do end
    end },
  { name = "bytes that are no UTF-8 in an event", class = "protocol", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      reply:chunk((dialect.wire.text " tXrns":gsub("X", "\xFF")))
      reply:finish()
    end) },
  { name = "an error within a stream", class = "stream", text = "The mïll", streams = true,
    serve = after_text(function(reply, dialect)
      reply:chunk(dialect.wire.stream_error())
      reply:finish()
    end) },
  { name = "a stream with an end mark and nothing before it", class = "protocol", text = "", streams = true,
    serve = function(reply, dialect)
      reply:begin(dialect.wire.content_type)
      reply:chunk(dialect.wire.done)
      reply:finish()
    end, dialects = { openai = true, compatible = true, anthropic = true } },
  { name = "a context that is too long", class = "context_length",
    serve = function(reply, dialect) reply:json(400, dialect.wire.error(table.unpack(dialect.wire.words.context))) end },
  { name = "a model that refuses, in a stream", class = "refusal", text = "The mïll", streams = true, dialects = { openai = true, compatible = true, anthropic = true },
    serve = after_text(function(reply, dialect)
      reply:chunk(dialect.wire.refusal() .. dialect.wire.done)
      reply:finish()
    end) },
  { name = "a model that refuses", class = "refusal", streams = false, dialects = { openai = true, compatible = true, anthropic = true },
    serve = function(reply, dialect) reply:json(200, dialect.wire.whole_refusal()) end },
}

--- What only looks like a fault: the answer must be whole.
M.harmless = {
  { name = "a stream that comes byte by byte", streams = true,
    serve = function(reply, dialect, stream)
      reply:begin(dialect.wire.content_type)
      for at = 1, #stream do reply:chunk(stream:sub(at, at)) end
      reply:finish()
    end },
  { name = "a stream whose connection ends with it", streams = true,
    serve = function(reply, dialect, stream)
      reply:raw(("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nConnection: close\r\n\r\n"):format(dialect.wire.content_type))
      reply:raw(stream)
      reply:close()
    end },
  { name = "a stream that goes on after its end mark", streams = true,
    serve = function(reply, dialect, stream)
      reply:begin(dialect.wire.content_type)
      reply:chunk(stream)
      while reply:chunk(dialect.wire.text " and more") do require("weir.task").sleep(0.01) end
    end },
  { name = "a stream that stays open after its end mark", streams = true,
    serve = function(reply, dialect, stream)
      reply:begin(dialect.wire.content_type)
      reply:chunk(stream)
    end },
  { name = "a redirect within the host that keeps the method", streams = true,
    serve = function(reply, dialect, stream, request)
      if request.path ~= "/moved" then return reply:answer(308, "", { Location = "/moved" }) end
      reply:begin(dialect.wire.content_type)
      reply:chunk(stream)
      reply:finish()
    end },
}

return M

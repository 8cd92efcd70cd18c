local client_of = require "weir.mcp.client"
local http = require "weir.mcp.http"
local servers = dofile "spec/lua/weir/mcp/http_server.lua"
local support = dofile "spec/lua/weir/mcp/support.lua"
local task = require "weir.task"

describe("mcp over HTTP", function()
  local client, server

  local function open(made, callbacks, more)
    server = made
    local settings = { url = server.url }
    for name, value in pairs(more or {}) do settings[name] = value end
    callbacks = callbacks or {}
    callbacks.name = "spec"
    local message, code
    client, message, code = client_of.open(settings, callbacks)
    return client, message, code
  end

  after_each(function()
    if client then client:close() end
    if server then server.close() end
    client, server = nil, nil
  end)

  local function text(words) return { content = { { type = "text", text = words } } } end

  local function answers(words)
    return function(request, reply)
      if request.message.method == "tools/call" then reply:result(request.message.id, text(words)) end
    end
  end

  describe("with a modern server", function()
    it("says in headers and in the message what it asks, and who it is", function()
      assert(open(servers.modern(answers "hello")))
      assert.equal("hello", client:call("echo", { a = 1 }).content[1].text)
      local request = server.of("tools/call")[1]
      assert.equal("2026-07-28", request.headers["mcp-protocol-version"])
      assert.equal("tools/call", request.headers["mcp-method"])
      assert.equal("echo", request.headers["mcp-name"])
      assert.equal("application/json, text/event-stream", request.headers.accept)
      assert.is_nil(request.headers["mcp-session-id"])
      local meta = request.message.params._meta
      assert.equal("2026-07-28", meta["io.modelcontextprotocol/protocolVersion"])
      assert.equal("weir", meta["io.modelcontextprotocol/clientInfo"].name)
      assert.same({}, meta["io.modelcontextprotocol/clientCapabilities"])
      assert.same({ "server/discover", "tools/list", "tools/call" }, { server.requests[1].message.method,
        server.requests[2].message.method, server.requests[3].message.method })
    end)

    it("puts marked parameters into headers, and leaves out a tool that is marked wrongly", function()
      assert(open(servers.modern(answers "ok")))
      assert(client:call("mirrored", { region = "eu", deep = { n = 7, on = true } }))
      assert(client:call("mirrored", { region = " größer\n", deep = { n = 1.5 } }))
      local first, second = table.unpack(server.of "tools/call")
      assert.same({ "eu", "7", "true" }, { first.headers["mcp-param-region"], first.headers["mcp-param-n"], first.headers["mcp-param-on"] })
      assert.equal("=?base64?IGdyw7bDn2VyCg==?=", second.headers["mcp-param-region"])
      assert.is_nil(second.headers["mcp-param-n"])
      assert.equal("not_found", select(3, client:call "badly_marked"))
    end)

    it("reads the marks anew when the server finds them wrong", function()
      local count = 0
      assert(open(servers.modern(function(request, reply)
        count = count + 1
        if count == 1 then return reply:refuse("400 Bad Request", request.message.id, -32020, "header mismatch") end
        reply:result(request.message.id, text "now")
      end)))
      assert.equal("now", client:call("mirrored", {}).content[1].text)
      assert.equal(2, #server.of "tools/list")
    end)

    it("reads an answer from a stream, with progress before it, split anywhere", function()
      assert(open(servers.modern(function(request, reply)
        local id = request.message.id
        reply:stream()
        reply:raw ": hello\n\n"
        reply:event { jsonrpc = "2.0", method = "notifications/progress", params = { progressToken = id, progress = 1, message = "half" } }
        local last = ('data: {"jsonrpc":"2.0",\r\ndata: "id":%d,"result":{"content":[{"type":"text","text":"grün"}]}}\r\n\r\n'):format(id)
        for at = 1, #last do reply:raw(last:sub(at, at)) end
      end)))
      local seen = {}
      local result = client:call("echo", {}, { on_progress = function(progress) seen[#seen + 1] = progress end })
      assert.equal("grün", result.content[1].text)
      assert.same({ { progress = 1, message = "half" } }, seen)
      assert.equal(server.of("tools/call")[1].message.id, server.of("tools/call")[1].message.params._meta.progressToken)
    end)

    it("uses the connection of a stream again that ends with its answer", function()
      assert(open(servers.modern(function(request, reply)
        local answer = ('data: {"jsonrpc":"2.0","id":%d,"result":{"content":[]}}\n\n'):format(request.message.id)
        reply:raw(("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"):format(
          #answer, answer))
      end)))
      for _ = 1, 5 do assert(client:call "echo") end
      assert.equal(1, server.tcp.accepted)
      assert.is_false(client.transport.leaves_open)
    end)

    it("does not wait for the end of a stream that goes on after its answer", function()
      assert(open(servers.modern(function(request, reply)
        reply:stream()
        reply:event { jsonrpc = "2.0", id = request.message.id, result = text "there" }
      end)))
      for _ = 1, 3 do assert.equal("there", assert(client:call "echo").content[1].text) end
      assert.is_true(client.transport.leaves_open)
    end)

    it("closes the stream when the call is cancelled or late, and nothing else is said", function()
      assert(open(servers.modern(function(_, reply) reply:stream() end)))
      client:tools()
      local ok, err = support.cancel_when(function() return #server.of "tools/call" == 1 end, function() client:call "echo" end)
      assert.is_false(ok)
      assert.equal("cancelled", err.code)
      assert.truthy(support.eventually(function() return server.of("tools/call")[1].is_gone end))
      local _, message, code = client:call("echo", {}, { timeout = 0.5 })
      assert.equal("timeout", code)
      assert.matches("^mcp server 'spec', tool 'echo': no answer to tools/call within 0%.%d+ seconds$", message)
      assert.truthy(support.eventually(function() return server.of("tools/call")[2].is_gone end))
      assert.equal(0, #server.of "notifications/cancelled")
    end)

    it("hears of changes on a stream of its own, and listens again when that ends", function()
      local told, stream = 0, nil
      assert(open(servers.modern(function(request, reply)
        if request.message.method ~= "subscriptions/listen" then return end
        if stream then assert.truthy(support.eventually(function() return #server.of "tools/list" == 2 end)) end
        reply:stream()
        reply:event { jsonrpc = "2.0", method = "notifications/subscriptions/acknowledged", params = {} }
        stream = reply
      end, { tools = { listChanged = true } }), { on_tools_changed = function() told = told + 1 end }))
      assert.truthy(support.eventually(function() return stream end))
      client:tools()
      assert.same({ toolsListChanged = true }, server.of("subscriptions/listen")[1].message.params.notifications)
      stream:event { jsonrpc = "2.0", method = "notifications/tools/list_changed", params = {} }
      assert.truthy(support.eventually(function() return told == 1 end))
      client:tools()
      assert.equal(2, #server.of "tools/list")
      stream:close()
      assert.truthy(support.eventually(function() return #server.of "subscriptions/listen" == 2 end))
      assert.truthy(support.eventually(function() return told == 2 end)) -- meanwhile they may have changed
    end)
  end)

  describe("with a legacy server", function()
    it("keeps the session that it is given, and gives it back", function()
      assert(open(servers.legacy(answers "hello")))
      assert.equal("legacy", client:about().era)
      assert.equal("hello", client:call("echo").content[1].text)
      local request = server.of("tools/call")[1]
      assert.equal("session-1", request.headers["mcp-session-id"])
      assert.equal("2025-11-25", request.headers["mcp-protocol-version"])
      assert.is_nil(request.headers["mcp-method"])
      assert.is_nil(server.of("initialize")[1].headers["mcp-protocol-version"])
      assert.truthy(support.eventually(function() return #server.of "notifications/initialized" == 1 end))
      client:close()
      local last = server.requests[#server.requests]
      assert.same({ "DELETE", "session-1" }, { last.method, last.headers["mcp-session-id"] })
    end)

    it("is greeted anew when it has forgotten the session, once for all who call", function()
      assert(open(servers.legacy(answers "hello")))
      client:tools()
      server.session = "another one"
      assert(task.within({}, function()
        for _ = 1, 5 do task.spawn(function() assert.equal("hello", assert(client:call "echo").content[1].text) end) end
      end))
      assert.equal(2, server.sessions)
    end)

    -- A server that has forgotten the session, and greets nobody anew, but does what `instead` says.
    local function forget(instead)
      assert(open(servers.legacy(answers "hello")))
      client:tools()
      server.session = "another one"
      local handle = server.handle
      server.handle = function(request, reply)
        if request.message.method ~= "initialize" then return handle(request, reply) end
        instead(reply)
      end
      return function() server.handle = handle end
    end

    it("is greeted anew by the next call when the one that greeted it is cancelled", function()
      local remember = forget(function() end)
      support.cancel_when(function() return #server.of "initialize" == 2 end, function() client:call "echo" end)
      remember()
      assert.equal("hello", assert(client:call "echo").content[1].text)
    end)

    it("is greeted anew by the next call when it could not be greeted", function()
      local remember = forget(function(reply) reply:send("503 Service Unavailable", nil, "") end)
      assert.is_nil((client:call "echo"))
      remember()
      assert.equal("hello", assert(client:call "echo").content[1].text)
    end)

    it("is told when nobody waits for the answer any more", function()
      assert(open(servers.legacy(function(request, reply)
        if request.message.method == "tools/call" then reply:stream() end
      end)))
      client:tools()
      support.cancel_when(function() return #server.of "tools/call" == 1 end, function() client:call "echo" end)
      assert.truthy(support.eventually(function() return #server.of "notifications/cancelled" == 1 end))
      assert.equal(server.of("tools/call")[1].message.id, server.of("notifications/cancelled")[1].message.params.requestId)
    end)

    it("asks back on the stream of the call, each call its own person", function()
      local waiting = {}
      assert(open(servers.legacy(function(request, reply)
        local message = request.message
        if message.method == "tools/call" then
          reply:stream()
          local key = "q" .. message.id
          waiting[key] = { reply = reply, id = message.id }
          reply:event { jsonrpc = "2.0", id = key, method = "elicitation/create", params = { message = message.params.arguments.who } }
        elseif message.result then
          local call = waiting[message.id]
          call.reply:event { jsonrpc = "2.0", id = call.id, result = text(message.result.content.said) }
        end
      end)))
      local said = {}
      assert(task.within({}, function()
        for _, who in ipairs { "ada", "bob", "eve" } do
          task.spawn(function()
            said[who] = client:call("echo", { who = who }, { elicit = function(question)
              task.sleep(who == "ada" and 0.05 or 0)
              return { action = "accept", content = { said = question.message .. " for " .. who } }
            end }).content[1].text
          end)
        end
      end))
      assert.same({ ada = "ada for ada", bob = "bob for bob", eve = "eve for eve" }, said)
    end)

    it("may end the stream and give the answer on another one", function()
      local id
      local made = servers.legacy(function(request, reply)
        if request.message.method == "tools/call" then
          id = request.message.id
          reply:stream()
          reply:raw "id: e1\nretry: 10\ndata:\n\n"
          reply:close()
        elseif request.headers["last-event-id"] == "e1" then
          reply:stream()
          reply:event { jsonrpc = "2.0", id = id, result = text "after all" }
        end
      end)
      made.has_stream = true
      assert(open(made))
      assert.equal("after all", assert(client:call "echo").content[1].text)
    end)

    it("has its tools read again that were read before it could be heard", function()
      local is_open, told = false, 0
      local made = servers.legacy(function(request, reply)
        if request.method ~= "GET" then return end
        support.eventually(function() return is_open end)
        reply:stream()
      end)
      made.has_stream = true
      assert(open(made, { on_tools_changed = function() told = told + 1 end }))
      client:tools()
      assert.equal(0, told)
      is_open = true
      assert.truthy(support.eventually(function() return told == 1 end))
      client:tools()
      assert.equal(2, #server.of "tools/list")
    end)

    it("is heard on its own stream when its tools change", function()
      local told, stream = 0, nil
      local made = servers.legacy(function(request, reply)
        if request.method ~= "GET" then return end
        reply:stream()
        stream = reply
      end)
      made.has_stream = true
      assert(open(made, { on_tools_changed = function() told = told + 1 end }))
      assert.truthy(support.eventually(function() return stream end))
      stream:event { jsonrpc = "2.0", method = "notifications/tools/list_changed" }
      stream:event { jsonrpc = "2.0", id = 5, method = "ping" }
      assert.truthy(support.eventually(function() return told == 1 end))
      assert.truthy(support.eventually(function()
        for _, request in ipairs(server.requests) do
          if request.message.id == 5 and request.message.result then return true end
        end
      end))
    end)
  end)

  describe("a server that misbehaves:", function()
    local function fails(words, code, call)
      assert(open(servers.modern(call)))
      local result, message, found = client:call "echo"
      assert.is_nil(result)
      assert.matches(words, message, 1, true)
      assert.matches("mcp server 'spec', tool 'echo': ", message, 1, true)
      assert.equal(code, found)
    end

    for status, expected in pairs { ["401 Unauthorized"] = "denied", ["403 Forbidden"] = "denied", ["404 Not Found"] = "not_found",
      ["429 Too Many Requests"] = "full", ["500 Oops"] = "unavailable", ["503 Busy"] = "unavailable", ["413 Too Large"] = "limit",
      ["418 Teapot"] = "failed" } do
      it(("status %s is '%s'"):format(status, expected), function()
        fails("answered with status " .. status:match "%d+", expected, function(_, reply) reply:send(status, "text/plain", "no\27[2J") end)
      end)
    end

    it("a page is no answer", function()
      fails("text/html instead of JSON; is its url right?", "failed", function(_, reply) reply:send("200 OK", "text/html", "<p>hello") end)
    end)

    it("what is no JSON is no answer", function()
      fails("its answer cannot be read", "failed", function(_, reply) reply:send("200 OK", "application/json", "{") end)
      client:close()
      server.close()
      fails("its answer cannot be read", "failed", function(_, reply)
        reply:stream()
        reply:raw "data: {\n\n"
      end)
    end)

    it("an answer to something else is none", function()
      fails("it does not answer tools/call", "failed", function(request, reply) reply:result(request.message.id + 1, {}) end)
    end)

    it("a stream that ends before the answer makes the call unavailable", function()
      fails("the stream ended before the answer to tools/call", "unavailable", function(_, reply)
        reply:stream()
        reply:close()
      end)
    end)

    it("a redirect is not followed, for headers may hold secrets", function()
      fails("leads to 'http://elsewhere.example/'", "denied", function(_, reply)
        reply:send("302 Found", nil, "", { Location = "http://elsewhere.example/" })
      end)
    end)

    it("a body without end is not read to its end", function()
      fails("has more than 16777216 bytes", "limit", function(_, reply)
        reply:raw "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        while reply:raw(("x"):rep(1 << 20)) do end
      end)
    end)

    it("an event without end is not read to its end", function()
      fails("an event has more than 16777216 bytes", "limit", function(_, reply)
        reply:stream()
        reply:raw "data: "
        while reply:raw(("x"):rep(1 << 20)) do end
      end)
    end)

    it("that nobody listens is unavailable", function()
      local made = servers.modern(answers "x")
      made.close()
      local _, message, code = open(made)
      assert.equal("unavailable", code)
      assert.matches("mcp server 'spec': ", message, 1, true)
      server = nil
    end)

    it("that does not answer the first question is late", function()
      local _, message, code = open(servers.new(function() end), nil, { open_timeout = 0.1 })
      assert.equal("timeout", code)
      assert.matches("no answer to server/discover within 0%.%d+ seconds", message) -- of what was left to open it
    end)
  end)

  it("fails what is under way when it is closed", function()
    assert(open(servers.modern(function(_, reply) reply:stream() end)))
    client:tools()
    local results
    local running = task.start({}, function() results = table.pack(client:call "echo") end)
    assert.truthy(support.eventually(function() return #server.of "tools/call" == 1 end))
    client:close()
    running:join()
    assert.equal("closed", results[3])
  end)

  it("leaves nothing behind", function()
    local function pass(make)
      assert(task.within({}, function()
        assert(open(make(answers "x")))
        client:tools()
        support.cancel_when(function() return #server.of "tools/call" == 1 end, function() client:call "echo" end)
      end))
      server.close()
      client, server = nil, nil
      support.eventually(function() return support.open_now().transfers == 0 end)
    end
    pass(servers.modern)
    local before = support.open_now()
    for _, make in ipairs { servers.modern, servers.legacy } do pass(make) end
    local after
    support.eventually(function()
      after = support.open_now()
      return after.tasks <= before.tasks
    end)
    assert.same({ before.children, before.tasks, before.transfers }, { after.children, after.tasks, after.transfers })
  end)

  it("sends the headers of the settings, in one piece each", function()
    assert(open(servers.modern(answers "x"), nil, { headers = { ["X-Key"] = { "a", "b" }, ["X-Plain"] = "c" } }))
    assert.equal("ab", server.requests[1].headers["x-key"])
    assert.equal("c", server.requests[1].headers["x-plain"])
  end)

  it("has the host put in secrets, of which the headers have handles only", function()
    if not pcall(require, "weir.secret") then return pending "no weir.secret" end
    local uv = require "luv"
    uv.os_setenv("WEIR_SPEC_MCP_TOKEN", "of-nobody-else")
    local given = { Authorization = { "Bearer ", "secret://WEIR_SPEC_MCP_TOKEN" }, ["x-key"] = "secret://WEIR_SPEC_MCP_TOKEN" }
    local made = http.headers(given)
    assert.same({ "userdata", "secret://WEIR_SPEC_MCP_TOKEN" }, { type(made.authorization[2]), tostring(made.authorization[2]) })
    assert(open(servers.modern(answers "x"), nil, { headers = given }))
    assert.equal("Bearer of-nobody-else", server.requests[1].headers.authorization)
    assert.equal("of-nobody-else", server.requests[1].headers["x-key"])
    client:close()
    server.close()
    uv.os_unsetenv "WEIR_SPEC_MCP_TOKEN"
    local _, message, code = open(servers.modern(answers "x"), nil, { headers = { ["x-key"] = "secret://WEIR_SPEC_MCP_NONE" } })
    assert.equal("denied", code)
    assert.matches("mcp server 'spec': secret 'WEIR_SPEC_MCP_NONE'", message, 1, true)
  end)
end)

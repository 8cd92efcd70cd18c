local json = require "weir.native.json"
local port = require "weir.port.server"
local scheduler = require "weir.native.scheduler"
local system = require "weir.port.system"
local task = require "weir.task"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"

describe("http server", function()
  local server, wires

  local function serve(handler, options)
    options = options or {}
    if not options.path then options.address = options.address or "127.0.0.1" end
    server = assert(port.listen(options, handler))
    return server
  end

  local function connect()
    local one = wire.connect(server)
    wires[#wires + 1] = one
    return one
  end

  local function ask(...) return wire.ask(server, ...) end

  local function send(bytes)
    local one = connect()
    one:send(bytes)
    return one
  end

  before_each(function() wires = {} end)
  after_each(function()
    for _, one in ipairs(wires) do one:close() end
    if server then server:close(0) end
    server = nil
  end)

  local function echo(request)
    local lines = { request:method(), request:target() }
    for _, header in ipairs(request:headers()) do lines[#lines + 1] = header[1] .. "=" .. header[2] end
    lines[#lines + 1] = request:body() or ""
    request:respond(200, { ["Content-Type"] = "text/plain" }, table.concat(lines, "\n"))
  end

  it("gives method, target, headers and body as they came", function()
    serve(echo)
    local answer = ask("POST", "/a%2Fb?x=%31&y", { ["X-One"] = "1" }, "body\0of bytes")
    assert.equal(200, answer.status)
    assert.equal("text/plain", answer.headers["content-type"])
    assert.equal("POST\n/a%2Fb?x=%31&y\nhost=localhost\nx-one=1\ncontent-length=13\nbody\0of bytes", answer.body)
  end)

  it("shows that a header came twice", function()
    local value, count
    serve(function(request)
      value, count = request:header "x-one"
      request:respond(204, {})
    end)
    assert.equal(204, send("GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nx-one: 2\r\n\r\n"):answer().status)
    assert.same({ "1", 2 }, { value, count })
  end)

  it("keeps a connection for the next request, and answers those that were sent ahead in their order", function()
    serve(function(request)
      task.sleep(request:target() == "/1" and 0.02 or 0)
      request:respond(200, {}, request:target())
    end)
    local one = send(wire.request("GET", "/1") .. wire.request("GET", "/2") .. wire.request("POST", "/3", {}, "x"))
    for n = 1, 3 do assert.equal("/" .. n, one:answer().body) end
    assert.equal(1, (server:stats()))
  end)

  it("answers HEAD with the length and no body", function()
    serve(echo)
    local one = send(wire.request("HEAD", "/"))
    local answer = one:answer(true)
    assert.is_true(tonumber(answer.headers["content-length"]) > 0)
    one:send(wire.request("GET", "/"))
    assert.equal(200, one:answer().status)
  end)

  it("reads a body in pieces that arrive in pieces", function()
    local pieces = {}
    serve(function(request)
      for piece in function() return request:read(4) end do pieces[#pieces + 1] = piece end
      request:respond(200, {}, "ok")
    end)
    local one = send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    assert.is_true(wire.eventually(function() return #pieces == 1 end))
    one:send("5\r\ndefgh\r\n0\r\n\r\n")
    assert.equal("ok", one:answer().body)
    assert.equal("abcdefgh", table.concat(pieces))
    for _, piece in ipairs(pieces) do assert.is_true(#piece <= 4) end
  end)

  it("does not read on while nobody takes the body, and loses nothing of it", function()
    local go, got = scheduler.waiter(), nil
    serve(function(request)
      request:read(1)
      go:wait "the word"
      got = request:body()
      request:respond(200, {}, "ok")
    end)
    local text = ("0123456789abcdef"):rep(48 * 1024)
    local one = send(wire.request("POST", "/", {}, text))
    go:wake()
    assert.equal(200, one:answer().status)
    assert.equal(text:sub(2), got)
  end)

  it("sends 100 before it reads a body that waits for it, and none when it does not want it", function()
    serve(function(request)
      if request:target() == "/no" then return request:respond(401, {}, "no") end
      request:respond(200, {}, request:body())
    end)
    local one = send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert.truthy(one:until_(function(bytes) return bytes:find("100 Continue", 1, true) end):find("100 Continue", 1, true))
    one:send("hi")
    assert.equal("hi", one:answer().body)
    local other = send("POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert.equal(401, other:answer().status)
    assert.is_true(other:closed())
  end)

  it("answers before the body was read, and the connection goes on behind it", function()
    serve(function(request) request:respond(401, {}, "no") end)
    local one = send(wire.request("POST", "/", {}, ("x"):rep(300000)))
    assert.equal(401, one:answer().status)
    one:send(wire.request("GET", "/"))
    assert.equal(401, one:answer().status)
  end)

  it("refuses a body that is longer than allowed, by its length or as it comes", function()
    local code
    serve(function(request)
      local body, message
      body, message, code = request:body()
      request:respond(body and 200 or 413, { ["X-Why"] = message }, "end")
    end, { body_bytes = 1000 })
    assert.equal(413, ask("POST", "/", {}, ("x"):rep(1001)).status)
    assert.is_nil(code)
    assert.equal(200, ask("POST", "/", {}, ("x"):rep(1000)).status)
    local one = send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ = 1, 20 do one:send("64\r\n" .. ("x"):rep(100) .. "\r\n") end
    local answer = one:answer()
    assert.same({ 413, "end", "the body is longer than allowed" }, { answer.status, answer.body, answer.headers["x-why"] })
    assert.equal("limit", code)
    assert.is_true(one:closed())
  end)

  local REFUSED = {
    { "two lengths", "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab" },
    { "the same length twice", "Content-Length: 1\r\nContent-Length: 1\r\n\r\na" },
    { "a length and chunks", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" },
    { "chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n" },
    { "two encodings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" },
    { "another encoding", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" },
    { "an encoding that only looks like it", "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" },
    { "a space before the colon", "Content-Length : 1\r\n\r\na" },
    { "a space before the colon of an encoding", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" },
    { "a length with a sign", "Content-Length: +1\r\n\r\na" },
    { "a length that is negative", "Content-Length: -1\r\n\r\na" },
    { "a length in hexadecimal", "Content-Length: 0x1\r\n\r\na" },
    { "a list of lengths", "Content-Length: 1, 1\r\n\r\na" },
    { "a length beyond numbers", "Content-Length: 99999999999999999999999\r\n\r\na" },
    { "a chunk without a size", "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n" },
    { "a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n" },
    { "a chunk with a huge size", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nabc\r\n0\r\n\r\n" },
    { "two hosts", "Host: b\r\n\r\n" },
    { "a header without a colon", "nonsense\r\n\r\n" },
    { "a name with a space", "X One: 1\r\n\r\n" },
  }

  for _, case in ipairs(REFUSED) do
    it("refuses " .. case[1] .. " and closes", function()
      local bodies = {}
      serve(function(request)
        bodies[#bodies + 1] = request:body() or "?"
        request:respond(200, {}, "ok")
      end)
      local one = send("POST / HTTP/1.1\r\nHost: a\r\n" .. case[2] .. wire.request("GET", "/smuggled"))
      local answer = one:answer()
      assert.is_true(answer == nil or answer.status == 400 or answer.status == 413, answer and answer.status)
      assert.is_true(one:closed())
      for _, body in ipairs(bodies) do assert.equal("?", body) end
    end)
  end

  it("says why it refuses what it understands, as problem details", function()
    serve(echo, { body_bytes = 1000 })
    for status, bytes in pairs { [431] = "X-Long: " .. ("x"):rep(17000), [400] = "Host: b", [413] = "Content-Length: 1001" } do
      local answer = send(("POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n"):format(bytes)):answer()
      local value = assert(json.decode(answer.body))
      local code = status == 400 and "invalid" or "limit"
      assert.same({ status, "application/problem+json", status, code, "urn:weir:problem:" .. code },
        { answer.status, answer.headers["content-type"], value.status, value.code, value.type })
      assert.is_true(#value.title > 0 and #value.detail > 0)
    end
  end)

  it("refuses a request of HTTP/1.1 without a Host", function()
    serve(echo)
    assert.equal(400, send("GET / HTTP/1.1\r\n\r\n"):answer().status)
  end)

  it("refuses headers that are too large or too many", function()
    local calls = 0
    serve(function(request)
      calls = calls + 1
      request:respond(200, {}, "ok")
    end)
    assert.equal(200, ask("GET", "/", { ["X-Long"] = ("x"):rep(15000) }).status)
    assert.equal(431, ask("GET", "/", { ["X-Long"] = ("x"):rep(17000) }).status)
    assert.equal(431, ask("GET", "/", { ["X-Long"] = ("x"):rep(90000) }).status)
    assert.equal(431, send("GET / HTTP/1.1\r\nHost: a\r\n" .. ("A: b\r\n"):rep(100000) .. "\r\n"):answer().status)
    assert.equal(431, send("GET / HTTP/1.1\r\nHost: a\r\n" .. ("A: b\r\n"):rep(101) .. "\r\n"):answer().status)
    assert.equal(414, send("GET /" .. ("x"):rep(90000) .. " HTTP/1.1\r\nHost: a\r\n\r\n"):answer().status)
    assert.equal(1, calls)
  end)

  it("ends connections that are silent, and requests that come drop by drop", function()
    serve(echo, { idle = 1, receive = 1.5 })
    local silent, slow = connect(), send "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
    silent:start()
    slow:start()
    local drops = 0
    while not slow.ended do
      slow:send "x"
      drops = drops + 1
      assert.is_true(drops < 400)
      task.sleep(0.05)
    end
    assert.is_true(silent:closed())
    assert.equal(200, ask("GET", "/").status)
  end)

  it("takes no more connections of one address than allowed, and any number from a Unix socket up to the whole", function()
    serve(echo, { per_address = 2 })
    local first, second, third = connect(), connect(), connect()
    third:send(wire.request("GET", "/"))
    assert.is_nil(third:answer())
    first:send(wire.request("GET", "/"))
    assert.equal(200, first:answer().status)
    second:close()
    assert.is_true(wire.eventually(function()
      local answer = ask("GET", "/")
      return answer and answer.status == 200
    end))
  end)

  it("lets the next ones in when those that were as many as allowed have gone", function()
    serve(echo, { connections = 2, idle = 60 })
    for _ = 1, 5 do
      local first, second = connect(), connect()
      first:send(wire.request("GET", "/"))
      second:send(wire.request("GET", "/"))
      assert.equal(200, first:answer().status)
      assert.equal(200, second:answer().status)
      local third = send(wire.request("GET", "/")) -- waits at the door
      first:close()
      second:close()
      assert.equal(200, third:answer().status)
      third:close()
    end
  end)

  it("streams, and makes the writer wait while the client does not read", function()
    local written, ended = 0, nil
    serve(function(request)
      request:stream(200, { ["Content-Type"] = "text/event-stream" })
      for _ = 1, 160 do
        assert(request:write(("x"):rep(65536)))
        written = written + 1
      end
      request:close()
      ended = true
    end)
    local one = send(wire.request("GET", "/"))
    one:until_(function(bytes) return #bytes > 100000 end)
    one:stop()
    local before = -1
    assert.is_true(wire.eventually(function()
      local stands = written == before
      before = written
      task.sleep(0.1)
      return stands
    end))
    assert.is_nil(ended)
    assert.is_true(written < 160)
    one:until_(function(bytes) return bytes:sub(-5) == "0\r\n\r\n" end)
    assert.equal(160 * 65536, #one:answer().body)
    assert.is_true(ended)
  end)

  it("cancels the task of a request whose client goes away, while it works and while it streams", function()
    local ends = {}
    serve(function(request)
      local _ <close> = setmetatable({}, { __close = function(_, err) ends[request:target()] = err and err.code or "fine" end })
      if request:target() == "/stream" then request:stream(200, {}) end
      task.sleep(3600)
    end)
    for _, path in ipairs { "/work", "/stream" } do
      local one = send(wire.request("GET", path))
      assert.is_true(wire.eventually(function() return select(2, server:stats()) == 1 end))
      one:close()
      assert.is_true(wire.eventually(function() return ends[path] end))
      assert.equal("cancelled", ends[path])
    end
    assert.is_true(wire.eventually(function() return server:stats() == 0 end))
  end)

  it("tells a writer that the client has gone", function()
    local code
    serve(function(request)
      request:attach { cancel = function() end }
      request:stream(200, {})
      while true do
        local ok, _, why = request:write(("x"):rep(100000))
        if not ok then
          code = why
          return
        end
      end
    end)
    local one = send(wire.request("GET", "/"))
    one:until_(function(bytes) return #bytes > 1000 end)
    one:close()
    assert.is_true(wire.eventually(function() return code end))
  end)

  it("answers 500 when a handler raises or says nothing, and goes on", function()
    local errors = {}
    serve(function(request)
      if request:target() == "/raise" then error "out of cheese" end
      if request:target() == "/bad" then request:respond(200, { ["X-A"] = "b\r\nSet-Cookie: c" }, "") end
      if request:target() == "/twice" then
        request:respond(200, {}, "once")
        request:respond(200, {}, "twice")
      end
    end, { on_error = function(err) errors[#errors + 1] = err.message end })
    assert.equal(500, ask("GET", "/raise").status)
    assert.equal("once", ask("GET", "/twice").body)
    assert.matches("out of cheese", errors[1])
    assert.matches("answered already", errors[2])
    local answer = ask("GET", "/bad")
    assert.is_true(answer == nil or answer.status == 500)
    local one, is_over = send(wire.request("GET", "/nothing")), false
    scheduler.spawn(function() -- what was dropped is answered when it is collected
      repeat
        collectgarbage()
        scheduler.sleep(0.01)
      until is_over
    end)
    local status = one:answer().status
    is_over = true
    assert.equal(500, status)
  end)

  it("closes gracefully: those under way are answered, nobody new is let in", function()
    local go = scheduler.waiter()
    serve(function(request)
      go:wait "the word"
      request:respond(200, {}, "done")
    end)
    local one = send(wire.request("GET", "/"))
    assert.is_true(wire.eventually(function() return select(2, server:stats()) == 1 end))
    local closing = scheduler.spawn(function() server:close(30) end)
    assert.is_true(wire.eventually(function() return connect().refused end))
    go:wake()
    local answer = one:answer()
    assert.same({ 200, "done", "close" }, { answer.status, answer.body, answer.headers.connection:lower() })
    closing:join()
    assert.is_true(one:closed())
  end)

  it("cancels what is still under way when the grace is over", function()
    local code
    serve(function()
      local _ <close> = setmetatable({}, { __close = function(_, err) code = err and err.code end })
      task.sleep(3600)
    end)
    local one = send(wire.request("GET", "/"))
    assert.is_true(wire.eventually(function() return select(2, server:stats()) == 1 end))
    server:close(0.05)
    assert.equal("cancelled", code)
    assert.is_true(one:closed())
  end)

  it("survives what it does not understand", function()
    serve(echo)
    for _, bytes in ipairs { "\0\0\0\0", "\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\22\3\1\2\0\1\0\1\252\3\3", ("A"):rep(70000) } do
      local one = send(bytes)
      one:send "\r\n\r\n"
      one:close()
    end
    for _ = 1, 30 do connect():close() end
    assert.equal(200, ask("GET", "/").status)
  end)

  describe("on a Unix socket", function()
    local folder

    before_each(function() folder = system.temporary_folder "weir-http" end)
    after_each(function()
      if server then server:close(0) end
      server = nil
      os.remove(folder .. "/host.sock")
      uv.fs_rmdir(folder)
    end)

    it("knows who asks, and lets nobody else near the file", function()
      local peer
      serve(function(request)
        peer = request:peer()
        request:respond(200, {}, "ok")
      end, { path = folder .. "/host.sock" })
      assert.equal(200, ask("GET", "/").status)
      assert.equal(uv.getuid(), peer.uid)
      assert.equal(uv.os_getpid(), peer.pid)
      assert.equal("600", ("%o"):format(uv.fs_stat(folder .. "/host.sock").mode & 511))
      server:close(0)
      assert.is_nil(uv.fs_stat(folder .. "/host.sock"))
    end)

    it("takes the place of a socket that nobody answers, and of no other", function()
      local path = folder .. "/host.sock"
      serve(echo, { path = path })
      local _, _, code = port.listen({ path = path }, echo)
      assert.equal("conflict", code)
      local stale = uv.new_pipe(false)
      server:close(0)
      assert(stale:bind(path))
      local dead = folder .. "/dead.sock" -- as a process leaves it that was killed
      assert(uv.fs_link(path, dead))
      stale:close()
      task.sleep(0)
      assert(uv.fs_rename(dead, path))
      serve(echo, { path = path })
      assert.equal(200, ask("GET", "/").status)
      server:close(0)
      local file = assert(io.open(path, "w"))
      file:write "not a socket"
      file:close()
      _, _, code = port.listen({ path = path }, echo)
      assert.equal("conflict", code)
    end)

    it("refuses a folder that others may enter", function()
      uv.fs_chmod(folder, 493)
      local _, message, code = port.listen({ path = folder .. "/host.sock" }, echo)
      assert.equal("denied", code)
      assert.matches("0700", message)
    end)
  end)

  it("says why it cannot listen", function()
    serve(echo)
    local _, message, code = port.listen({ address = "127.0.0.1", port = server.port }, echo)
    assert.equal("conflict", code)
    assert.matches("in use", message)
    assert.equal("invalid", select(3, port.listen({ address = "localhost" }, echo)))
  end)

  it("knows the address of who asks", function()
    local peer
    serve(function(request)
      peer = request:peer()
      request:respond(200, {}, "ok")
    end)
    ask("GET", "/")
    assert.equal("127.0.0.1", peer.address)
    assert.equal("integer", math.type(peer.port))
  end)
end)

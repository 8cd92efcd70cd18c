local client = require "weir.native.http_client"
local loopback = dofile "spec/loopback.lua"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"

--- A server for one spec, on the same loop: `routes[path](send, request)` runs as a task.
local Server = {}
Server.__index = Server

local function parse(head)
  local method, path = head:match "^(%S+) (%S+)"
  local request = { method = method, path = path, headers = {} }
  for name, value in head:gmatch "\r\n([^:\r\n]+):[ \t]*([^\r\n]*)" do request.headers[name:lower()] = value end
  return request
end

local function respond(server, socket, request)
  local function send(bytes)
    if socket:is_closing() then return nil end
    local waiter = scheduler.waiter()
    socket:write(bytes, function(err) waiter:wake(err) end)
    return waiter:wait "a write" == nil
  end
  local route = server.routes[request.path]
  if route(send, request) == "close" and not socket:is_closing() then socket:close() end
end

local function on_data(server, socket, state, bytes)
  if not bytes then
    server.closed = server.closed + 1
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
    respond(server, socket, request)
  end
end

function Server.new(routes)
  local server = setmetatable({ routes = routes, closed = 0 }, Server)
  server.tcp = loopback.listen(function(socket)
    local state = { bytes = "" }
    socket:nodelay(true)
    socket:read_start(function(err, bytes) on_data(server, socket, state, not err and bytes or nil) end)
  end)
  server.url = server.tcp.url
  return server
end

function Server:get(path, options)
  options = options or {}
  options.url = self.url .. path
  return client.request(options)
end

function Server:close() self.tcp:close() end

local function answer(status, body, headers)
  return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"):format(status, #body, headers or "", body)
end

local function echo(send, request)
  local lines = { request.method, request.body }
  for name, value in pairs(request.headers) do table.insert(lines, name .. "=" .. value) end
  send(answer("200 OK", table.concat(lines, "\n")))
end

--- Looks again until it holds, for what another side does in its own time.
local function eventually(holds)
  for _ = 1, 400 do
    if holds() then return true end
    task.sleep(0.005)
  end
  return false
end

describe("http client", function()
  local server

  local function serve(routes)
    server = Server.new(routes)
    return server
  end

  after_each(function()
    if server then server:close() end
    server = nil
    collectgarbage()
    assert.equal(0, client.open())
  end)

  it("gives status, headers and body", function()
    serve { ["/"] = function(send) send(answer("201 Created", "hello", "X-One: 1\r\nX-Two: a\r\nx-two:  b \r\n")) end }
    local response = assert(server:get "/")
    assert.equal(201, response.status)
    assert.equal(server.url .. "/", response.url)
    assert.equal("1", response.headers["x-one"])
    assert.same({ "a", "b" }, response.headers["x-two"])
    assert.equal("hello", response:all())
    assert.is_nil(response:read())
  end)

  it("sends method, headers and body", function()
    serve { ["/"] = echo }
    local text = assert(server:get("/", {
      method = "PUT", body = "a\0b", headers = { ["X-Key"] = "k", ["X-Empty"] = "", ["X-Number"] = 5 },
    })):all() .. "\n"
    for _, line in ipairs { "PUT\na\0b\n", "\nx-key=k\n", "\nx-empty=\n", "\nx-number=5\n", "\ncontent-length=3\n" } do
      assert(text:find(line, 1, true), line)
    end
    assert.is_nil(text:find("content-type", 1, true))
    assert.equal("", server:get("/", { method = "HEAD" }):all())
    assert.matches("\ncontent%-length=0", server:get("/", { method = "POST" }):all())
  end)

  it("uses a connection again", function()
    serve { ["/"] = echo }
    for _ = 1, 5 do assert.truthy(server:get "/":all()) end
    assert.equal(1, server.tcp.accepted)
  end)

  it("hands out a stream piece by piece", function()
    local pieces = {}
    serve { ["/"] = function(send)
      send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      for i = 1, 3 do
        send(("4\r\nbit%d\r\n"):format(i))
        eventually(function() return #pieces >= i end)
      end
      send "0\r\n\r\n"
    end }
    local response = server:get "/"
    for piece in function() return response:read() end do table.insert(pieces, piece) end
    assert.equal("bit1bit2bit3", table.concat(pieces))
    assert.equal(3, #pieces)
    response = server:get "/"
    assert.equal("bi", response:read(2))
    assert.equal("t1", response:read(2))
    response:close()
    assert.equal("closed", select(3, response:read()))
    assert.is_true(eventually(function() return server.closed == 1 end))
  end)

  it("makes the sender wait when nobody reads", function()
    local sent, piece = 0, ("x"):rep(65536)
    serve { ["/"] = function(send)
      send "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n"
      while sent < 67108864 and send(piece) do sent = sent + #piece end
    end }
    local response = server:get "/"
    local held
    repeat -- until it stands still: what fits is what the kernel buffers
      held = sent
      task.sleep(0.2)
    until held == sent
    assert.is_true(held < 33554432)
    local total = 0
    for bytes in function() return response:read() end do
      assert.is_true(#bytes <= 262144 + 65536)
      total = total + #bytes
    end
    assert.equal(67108864, total)
  end)

  it("says what is wrong with a request", function()
    for _, options in ipairs {
      { url = "ftp://127.0.0.1/" }, { url = "file:///etc/passwd" }, { url = "127.0.0.1" }, { url = "http://" },
      { url = "http://a b/" }, { url = "http://127.0.0.1/\0" }, { url = "http://127.0.0.1/", method = "G E T" },
      { url = "http://127.0.0.1/", headers = { ["a b"] = "1" } }, { url = "http://127.0.0.1/", headers = { a = "1\r\nb: 2" } },
      { url = "http://127.0.0.1/", headers = { ["content-length"] = "7" } },
    } do
      local response, message, code = client.request(options)
      assert.is_nil(response, options.url)
      assert.equal("invalid", code, message)
    end
    assert.has_error(function() client.request { url = "http://127.0.0.1/", timeout = 0 } end)
    assert.has_error(function() client.request { url = "http://127.0.0.1/", follow = 4 } end)
    assert.has_error(function() client.request { url = "http://127.0.0.1/", addresses = "some" } end)
    assert.has_error(function() client.request {} end)
  end)

  it("reports a server that is not there, without the secrets of the url", function()
    local _, message, code = client.request { url = "http://user:pw@127.0.0.1:1/path?key=secret" }
    assert.equal("unavailable", code)
    assert.matches("^GET http://127.0.0.1:1/path: ", message)
    assert.is_nil(message:find("secret", 1, true))
  end)

  it("reports an answer that is cut or is not HTTP", function()
    serve {
      ["/cut"] = function(send)
        send "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
        return "close"
      end,
      ["/garbage"] = function(send)
        send "hello there\r\n\r\n"
        return "close"
      end,
    }
    local response = server:get "/cut"
    assert.equal("abc", response:read())
    assert.equal("unavailable", select(3, response:read()))
    assert.equal("unavailable", select(3, server:get "/cut":all()))
    assert.equal("unavailable", select(3, server:get "/garbage"))
  end)

  it("gives up when the whole or the silence takes too long", function()
    serve {
      ["/hang"] = function() task.sleep(2) end,
      ["/stall"] = function(send) send "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc" end,
      ["/drip"] = function(send)
        send "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
        for _ = 1, 10 do
          send "."
          task.sleep(0.15)
        end
      end,
    }
    assert.equal("timeout", select(3, server:get("/hang", { timeout = 0.05 })))
    local _, message, code = server:get("/hang", { idle_timeout = 0.05 })
    assert.equal("timeout", code)
    assert.matches("nothing came for 0.050 seconds", message)
    local response = server:get("/stall", { idle_timeout = 0.5 })
    assert.equal("abc", response:read())
    assert.equal("timeout", select(3, response:read()))
    assert.equal("..........", server:get("/drip", { idle_timeout = 1 }):all()) -- within longer than that
  end)

  it("does not take a slow reader for a silent server", function()
    serve { ["/"] = function(send) send(answer("200 OK", ("x"):rep(8000000))) end }
    local response = server:get("/", { idle_timeout = 1 })
    task.sleep(1.5)
    assert.equal(8000000, #assert(response:all()))
  end)

  it("keeps to the limit of a body", function()
    serve { ["/"] = function(send) send(answer("200 OK", ("x"):rep(1000))) end }
    assert.equal(1000, #server:get("/", { max_bytes = 1000 }):all())
    local _, message, code = server:get("/", { max_bytes = 999 }):all()
    assert.equal("limit", code)
    assert.matches("passes 999 bytes", message)
  end)

  it("keeps to the limit of the headers", function()
    serve { ["/"] = function(send) send(answer("200 OK", "", ("X-Filler: %s\r\n"):format(("v"):rep(1000)):rep(270))) end }
    local _, message, code = server:get "/"
    assert.equal("limit", code)
    assert.matches("headers pass 256 KiB", message)
  end)

  it("follows redirects, three at most", function()
    serve {
      ["/a"] = function(send) send(answer("302 Found", "moved", "Location: /b\r\n")) end,
      ["/b"] = function(send) send(answer("307 Temporary Redirect", "", "Location: c\r\n")) end,
      ["/c"] = echo,
      ["/see"] = function(send) send(answer("303 See Other", "", "Location: /c\r\n")) end,
      ["/loop"] = function(send) send(answer("302 Found", "", "Location: /loop\r\n")) end,
      ["/away"] = function(send) send(answer("302 Found", "", "Location: file:///etc/passwd\r\n")) end,
    }
    local response = server:get "/a"
    assert.equal(server.url .. "/c", response.url)
    assert.equal("GET", response:all():match "^%u+")
    assert.equal(302, server:get("/a", { follow = 0 }).status)
    assert.equal("GET\n\n", server:get("/see", { method = "POST", body = "x" }):all():match "^%u+\n[^\n]*\n")
    assert.equal("GET\n\n", server:get("/a", { method = "POST", body = "x" }):all():match "^%u+\n[^\n]*\n")
    assert.equal("POST\nx\n", server:get("/b", { method = "POST", body = "x" }):all():match "^%u+\n[^\n]*\n")
    local _, message, code = server:get "/loop"
    assert.equal("limit", code)
    assert.matches("more than 3 redirects", message)
    assert.equal("invalid", select(3, server:get "/away"))
  end)

  it("keeps keys to the host that they were meant for", function()
    local other = Server.new { ["/"] = echo }
    serve {
      ["/out"] = function(send) send(answer("307 Temporary Redirect", "", ("Location: %s/\r\n"):format(other.url))) end,
      ["/in"] = function(send) send(answer("307 Temporary Redirect", "", "Location: /\r\n")) end,
      ["/"] = echo,
    }
    local headers = { Authorization = "k1", ["X-Api-Key"] = "k2", Cookie = "k3", Accept = "text/x" }
    local inside = server:get("/in", { headers = headers }):all()
    local outside = server:get("/out", { headers = headers }):all()
    other:close()
    for _, line in ipairs { "authorization=k1", "x-api-key=k2", "cookie=k3", "accept=text/x" } do
      assert(inside:find(line, 1, true), line)
    end
    assert.is_nil(outside:find "k%d")
    assert(outside:find("accept=text/x", 1, true))
  end)

  it("connects only where it is allowed to", function()
    serve {
      ["/"] = echo,
      ["/to"] = function(send) send(answer("302 Found", "", "Location: http://127.0.0.1:1/\r\n")) end,
    }
    assert.equal(200, server:get("/", { addresses = "any" }).status)
    assert.equal(200, server:get("/", { addresses = "loopback" }).status)
    local _, message, code = server:get("/", { addresses = "public" }) -- although a connection is open
    assert.equal("denied", code)
    assert.matches("address is not allowed", message)
    for _, host in ipairs { "localhost", "0x7f000001", "2130706433", "127.1", "0177.0.0.1", "0", "[::ffff:127.0.0.1]", "[::1]",
      "169.254.169.254", "10.0.0.1", "[fe80::1]", "[64:ff9b::7f00:1]" } do
      local port = server.url:match "%d+$"
      local response, why, denied = client.request { url = ("http://%s:%s/"):format(host, port), addresses = "public", timeout = 1 }
      assert(response == nil and (denied == "denied" or denied == "invalid" or denied == "unavailable"), host)
      if denied == "unavailable" then assert.is_nil(why:find "200", host) end
    end
    assert.equal(1, server.tcp.accepted)
  end)

  it("asks only the hosts that it may, after each redirect too", function()
    local other, port = "http://localhost:", nil
    serve {
      ["/"] = echo,
      ["/in"] = function(send) send(answer("302 Found", "", "Location: /\r\n")) end,
      ["/out"] = function(send) send(answer("302 Found", "", ("Location: %s%s/\r\n"):format(other, port))) end,
      ["/odd"] = function(send) send(answer("302 Found", "", ("Location: http://127.0.0.1@localhost:%s/\r\n"):format(port))) end,
    }
    port = server.url:match "%d+$"
    for _, path in ipairs { "/", "/in" } do assert.equal(200, server:get(path, { hosts = { "no.example", "127.0.0.1" } }).status) end
    assert.equal(200, server:get("/out", { hosts = { "127.0.0.1", "LOCALHOST" } }).status)
    local before = server.tcp.accepted
    for _, path in ipairs { "/out", "/odd" } do
      local response, message, code = server:get(path, { hosts = { "127.0.0.1", "*.localhost", "ocalhost" } })
      assert.is_nil(response)
      assert.equal("denied", code)
      assert.matches("GET http://localhost:" .. port .. "/: redirected here: the host is not among those that may be asked", message, 1, true)
    end
    assert.equal("denied", select(3, server:get("/", { hosts = {} })))
    assert.equal("denied", select(3, server:get("/", { hosts = { "*.127.0.0.1", "27.0.0.1", "127.0.0.1." } })))
    assert.equal(before, server.tcp.accepted)
    assert.has_error(function() server:get("/", { hosts = "127.0.0.1" }) end)
    assert.has_error(function() server:get("/", { hosts = { 1 } }) end)
  end)

  it("closes the socket at once when the task is cancelled", function()
    serve {
      ["/hang"] = function() task.sleep(2) end,
      ["/quiet"] = function(send) send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n" end,
      ["/drip"] = function(send)
        send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while send "1\r\n.\r\n" do task.sleep(0.005) end
      end,
    }
    local bodies = {
      function() server:get "/hang" end,
      function()
        local response = server:get "/quiet"
        while response:read() do end
      end,
      function() server:get "/quiet":all() end,
      function()
        local response <close> = server:get "/drip" -- it may just have been given something
        while response:read() do end
      end,
      function()
        local response <close> = server:get "/drip" -- luacheck: ignore 211
        task.sleep(10)
      end,
    }
    for i, body in ipairs(bodies) do
      local ok, failure = task.within({ timeout = 0.3 }, body)
      assert.is_false(ok)
      assert.equal("timeout", failure.code)
      assert.equal(0, client.open())
      assert.is_true(eventually(function() return server.closed == i end))
    end
  end)

  it("lets one task read a response and tells the other", function()
    serve { ["/"] = function(send) send "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" end }
    local response = server:get "/"
    local code, failed
    task.within({}, function()
      scheduler.spawn(function() code = select(3, response:read()) end)
      task.sleep(0.02)
      failed = not pcall(response.read, response)
      response:close()
    end)
    assert.is_true(failed)
    assert.equal("closed", code)
  end)

  it("closes what nobody holds any more", function()
    serve { ["/"] = function(send) send "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" end }
    assert.equal(200, server:get "/".status)
    collectgarbage()
    collectgarbage()
    assert.equal(0, client.open())
  end)

  it("serves many tasks at once", function()
    serve { ["/"] = echo }
    local done = 0
    task.within({}, function()
      for _ = 1, 50 do
        scheduler.spawn(function()
          for _ = 1, 4 do assert.truthy(server:get "/":all()) end
          done = done + 1
        end)
      end
    end)
    assert.equal(50, done)
  end)
end)

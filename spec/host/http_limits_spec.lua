-- Test 90: what a server does to one who asks it. Each ends at a limit, with a value and not a raise, and what was taken
-- is bounded whatever was sent.

local client = require "weir.native.http_client"
local loopback = dofile "spec/loopback.lua"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"

local MIB = 1 << 20
local GIB = 1 << 30
local SLACK = 32 * MIB -- what the kernel and the loop hold between the two
local PATIENCE = 60 -- seconds until a spec gives up

describe("a request to a server that means ill", function()
  local server, sent

  -- Answers with a head, then with pieces as they are taken, up to a GiB.
  local function serve(head, piece)
    sent = 0
    server = loopback.listen(function(socket)
      local function more()
        while sent < GIB do
          if socket:is_closing() then return end
          local waiter = scheduler.waiter()
          socket:write(piece, function(err) waiter:wake(err or false) end)
          if waiter:wait("a write", PATIENCE) then return end
          sent = sent + #piece
        end
      end
      socket:read_start(function(_, bytes)
        if not bytes then return socket:is_closing() or socket:close() end
        if socket:is_closing() or not bytes:find "^GET" then return end
        socket:write(type(head) == "function" and head() or head)
        if piece then more() end
      end)
    end)
    return server.url .. "/"
  end
  after_each(function()
    server:close()
    collectgarbage()
    assert.equal(0, client.open())
  end)

  local function fetch(request)
    local response <close>, message, code = client.request(request)
    if not response then return nil, message, code end
    return response:all()
  end

  local function memory() return scheduler.stats().memory_bytes end

  it("takes no more of a body of a GiB than it may, whether its length is said or not", function()
    for _, head in ipairs { "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n" } do
      local url, before = serve(head, ("x"):rep(MIB)), memory()
      local _, message, code = fetch { url = url, max_bytes = MIB }
      assert.equal("limit", code)
      assert.matches("passes 1048576 bytes", message)
      assert.is_true(sent < SLACK, sent)
      assert.is_true(memory() - before < SLACK)
      server:close()
    end
    serve ""
  end)

  it("takes 64 MiB when no limit is said", function()
    local url = serve("HTTP/1.1 200 OK\r\n\r\n", ("x"):rep(MIB))
    assert.equal("limit", select(3, fetch { url = url }))
    assert.is_true(sent < 64 * MIB + SLACK, sent)
  end)

  it("gives up when the whole takes too long, although something comes all the time", function()
    local url = serve(function()
      local own = server
      task.spawn(function()
        while not own.is_closed do
          for _, one in ipairs(own.clients) do
            if not one:is_closing() then one:write "." end
          end
          task.sleep(0.01)
        end
      end)
      return "HTTP/1.1 200 OK\r\n\r\n"
    end)
    local _, message, code = fetch { url = url, timeout = 0.3, idle_timeout = PATIENCE }
    assert.equal("timeout", code, message)
  end)

  it("reads no headers without end: one of a MiB, many, and answers before the answer", function()
    for name, given in pairs { ["one long"] = { "HTTP/1.1 200 OK\r\nX-Long: ", ("v"):rep(MIB) },
      many = { "HTTP/1.1 200 OK\r\n", ("X-A: %s\r\n"):format(("v"):rep(1000)):rep(100) },
      before = { "HTTP/1.1 103 Early Hints\r\n\r\n", ("HTTP/1.1 103 Early Hints\r\nX-A: 1\r\n\r\n"):rep(1000) },
      ["behind the body"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n1\r\nx\r\n0\r\n", ("X-A: %s\r\n"):format(("v"):rep(1000)):rep(100) } } do
      local url = serve(given[1], given[2])
      local body, message, code = fetch { url = url, timeout = PATIENCE }
      assert.is_nil(body, name)
      assert.is_true(code == "limit" or code == "unavailable", ("%s: %s: %s"):format(name, code, message))
      assert.is_true(sent < SLACK, name .. sent)
      server:close()
    end
    serve ""
  end)

  it("takes a chunk whose size never ends for silence", function()
    local url, before = serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", ("v"):rep(MIB)), memory()
    assert.equal("timeout", select(3, fetch { url = url, timeout = PATIENCE, idle_timeout = 0.5 }))
    assert.is_true(memory() - before < SLACK)
  end)

  it("unpacks nothing that it did not ask for: a small body stays small", function()
    local packed = "\31\139\8\0\0\0\0\0\2\3" .. ("\0"):rep(100)
    local url = serve(("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"):format(#packed, packed))
    assert.equal(packed, fetch { url = url })
  end)

  it("follows three redirects of one that never ends, whose bodies are without end too", function()
    local asked = 0
    local url = serve(function()
      asked = asked + 1
      return "HTTP/1.1 302 Found\r\nLocation: /" .. asked .. "\r\nContent-Length: 0\r\n\r\n"
    end)
    local _, message, code = fetch { url = url }
    assert.equal("limit", code)
    assert.matches("more than 3 redirects", message)
    assert.equal(4, asked)
    server:close()
    url = serve("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 1073741824\r\n\r\n", ("x"):rep(MIB))
    assert.matches("body of a redirect", (select(2, fetch { url = url, timeout = PATIENCE })))
    assert.is_true(sent < SLACK, sent)
  end)
end)

local http = require "weir.port.http"
local loopback = dofile "spec/loopback.lua"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local proof = require "weir.proof"
local task = require "weir.task"

-- What is noted while a body is cancelled after some milliseconds.
local function noted(body, seconds)
  local context = {}
  local outer = native.context()
  native.set_context(context)
  task.within({ timeout = seconds or 0.03 }, body)
  native.set_context(outer)
  return proof.take(context)
end

-- Accepts connections; answers the first piece of a body that never ends where the path says so.
local function new_server()
  return loopback.listen(function(client)
    client:read_start(function(_, bytes)
      if bytes and bytes:find "^GET /body" then client:write "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" end
      if bytes and bytes:find "^GET /whole" then client:write "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" end
    end)
  end)
end

local function close_server(server)
  server:close()
  native.sleep(0.01)
end

describe("the proof of what was stopped", function()
  it("counts by what it was and its name, and is told once", function()
    local context = {}
    native.set_context(context)
    proof.stopped("process", "sh")
    proof.stopped("process", "sh", true)
    proof.stopped "sleep"
    native.set_context(nil)
    assert.same({ { what = "process", name = "sh", count = 2, unseen = 1 }, { what = "sleep", count = 1 } }, proof.take(context))
    assert.is_nil(proof.take(context))
  end)

  it("stays small, however many names there are", function()
    local context = {}
    native.set_context(context)
    for number = 1, 1000 do proof.stopped("request", "host" .. number) end
    native.set_context(nil)
    local list, count = proof.take(context), 0
    for _, entry in ipairs(list) do count = count + entry.count end
    assert.same({ 17, 1000 }, { #list, count })
  end)

  it("is the own affair of whoever stops something outside of all contexts", function()
    proof.stopped "process"
    assert.is_nil(proof.take {})
  end)

  it("has the processes of a cancelled task, awaited or beside it", function()
    assert.same({ { what = "process", name = "sleep", count = 1 } }, noted(function() process.run { "sleep", "100" } end))
    assert.same({ { what = "process", name = "sleep", count = 2 } }, noted(function()
      process.start { "sleep", "100" }
      process.start { "sleep", "100" }
      native.sleep(100)
    end))
    assert.is_nil(noted(function() process.run { "true" } end, 5))
  end)

  it("has requests, before their headers and in their bodies, by the host that was asked and nothing more", function()
    local server = new_server()
    for _, path in ipairs { "/headers?key=secret", "/body?key=secret" } do
      assert.same({ { what = "request", name = server.url, count = 1 } }, noted(function()
        http.fetch { url = server.url:gsub("//", "//ada:secret@") .. path }
      end))
    end
    assert.same({ { what = "request", name = server.url, count = 1 } }, noted(function()
      local response <close> = http.open { url = server.url .. "/body" }
      assert.equal("hello", response:read())
      response:read()
    end))
    assert.is_nil(noted(function() assert.equal("hello", http.fetch({ url = server.url .. "/whole" }).body) end, 5))
    close_server(server)
  end)
end)

local native = require "weir.native.scheduler"
local socket = require "weir.port.socket"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local uv = require "luv"

describe("a socket of lines", function()
  local folder, listener, accepted, arrival
  before_each(function()
    folder, accepted, arrival = support.folder(), {}, native.waiter()
  end)
  after_each(function()
    if listener then listener:close() end
    for _, connection in ipairs(accepted) do connection:close() end
    support.remove(folder)
  end)

  local function listen(path)
    listener = assert(socket.listen(path or folder .. "/s.sock", function(connection)
      accepted[#accepted + 1] = connection
      arrival:wake()
    end))
    return listener.path
  end

  local function pair(path)
    local client = assert(socket.connect(listen(path)))
    arrival:wait("a connection", 20)
    return client, accepted[1]
  end

  it("carries lines both ways, in order, however they are cut", function()
    local client, server = pair()
    assert(client:write "one\ntw")
    assert(client:write "o\n\nfour\n")
    for _, line in ipairs { "one", "two", "", "four" } do assert.equal(line, server:read_line(20)) end
    assert(server:write "back\n")
    assert.equal("back", client:read_line(20))
    client:close()
    assert.same({ nil, "the connection is closed", "closed" }, { server:read_line(20) })
  end)

  it("is the owner's alone, and knows who is at the other end", function()
    local client, server = pair()
    assert.equal(384, assert(uv.fs_stat(folder .. "/s.sock")).mode & 511)
    assert.equal(uv.getuid(), server.uid)
    assert.equal(uv.os_getpid(), server.pid)
    client:close()
  end)

  it("carries long lines, and holds the writer back while they are not read", function()
    local client, server = pair()
    local line = ("x"):rep(4 << 20)
    local sent = false
    assert(task.within({}, function()
      task.spawn(function()
        for _ = 1, 3 do assert(client:write(line .. "\n")) end
        sent = true
      end)
      task.sleep(0.05)
      assert.is_false(sent)
      for _ = 1, 3 do assert.equal(#line, #server:read_line(20)) end
    end))
    assert.is_true(sent)
    client:close()
  end)

  it("refuses a line without end", function()
    local client, server = pair()
    local code
    assert(task.within({}, function(scope)
      task.spawn(function()
        local piece = ("x"):rep(1 << 20)
        while client:write(piece) do task.yield() end
      end)
      code = select(3, server:read_line(60))
      client:close()
      server:close()
      scope:cancel "enough"
    end) == false)
    assert.equal("limit", code)
  end)

  it("takes the place of one whose process is gone, not of one that answers", function()
    local path = listen()
    local ok, message, code = socket.listen(path, function() end)
    assert.is_nil(ok)
    assert.equal("conflict", code)
    assert.matches("another process listens there", message)
    listener:close()
    assert.is_nil(uv.fs_stat(path))
    local stale = assert(uv.new_pipe(false))
    assert(stale:bind(path)) -- bound, and nobody listens
    assert.equal("not_found", select(3, socket.connect(path)))
    local client = pair()
    client:close()
    stale:close()
  end)

  it("is reached by a path that is longer than an address", function()
    local deep = folder .. "/" .. ("d"):rep(100)
    assert(uv.fs_mkdir(deep, 448))
    local client, server = pair(deep .. "/s.sock")
    assert(client:write "far\n")
    assert.equal("far", server:read_line(20))
    client:close()
  end)

  it("says when nobody is there", function()
    assert.equal("not_found", select(3, socket.connect(folder .. "/none.sock")))
  end)
end)

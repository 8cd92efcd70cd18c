local native = require "weir.native.scheduler"
local task = require "weir.task"
local uv = require "luv"

local PATIENCE = 20 -- seconds that a callback may take to come, and what it left to go

-- Runs `arm` with a function that is to be the callback, and waits until the callback has come.
local function called(arm)
  local waiter = native.waiter()
  local handle = arm(function(...)
    native.sleep(0) -- a callback is a task: it may wait
    waiter:wake(...)
  end)
  local results = table.pack(waiter:wait("a callback", PATIENCE))
  return handle, results
end

local function descriptors()
  local count = 0
  for _ in uv.fs_scandir_next, uv.fs_scandir "/proc/self/fd" do count = count + 1 end
  return count
end

local function close(...)
  for _, handle in ipairs { ... } do
    if not handle:is_closing() then handle:close() end
  end
  native.sleep(0.001)
end

-- What each type of handle or request needs to call back once.
local KINDS = {}

function KINDS.timer(back)
  local handle = uv.new_timer()
  handle:start(1, 0, back)
  return handle
end

function KINDS.async(back)
  local handle = uv.new_async(back)
  handle:send()
  return handle
end

function KINDS.idle(back)
  local handle = uv.new_idle()
  handle:start(function() handle:stop() back() end)
  return handle
end

-- These are called when the loop polls, which it does only when something else is due.
local function nudge()
  local timer = uv.new_timer()
  timer:start(1, 0, function() timer:close() end)
end

function KINDS.check(back)
  local handle = uv.new_check()
  handle:start(function() handle:stop() back() end)
  nudge()
  return handle
end

function KINDS.prepare(back)
  local handle = uv.new_prepare()
  handle:start(function() handle:stop() back() end)
  nudge()
  return handle
end

function KINDS.poll(back)
  local pipe = assert(uv.pipe())
  uv.fs_write(pipe.write, "x")
  local handle = uv.new_poll(pipe.read)
  handle:start("r", function()
    handle:stop()
    uv.fs_close(pipe.read)
    uv.fs_close(pipe.write)
    back()
  end)
  return handle
end

function KINDS.fs_stat(back) uv.fs_stat("/", back) end
function KINDS.fs_open(back)
  uv.fs_open("/dev/null", "r", 0, function(_, fd)
    uv.fs_close(fd)
    back()
  end)
end

function KINDS.process(back)
  local handle
  handle = uv.spawn("true", { args = {} }, function(...) handle:close() back(...) end)
  return handle
end

function KINDS.signal(back)
  local handle = uv.new_signal()
  handle:start("sigusr1", back)
  uv.kill(uv.os_getpid(), "sigusr1")
  return handle
end

function KINDS.getaddrinfo(back) uv.getaddrinfo("127.0.0.1", nil, nil, back) end
function KINDS.getnameinfo(back) uv.getnameinfo({ ip = "127.0.0.1", port = 80 }, back) end
function KINDS.random(back) uv.random(8, nil, back) end

function KINDS.pipe_read(back)
  local ends = assert(uv.pipe({ nonblock = true }, { nonblock = true }))
  local handle = uv.new_pipe(false)
  handle:open(ends.read)
  handle:read_start(back)
  uv.fs_write(ends.write, "text")
  uv.fs_close(ends.write)
  return handle
end

function KINDS.pipe_write(back)
  local ends = assert(uv.pipe({ nonblock = true }, { nonblock = true }))
  local handle = uv.new_pipe(false)
  handle:open(ends.write)
  handle:write("text", function(err) uv.fs_close(ends.read) back(err) end)
  return handle
end

local function server(on_client)
  local listener = uv.new_tcp()
  listener:bind("127.0.0.1", 0)
  listener:listen(8, function() on_client(listener) end)
  return listener, listener:getsockname().port
end

function KINDS.tcp_listen(back)
  local listener, port = server(back)
  local client = uv.new_tcp()
  client:connect("127.0.0.1", port, function() client:close() end)
  return listener
end

function KINDS.tcp_connect(back)
  local listener, port
  listener, port = server(function() end)
  local client = uv.new_tcp()
  client:connect("127.0.0.1", port, function(err) listener:close() back(err) end)
  return client
end

local function connected(back, act)
  local accepted = uv.new_tcp()
  local listener, port
  listener, port = server(function()
    listener:accept(accepted)
    listener:close()
    act(accepted, back)
  end)
  local client = uv.new_tcp()
  client:connect("127.0.0.1", port, function() client:write("hello", function() client:close() end) end)
  return accepted
end

function KINDS.tcp_read(back) return connected(back, function(accepted) accepted:read_start(back) end) end
function KINDS.tcp_write(back) return connected(back, function(accepted) accepted:write("x", back) end) end
function KINDS.tcp_shutdown(back) return connected(back, function(accepted) accepted:shutdown(back) end) end

function KINDS.udp_recv(back)
  local handle = uv.new_udp()
  handle:bind("127.0.0.1", 0)
  handle:recv_start(back)
  handle:try_send("x", "127.0.0.1", handle:getsockname().port)
  return handle
end

function KINDS.udp_send(back)
  local handle = uv.new_udp()
  handle:send("x", "127.0.0.1", 9, back)
  return handle
end

function KINDS.close(back)
  uv.new_timer():close(back)
end

function KINDS.fs_event(back)
  local folder = assert(uv.fs_mkdtemp "/tmp/weir-callback-XXXXXX")
  local handle = uv.new_fs_event()
  handle:start(folder, {}, function() back() end)
  uv.fs_close(uv.fs_open(folder .. "/x", "w", 384))
  uv.fs_unlink(folder .. "/x")
  uv.fs_rmdir(folder)
  return handle
end

describe("a callback of luv", function()
  local tasks_before

  before_each(function() tasks_before = native.stats().tasks end)

  after_each(function()
    for _ = 1, 5 do native.sleep(0.001) end
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  local names = {}
  for name in pairs(KINDS) do names[#names + 1] = name end
  table.sort(names)

  for _, name in ipairs(names) do
    it("is a task that may wait: " .. name, function()
      for round = 1, 2 do -- the first round opens what libuv keeps for ever
        native.sleep(0.002)
        local was_alive, open_before = uv.loop_alive(), descriptors()
        local handle, results = called(KINDS[name])
        assert.not_equal("timeout", results[3])
        if handle then close(handle) end
        local deadline = native.now() + PATIENCE
        local function has_left() return (was_alive or not uv.loop_alive()) and (round == 1 or descriptors() <= open_before) end
        while not has_left() and native.now() < deadline do native.sleep(0.005) end
        assert.is_true(has_left())
      end
    end)
  end

  it("ends nothing but itself when it raises, yields or returns rubbish", function()
    local process = require "weir.port.process"
    local folder = assert(uv.fs_mkdtemp "/tmp/weir-callback-XXXXXX")
    local path = folder .. "/bad_spec.lua"
    local file = assert(io.open(path, "w"))
    file:write [[
      local native = require "weir.native.scheduler"
      local uv = require "luv"
      it("goes on", function()
        local bad = {
          function() error "a callback broke" end, function() error() end, function() error(setmetatable({}, { __tostring = error })) end,
          function() coroutine.yield(1) end, function() return 1, {}, print, nil end, function() error(("x"):rep(1 << 20)) end,
          function() local t = nil; return t.x end, function() error(io.stdout) end, function() string.rep() end,
        }
        local calls = 0
        for _, callback in ipairs(bad) do
          local timer, async = uv.new_timer(), nil
          timer:start(0, 0, function() calls = calls + 1 timer:close() callback() end)
          async = uv.new_async(function() calls = calls + 1 async:close() callback() end)
          async:send()
          uv.fs_stat("/", function() calls = calls + 1 callback() end)
        end
        while calls < 3 * #bad do native.sleep(0.005) end
        native.sleep(0.01)
        assert.equal(1, #native.tasks())
        print "survived"
      end)
    ]]
    file:close()
    local result = assert(process.run({ uv.exepath(), "test", path }, { timeout = 30 }))
    process.run { "rm", "-rf", folder }
    assert.equal(0, result.status, result.stdout .. result.stderr)
    assert.matches("survived", result.stdout)
    assert.matches("a callback broke", result.stderr)
    assert.is_true(#result.stderr < 64 * 4096, #result.stderr) -- the megabyte was cut
  end)

  it("belongs to the scope that was open when it was bound, and ends with it", function()
    local ended
    local timer = uv.new_timer()
    local ok, err = task.within({ timeout = 0.05 }, function()
      timer:start(1, 0, native.bind(function()
        local _ <close> = setmetatable({}, { __close = function() ended = true end })
        native.sleep(100)
      end))
      native.sleep(100)
    end)
    timer:close()
    assert.same({ false, "timeout" }, { ok, err.code })
    assert.is_true(ended)
  end)

  it("is not run any more when its scope has been closed", function()
    local came = false
    local timer = uv.new_timer()
    task.within({}, function() timer:start(5, 0, native.bind(function() came = true end)) end)
    native.sleep(0.03)
    timer:close()
    assert.is_false(came)
  end)

  it("fails the scope it is bound to when it raises", function()
    local timer = uv.new_timer()
    local ok, err = task.within({}, function()
      timer:start(1, 0, native.bind(function() error { code = "unavailable", message = "the line went dead" } end))
      native.sleep(10)
    end)
    timer:close()
    assert.same({ false, "the line went dead" }, { ok, err.message })
  end)

  it("that was bound works as the function it is when Lua calls it", function()
    local bound = native.bind(function(a, b) return a + b, "x" end)
    assert.same({ 3, "x" }, { bound(1, 2) })
  end)
end)

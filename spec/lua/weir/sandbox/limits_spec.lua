-- Tests 73, 74 and 76.
local sandbox = require "weir.sandbox"
local task = require "weir.task"
local uv = require "luv"

local CALLS = tonumber(os.getenv "WEIR_SANDBOX_CALLS") or 200

local function run(body, limits)
  return sandbox.run { name = "work", limits = limits, source = ("return { execute = function(ctx, input) %s\nend }"):format(body) }
end

local function resident()
  local file = assert(io.open("/proc/self/status", "rb"))
  local text = file:read "a"
  file:close()
  return tonumber(text:match "RssAnon:%s*(%d+)") << 10
end

local function entries(folder)
  local count = 0
  for _ in uv.fs_scandir_next, uv.fs_scandir(folder) do count = count + 1 end
  return count
end

-- Of this process: others may have sandboxes of their own.
local function zombies()
  local count, own = 0, ("(weir_sandbox) Z %d "):format(uv.os_getpid())
  for name in uv.fs_scandir_next, uv.fs_scandir "/proc" do
    local file = name:match "^%d+$" and io.open(("/proc/%s/stat"):format(name), "rb")
    local line = file and file:read "a"
    if file then file:close() end
    if line and line:find(own, 1, true) then count = count + 1 end
  end
  return count
end

local LOOPS = {
  "while true do end", "::a:: goto a", "local function f() return f() end f()",
  "while true do pcall(function() while true do end end) end", "xpcall(error, function() while true do end end)",
  "('a'):rep(40):find(('a?'):rep(40) .. ('a'):rep(40))", "('a'):rep(6000):find('.-.-.-.-b')", "string.rep('', 1 << 62)",
  "table.move({}, 1, 1 << 60, 2)", "local s = ('x'):rep(1 << 26) while true do s:reverse() end",
  "coroutine.wrap(function() while true do end end)()", "while true do load('return 1') end",
}

describe("the sandbox's limits", function()
  it("end each of twelve loops that nothing interrupts, by processor time", function()
    local left, seen = table.move(LOOPS, 1, #LOOPS, 1, {}), {}
    local function work()
      while #left > 0 do
        local loop = table.remove(left)
        local _, message, code = run(loop, { cpu_seconds = 1, seconds = 120 })
        seen[#seen + 1] = { code, message:match "more than 1 seconds of processor time", loop }
      end
    end
    assert(task.within({}, function() -- two at a time
      task.spawn(work)
      task.spawn(work)
    end))
    assert.equal(12, #seen)
    for _, one in ipairs(seen) do assert.same({ "limit", "more than 1 seconds of processor time" }, { one[1], one[2] }, one[3]) end
  end)

  it("leave the host's loop to everybody else meanwhile", function()
    local ticks, done = 0, false
    assert(task.within({}, function()
      task.spawn(function()
        run("while true do end", { cpu_seconds = 1, seconds = 120 })
        done = true
      end)
      while not done do
        task.sleep(0.005)
        ticks = ticks + 1
      end
    end))
    assert.is_true(ticks >= 50, ticks .. " turns in a second")
  end)

  it("end it by the clock on the wall, without the time that the host takes for it", function()
    local slow = { wait = function() task.sleep(1.1) return 1 end }
    assert.equal(3, assert(sandbox.run { name = "work", limits = { seconds = 3 }, grants = slow,
      source = "return { execute = function(ctx) return ctx:wait() + ctx:wait() + ctx:wait() end }" }).output)
    local _, message, code = sandbox.run { name = "work", limits = { seconds = 0.5, cpu_seconds = 60 },
      source = "return { execute = function() while true do end end }" }
    assert.equal("timeout", code)
    assert.match("no answer within 0.5 seconds", message, 1, true)
  end)

  it("bound how often it asks", function()
    local count = 0
    local _, message, code = sandbox.run { name = "work", limits = { calls = 5 }, grants = { ask = function() count = count + 1 return 1 end },
      source = "return { execute = function(ctx) while true do ctx:ask() end end }" }
    assert.equal("limit", code)
    assert.match("more than 5 things", message, 1, true)
    assert.equal(5, count)
  end)

  it("end what takes memory alone: the host stays as large as it was", function()
    run "return 1"
    local before = resident()
    for _, body in ipairs { "return ('x'):rep(1 << 30)", "local s = 'x' while true do s = s .. s end",
      "local t = {} for i = 1, math.huge do t[i] = { i } end", "local t = {} for i = 1, math.huge do t[i] = 'a' .. i end" } do
      local _, message, code = run(body, { cpu_seconds = 60, seconds = 120, memory_bytes = 64 << 20 })
      assert.equal("limit", code, message)
      assert.match("memory", message)
    end
    assert.equal("failed", select(3, run "local function f() return 1 + f() end return f()"))
    collectgarbage()
    assert.is_true(resident() - before < 16 << 20, resident() - before .. " bytes more")
  end)

  it("of memory are as large as was asked", function()
    local body = "return #('x'):rep(100 << 20)"
    assert.equal(100 << 20, assert(run(body, { memory_bytes = 512 << 20 })).output)
    assert.equal("limit", select(3, run(body, { memory_bytes = 64 << 20 })))
  end)

  it("bound all that it says, in bytes", function()
    local _, message, code = run("while true do print(('x'):rep(1000)) end", { output_bytes = 100000 })
    assert.equal("limit", code)
    assert.match("more than 100000 bytes", message, 1, true)
  end)

  it("leave no process, descriptor or file behind after many calls", function()
    run "return 1"
    local descriptors, files = entries "/proc/self/fd", entries "/tmp"
    local left, failures = CALLS, 0
    assert(task.within({}, function()
      for _ = 1, 4 do
        task.spawn(function()
          while left > 0 do
            left = left - 1
            local result = run "return 1"
            if not result or result.output ~= 1 then failures = failures + 1 end
          end
        end)
      end
    end))
    assert.equal(0, failures)
    assert.equal(0, zombies())
    assert.equal(descriptors, entries "/proc/self/fd")
    assert.is_true(entries "/tmp" - files < CALLS / 2) -- others use the folder too
  end)
end)

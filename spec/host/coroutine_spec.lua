local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local task = require "weir.task"

local WORKLOAD = "spec/host/coroutine_workload.lua"
local PREEMPTIONS = 1000000
local NIGHTLY = 20 -- times as many with WEIR_NIGHTLY set
local INSTRUCTIONS = 7 -- to a drawn preemption, at most

local function first_difference(expected, got)
  local number = 0
  local lines = got:gmatch "[^\n]*"
  for line in expected:gmatch "[^\n]*" do
    number = number + 1
    local other = lines()
    if line ~= other then return ("line %d: '%s' instead of '%s'"):format(number, tostring(other), line) end
  end
  return nil
end

local function closer(log, name)
  return setmetatable({}, { __close = function() log[#log + 1] = name end })
end

describe("the host's coroutine library", function()
  local workload = assert(loadfile(WORKLOAD))()
  local tasks_before

  before_each(function() tasks_before = native.stats().tasks end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  -- In a coroutine, so that neither sees its own main thread.
  local function result_here()
    local ok, text = native.spawn(function() return workload(coroutine) end):join()
    assert.is_true(ok, text)
    return text
  end

  it("gives what Lua's own gives", function()
    local program = ("io.write(assert(loadfile '%s')()(coroutine))"):format(WORKLOAD)
    local stock = assert(process.run({ "lua5.4", "-e", program }, { timeout = 60 }))
    assert.equal(0, stock.status, stock.stderr)
    assert.is_true(#stock.stdout > 2000)
    assert.is_nil(first_difference(stock.stdout, result_here()))
  end)

  it("gives the same under a million preemptions drawn at random", function()
    local expected = result_here()
    local goal = PREEMPTIONS * (os.getenv "WEIR_NIGHTLY" and NIGHTLY or 1)
    local before, seed, from = native.stats().preemptions, 0, os.clock()
    while native.stats().preemptions - before < goal do
      seed = seed + 1
      native.use_virtual_clock(seed, INSTRUCTIONS)
      local pair = { native.spawn(workload, coroutine), native.spawn(workload, coroutine) } -- and neither disturbs the other
      for _, child in ipairs(pair) do
        local ok, text = child:join()
        assert.is_true(ok, text)
        assert.is_nil(first_difference(expected, text), "seed " .. seed)
      end
    end
    print(("coroutine_spec: %d preemptions over %d seeds in %.1f s"):format(native.stats().preemptions - before, seed, os.clock() - from))
  end)

  it("lets the body of a coroutine wait, however deep it is, while others go on", function()
    native.use_virtual_clock(nil, 0)
    local from, other = native.now(), 0
    local function deep(level)
      if level == 0 then
        native.sleep(1)
        coroutine.yield "slept"
        native.sleep(1)
        return "done"
      end
      local inner = coroutine.wrap(deep)
      coroutine.yield(inner(level - 1))
      return inner()
    end
    task.within({}, function()
      native.spawn(function() for _ = 1, 20 do native.sleep(0.1) other = other + 1 end end)
      local co = coroutine.create(deep)
      assert.same({ true, "slept" }, { coroutine.resume(co, 50) })
      assert.equal("suspended", coroutine.status(co))
      assert.near(1, native.now() - from, 1e-6)
      assert.same({ true, "done" }, { coroutine.resume(co) })
      assert.near(2, native.now() - from, 1e-6)
    end)
    assert.equal(20, other)
  end)

  it("gives waits their results and errors through any number of levels", function()
    native.use_virtual_clock(nil, 0)
    local channel = require("weir.native.channel").new(1)
    native.spawn(function() native.sleep(1) channel:send "value" channel:close("the end", "limit") end)
    local receive = function() return channel:recv() end
    for _ = 1, 10 do
      local inner = receive
      receive = function() return coroutine.wrap(inner)() end
    end
    assert.equal("value", receive())
    assert.same({ nil, "the end", "limit" }, { receive() })
  end)

  it("keeps a coroutine that is below a waiting one from everybody else", function()
    native.use_virtual_clock(nil, 0)
    local co
    co = coroutine.create(function() native.sleep(1) coroutine.yield "slept" end)
    local holder = native.spawn(function() return coroutine.resume(co) end)
    native.yield()
    assert.equal("normal", coroutine.status(co))
    assert.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(co) })
    assert.same({ false, "cannot close a normal coroutine" }, { pcall(coroutine.close, co) })
    assert.same({ true, true, "slept" }, { holder:join() })
    assert.equal("suspended", coroutine.status(co))
    assert.is_true(coroutine.close(co))
  end)

  it("lets one task go on with what another began", function()
    native.use_virtual_clock(nil, 0)
    local step = coroutine.wrap(function()
      for n = 1, 3 do native.sleep(1) coroutine.yield(n) end
    end)
    for n = 1, 3 do assert.same({ true, n }, { native.spawn(step):join() }) end
  end)

  it("sees the body of a task as the main coroutine", function()
    local results = { native.spawn(function()
      local _, is_main = coroutine.running()
      local ok, message = pcall(coroutine.yield, 1)
      return is_main, coroutine.isyieldable(), ok, message
    end):join() }
    assert.same({ true, true, false, false, "attempt to yield from outside a coroutine" }, results)
  end)

  it("cannot be used to resume or close the coroutine of a task", function()
    local root
    local holder = native.spawn(function() root = coroutine.running() native.sleep(0.001) end)
    native.yield()
    assert.equal("normal", coroutine.status(root))
    assert.is_false((coroutine.resume(root)))
    assert.is_false((pcall(coroutine.close, root)))
    holder:join()
    assert.is_false((coroutine.resume(root)))
    assert.not_equal("suspended", coroutine.status(root))
  end)

  it("raises a cancellation in the innermost coroutine, and what is closed on the way may wait", function()
    native.use_virtual_clock(nil, 0)
    local log = {}
    local function level(n)
      local _ <close> = setmetatable({}, { __close = function()
        task.within({ shield = true }, function() native.sleep(0.5) end)
        log[#log + 1] = n
      end })
      if n == 4 then native.sleep(100) else coroutine.wrap(level)(n + 1) end
    end
    local from = native.now()
    local ok, err = task.within({ timeout = 1 }, function() level(1) end)
    assert.same({ false, "timeout" }, { ok, err.code })
    -- Lua 5.4.4 does not close the variables of a coroutine that ends by an error; wrap does it, without waiting
    assert.equal(1, log[#log])
    assert.is_true(native.now() - from >= 1.5 - 1e-6)
  end)

  it("closes the chain of a task that is terminated, innermost first, 200 levels deep", function()
    native.use_virtual_clock(nil, 0)
    local log = {}
    task.within({ timeout = 1 }, function()
      native.spawn(function()
        local function level(n)
          local _ <close> = closer(log, n)
          if n < 150 then return (coroutine.wrap(level)(n + 1)) end
          native.open_scope { shield = true }
          native.sleep(1000)
        end
        level(1)
      end)
    end)
    assert.equal(150, #log)
    for place, n in ipairs(log) do assert.equal(151 - place, n) end
  end)

  it("makes no task when a program makes many coroutines", function()
    for _ = 1, 10000 do
      local co = coroutine.create(function() coroutine.yield() end)
      coroutine.resume(co)
    end
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  it("refuses a recursion of coroutines that has no end, and the host goes on", function()
    local function endless() return coroutine.wrap(endless)() end
    local ok, message = pcall(endless)
    assert.is_false(ok)
    assert.matches("C stack overflow", message)
    local function endless_resume() return select(2, coroutine.resume(coroutine.create(endless_resume))) end
    assert.matches("C stack overflow", endless_resume())
  end)
end)

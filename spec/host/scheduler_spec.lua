local native = require "weir.native.scheduler"
local task = require "weir.task"

local function code_of(body, ...)
  local ok, err = pcall(body, ...)
  if ok then return nil end
  return type(err) == "table" and err.code or err
end

describe("scheduler", function()
  local tasks_before

  before_each(function()
    tasks_before = #native.tasks()
    native.use_virtual_clock(nil, 0)
  end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(#native.tasks() <= tasks_before)
  end)

  describe("a task", function()
    it("runs with its arguments and gives its results to everybody who joins it", function()
      local child = native.spawn(function(a, b)
        native.sleep(1)
        return a + b, nil, "three", nil
      end, 1, 2)
      local other = native.spawn(function() return select("#", child:join()) end)
      local results = table.pack(child:join())
      assert.same({ n = 5, true, 3, nil, "three", nil }, results)
      assert.same({ true, 5 }, { other:join() })
      assert.same({ n = 5, true, 3, nil, "three", nil }, table.pack(child:join()))
    end)

    it("does not begin before its maker waits", function()
      local log = {}
      local child = native.spawn(function() log[#log + 1] = "child" end)
      log[#log + 1] = "maker"
      assert.equal("ready", child:status())
      assert.same({ true }, { child:join() })
      assert.same({ "maker", "child" }, log)
      assert.equal("done", child:status())
    end)

    it("gives false and the error it ended with, a text with where it happened", function()
      local table_error = { code = "rejected", message = "no" }
      local first, second
      task.within({}, function() first = native.spawn(error, table_error) end)
      task.within({}, function() second = native.spawn(function() error "boom" end) end)
      assert.same({ false, table_error }, { first:join() })
      local ok, text = second:join()
      assert.is_false(ok)
      assert.matches("scheduler_spec%.lua:%d+: boom", text)
      assert.matches("stack traceback", text)
    end)

    it("says timeout to a join that waited long enough, and can be joined again", function()
      local child = native.spawn(function() native.sleep(5) return "late" end)
      local from = native.now()
      local value, message, code = child:join(2)
      assert.is_nil(value)
      assert.matches("not ended in time", message)
      assert.equal("timeout", code)
      assert.near(2, native.now() - from, 1e-6)
      assert.same({ true, "late" }, { child:join() })
      assert.near(5, native.now() - from, 1e-6)
    end)

    it("cannot join itself", function()
      local ok, err = native.spawn(function() return pcall(function() return native.current():join() end) end):join()
      assert.is_true(ok)
      assert.is_false(err)
    end)

    it("is forgotten with its results when nobody holds it", function()
      local weak = setmetatable({}, { __mode = "v" })
      weak[1] = native.spawn(function() return {} end)
      native.yield()
      native.yield()
      collectgarbage()
      collectgarbage()
      assert.is_nil(weak[1])
    end)

    it("outlives the task that started it when it was spawned at the root", function()
      local root
      native.spawn(function()
        task.within({}, function() root = native.spawn_root(function() native.sleep(3) return "still here" end) end)
      end):join()
      assert.equal("waiting", root:status())
      assert.same({ true, "still here" }, { root:join() })
    end)

    it("takes many arguments and gives many results", function()
      local values = {}
      for i = 1, 200 do values[i] = i end
      local child = native.spawn(function(...) return ... end, table.unpack(values))
      local results = { child:join() }
      assert.equal(201, #results)
      assert.equal(200, results[201])
    end)
  end)

  describe("time", function()
    it("wakes sleepers in the order in which they are due, equal ones in the order in which they slept", function()
      local log = {}
      task.within({}, function()
        for name, seconds in pairs { c = 3, a = 1, e = 5, b = 2, d = 4 } do
          native.spawn(function() native.sleep(seconds) log[#log + 1] = name end)
        end
        for i = 1, 5 do
          native.spawn(function() native.sleep(2.5) log[#log + 1] = i end)
        end
      end)
      assert.equal("a b 1 2 3 4 5 c d e", table.concat(log, " "))
    end)

    it("jumps when it is virtual: a year takes no time, and never comes early", function()
      assert.is_false(require("luv").loop_alive()) -- while somebody outside works, virtual time goes on with the real one
      local from, clock = native.now(), os.clock()
      local wall = native.wall_ms()
      native.sleep(365 * 86400)
      assert.near(365 * 86400, native.now() - from, 1e-5)
      assert.is_true(native.now() - from >= 365 * 86400 - 1e-5)
      assert.equal(365 * 86400 * 1000, native.wall_ms() - wall)
      assert.is_true(os.clock() - clock < 1)
    end)

    it("passes as the real clock does when it is not virtual", function()
      native.use_real_clock()
      local from = native.now()
      native.sleep(0.02)
      local took = native.now() - from
      assert.is_true(took >= 0.02 and took < 2, took)
    end)

    it("refuses durations that are none", function()
      assert.matches("seconds from 0", code_of(native.sleep, -1))
      assert.matches("number expected", code_of(native.sleep, "soon"))
    end)

    it("lets the others have their turn at a yield and at a sleep of 0", function()
      for _, pause in ipairs { native.yield, function() native.sleep(0) end } do
        local log = {}
        local child = native.spawn(function() log[#log + 1] = "child" end)
        pause()
        log[#log + 1] = "maker"
        child:join()
        assert.same({ "child", "maker" }, log)
      end
    end)
  end)

  describe("a seed", function()
    local function trace(seed, jitter)
      native.use_virtual_clock(seed, jitter)
      local log, shared = {}, 0
      task.within({}, function()
        for name = 1, 8 do
          native.spawn(function()
            for step = 1, 5 do
              shared = shared + name * step
              log[#log + 1] = ("%d.%d=%d"):format(name, step, shared)
              if step % 2 == 0 then native.sleep(native.random()) else native.yield() end
            end
          end)
        end
      end)
      return table.concat(log, " ")
    end

    it("gives the same order for the same seed, with preemption too", function()
      for _, jitter in ipairs { 0, 50 } do
        local first = trace(42, jitter)
        for _ = 1, 5 do assert.equal(first, trace(42, jitter)) end
      end
    end)

    it("gives other orders for other seeds", function()
      local seen, count = {}, 0
      for seed = 1, 20 do
        local order = trace(seed, 0)
        if not seen[order] then count = count + 1 end
        seen[order] = true
      end
      assert.is_true(count >= 19, count)
    end)

    it("draws numbers from 0 up to 1", function()
      native.use_virtual_clock(7, 0)
      local sum, previous = 0, nil
      for _ = 1, 1000 do
        local number = native.random()
        assert.is_true(number >= 0 and number < 1 and number ~= previous)
        sum, previous = sum + number, number
      end
      assert.near(500, sum, 50)
    end)
  end)

  describe("lanes", function()
    it("runs the first lane before the second and the second before the third, but for one turn in eight", function()
      local log = {}
      task.within({}, function()
        native.atomic(function() -- all are there before the first one runs
          for lane = 2, 0, -1 do
            for _ = 1, 24 do
              native.start({ lane = lane, name = "lane" }, function() log[#log + 1] = lane end)
            end
          end
        end)
      end)
      local early = { [0] = 0, 0, 0 }
      for place = 1, 24 do early[log[place]] = early[log[place]] + 1 end
      assert.equal(72, #log)
      assert.equal(21, early[0])
      assert.equal(0, early[1])
      assert.equal(3, early[2])
    end)

    it("lets the lowest lane come to its turn beside a first lane that is never empty", function()
      local busy, low = 0, 0
      task.within({}, function(scope)
        for _ = 1, 4 do
          native.start({ lane = 0 }, function() while true do busy = busy + 1 native.yield() end end)
        end
        native.start({ lane = 2 }, function()
          for _ = 1, 50 do low = low + 1 native.yield() end
          scope:cancel "enough"
        end)
      end)
      assert.equal(50, low)
      assert.is_true(busy > 100 and busy < 2000, busy)
    end)

    it("refuses a lane that does not exist", function()
      assert.matches("lane must be 0", code_of(native.start, { lane = 3 }, print))
      assert.matches("lane must be 0", code_of(native.start, { lane = -1 }, print))
    end)
  end)

  describe("keys", function()
    -- How often tasks of one key have had their turn until one task of another has had a hundred.
    local function turns_beside(count, start)
      local turns = 0
      task.within({}, function(scope)
        start(function()
          for _ = 1, count do
            native.spawn(function() while true do turns = turns + 1 native.yield() end end)
          end
        end)
        local single = native.start({ key = "single" }, function() for _ = 1, 100 do native.yield() end end)
        single:join()
        scope:cancel "it is counted"
      end)
      return turns
    end

    it("share the processor equally, however many tasks each has", function()
      local turns = turns_beside(1000, function(body) native.start({ key = "many" }, body) end)
      assert.is_true(turns < 5000, turns)
      assert.is_true(turns >= 50, turns)
    end)

    it("are inherited by what a task starts", function()
      local turns = turns_beside(100, function(body)
        native.start({ key = "many" }, function() native.start({ name = "inner" }, body) end)
      end)
      assert.is_true(turns < 5000, turns)
    end)

    it("charge for work: who uses up its slices comes less often than who waits", function()
      local slices, done = 0, false
      task.within({}, function(scope)
        native.start({ key = "hog" }, function()
          while not done do
            local until_ticks = os.clock() + 0.012
            while os.clock() < until_ticks do end -- luacheck: ignore 542
            slices = slices + 1
            native.yield()
          end
        end)
        native.start({ key = "light" }, function()
          for _ = 1, 200 do native.yield() end
          done = true
        end):join()
        scope:cancel "it is counted"
      end)
      assert.is_true(slices < 60, slices)
    end)

    it("refuses one that is no text", function()
      assert.matches("string expected", code_of(native.start, { key = {} }, print))
    end)
  end)

  describe("task-local values", function()
    it("are inherited when a task is made and copied when one is set", function()
      local key = {}
      native.spawn(function()
        native.set_local("who", "parent")
        native.set_local(key, 1)
        local child = native.spawn(function()
          local inherited = native.get_local "who"
          native.set_local("who", "child")
          return inherited, native.get_local "who", native.get_local(key)
        end)
        local late = native.spawn(native.get_local, "who")
        native.set_local("who", "changed")
        local _, inherited, own, by_key = child:join()
        assert.same({ "parent", "child", 1 }, { inherited, own, by_key })
        assert.same({ true, "parent" }, { late:join() }) -- as it was when the task was made
        assert.equal("changed", native.get_local "who")
      end):join()
      assert.is_nil(native.get_local "who")
    end)

    it("can be taken away again", function()
      native.spawn(function()
        native.set_local("a", false)
        assert.is_false(native.get_local "a")
        native.set_local("a", nil)
        assert.is_nil(native.get_local "a")
        assert.matches("key expected", code_of(native.set_local, nil, 1))
      end):join()
    end)
  end)

  describe("introspection", function()
    local function named(name)
      for _, entry in ipairs(native.tasks()) do
        if entry.name == name then return entry end
      end
    end

    it("tells of every task its name, state, what it waits for, its age, CPU time, lane and memory", function()
      task.within({}, function()
        local sleeper = native.start({ name = "sleeper", lane = 2 }, native.sleep, 10)
        local waiter = native.waiter()
        native.start({ name = "waiting" }, function() waiter:wait "the postman" end)
        native.start({ name = "joining" }, function() sleeper:join() end)
        native.sleep(4)
        local entry = named "sleeper"
        assert.equal("waiting", entry.state)
        assert.equal("sleep", entry.waits_for)
        assert.near(4, entry.age, 1e-6)
        assert.equal(2, entry.lane)
        assert.equal("number", type(entry.cpu))
        assert.equal("number", type(entry.bytes))
        assert.equal("integer", math.type(entry.id))
        assert.equal("the postman", named("waiting").waits_for)
        assert.equal("another task", named("joining").waits_for)
        native.start({ name = "ready" }, function() end)
        assert.equal("ready", named("ready").state)
        assert.same(entry.id, sleeper:info().id)
        assert.equal("running", native.current():status())
        waiter:wake()
      end)
      assert.is_nil(named "sleeper")
    end)

    it("counts CPU time for the task that uses it", function()
      native.use_real_clock()
      local spinner = native.start({ name = "spinner" }, function()
        local from = os.clock()
        while os.clock() - from < 0.1 do end
        return native.current():info().cpu
      end)
      local _, cpu = spinner:join()
      assert.is_true(cpu >= 0.03 and cpu < 1, cpu)
    end)

    it("counts live tasks, timers and resumes", function()
      local before = native.stats()
      local child = native.spawn(native.sleep, 1)
      native.yield()
      local now = native.stats()
      assert.equal(before.tasks + 1, now.tasks)
      assert.equal(before.timers + 1, now.timers)
      assert.is_true(now.resumes > before.resumes)
      child:join()
      assert.equal(before.timers, native.stats().timers)
    end)
  end)

  describe("a waiter", function()
    it("hands over what it was woken with, also when the wake came first", function()
      local early, late = native.waiter(), native.waiter()
      early:wake(1, nil, "x", nil)
      early:wake "ignored: the first wake counts"
      assert.same({ n = 4, 1, nil, "x", nil }, table.pack(early:wait()))
      native.spawn(function() native.sleep(1) late:wake "late" end)
      assert.equal("late", late:wait "something")
      assert.equal("late", late:wait "again")
    end)

    it("says timeout, and can still be woken and waited for afterwards", function()
      local waiter = native.waiter()
      assert.same({ nil, "nothing came in time", "timeout" }, { waiter:wait("x", 1) })
      waiter:wake(7)
      assert.equal(7, waiter:wait())
    end)

    it("lets one task wait at a time", function()
      local waiter = native.waiter()
      local first = native.spawn(function() return waiter:wait() end)
      native.yield()
      assert.matches("another task waits here", code_of(waiter.wait, waiter))
      waiter:wake "once"
      assert.same({ true, "once" }, { first:join() })
    end)

    it("forgets a task that was cancelled while it waited", function()
      local waiter = native.waiter()
      local child = native.spawn(function() waiter:wait() end)
      native.yield()
      child:cancel()
      child:join()
      waiter:wake "kept"
      assert.equal("kept", waiter:wait())
    end)
  end)

  describe("where nothing can wait", function()
    local function refused(label, body)
      local ok, err = pcall(body)
      assert.is_false(ok, label)
      local text = tostring(err)
      assert.is_truthy(text:find("cannot wait", 1, true) or text:find("cannot yield", 1, true), label .. ": " .. text)
    end

    it("a wait is refused with a message that says why", function()
      for label, wait in pairs {
        sleep = function() native.sleep(1) end,
        yield = function() native.yield() end,
        join = function() native.spawn(function() end):join() end,
        waiter = function() native.waiter():wait() end,
      } do
        refused(label .. " in sort", function() table.sort({ 3, 2, 1 }, function(a, b) wait() return a < b end) end)
        refused(label .. " in gsub", function() return (("abc"):gsub(".", wait)) end)
        refused(label .. " in atomic", function() native.atomic(wait) end)
        refused(label .. " in a coroutine in atomic", function() native.atomic(coroutine.wrap(wait)) end)
        refused(label .. " in a coroutine in sort", function()
          table.sort({ 3, 2, 1 }, function(a, b) coroutine.wrap(wait)() return a < b end)
        end)
      end
      native.yield()
      assert.is_true(native.can_wait())
      native.sleep(1) -- and the task goes on as if nothing had been
    end)

    it("a finalizer cannot wait, and what it raises ends nothing", function()
      local message
      do
        local _ = setmetatable({}, { __gc = function() message = select(2, pcall(native.sleep, 1)) end })
      end
      collectgarbage()
      collectgarbage()
      assert.matches("cannot wait for sleep here: inside a callback of C, a finalizer", message)
    end)

    it("says of itself whether it can wait", function()
      assert.is_true(native.can_wait())
      assert.is_false(native.atomic(native.can_wait))
      assert.is_true(coroutine.wrap(function() return native.can_wait() end)())
    end)
  end)

  describe("a deadlock", function()
    local process = require "weir.port.process"
    local uv = require "luv"

    it("is reported at once with who waits for what, and ends the process with 70", function()
      native.use_real_clock()
      local folder = assert(uv.fs_mkdtemp "/tmp/weir-deadlock-XXXXXX")
      local library = folder .. "/lua/weir"
      assert(process.run { "mkdir", "-p", library })
      local file = assert(io.open(library .. "/boot.lua", "w"))
      file:write [[
        local native = require "weir.native.scheduler"
        local waiter = native.waiter()
        native.start({ name = "left" }, function() waiter:wait "the right hand" end)
        native.start({ name = "right" }, function() require("weir.native.channel").new(1):recv() end)
        native.waiter():wait "nobody"
        return 0
      ]]
      file:close()
      local environment = uv.os_environ()
      environment.WEIR_HOME = folder
      local from = native.now()
      local result = assert(process.run({ uv.exepath() }, { env = environment, timeout = 20 }))
      local took = native.now() - from
      process.run { "rm", "-rf", folder }
      assert.equal(70, result.status)
      assert.matches("deadlock: every task waits", result.stderr)
      assert.matches("'left' waits for the right hand", result.stderr)
      assert.matches("'right' waits for a value in a channel", result.stderr)
      assert.matches("'main' waits for nobody", result.stderr)
      assert.is_true(took < 5, took)
    end)
  end)
end)

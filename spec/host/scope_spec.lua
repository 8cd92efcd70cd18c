local native = require "weir.native.scheduler"
local task = require "weir.task"

local GRACE = 5 -- seconds that cleanup may take

local function code_of(body, ...)
  local ok, err = pcall(body, ...)
  if ok then return nil end
  return type(err) == "table" and err.code or err
end

local function sleeping(seconds)
  return function() native.sleep(seconds) end
end

local function closing(body)
  return setmetatable({}, { __close = body })
end

describe("a scope", function()
  local tasks_before

  before_each(function()
    tasks_before = native.stats().tasks
    native.use_virtual_clock(nil, 0)
  end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
    assert.is_nil(native.cancelled())
    assert.equal(0, native.deferred())
  end)

  describe("as the home of tasks", function()
    it("does not end before they have", function()
      local ended = {}
      local ok, result = task.within({}, function()
        for i = 1, 3 do native.spawn(function() native.sleep(i) ended[#ended + 1] = i end) end
        return "body"
      end)
      assert.same({ true, "body", { 1, 2, 3 } }, { ok, result, ended })
    end)

    it("waits for tasks that its tasks spawn while they end", function()
      local depth = 0
      task.within({}, function()
        local function child(level)
          native.sleep(1)
          depth = level
          if level < 10 then native.spawn(child, level + 1) end
        end
        native.spawn(child, 1)
      end)
      assert.equal(10, depth)
    end)

    it("cannot be closed while it has tasks, nor before the scopes inside it, nor used once it is closed", function()
      local outer = native.open_scope {}
      native.spawn(native.sleep, 1)
      assert.equal(1, outer:tasks())
      assert.matches("still has tasks", code_of(outer.close, outer))
      outer:join()
      local inner = native.open_scope {}
      assert.matches("inner scope is still open", code_of(outer.close, outer))
      inner:close()
      outer:close()
      outer:close()
      assert.matches("the scope is closed", code_of(native.start, { scope = outer }, print))
    end)

    it("takes in tasks that others start there", function()
      local order = {}
      task.within({}, function(scope)
        local helper = native.spawn_root(function()
          native.start({ scope = scope }, function() native.sleep(2) order[#order + 1] = "guest" end)
        end)
        helper:join()
        assert.equal(1, scope:tasks())
      end)
      order[#order + 1] = "scope"
      assert.same({ "guest", "scope" }, order)
    end)

    it("ends its tasks when the task that opened it ends without closing it", function()
      local closed
      local child
      native.spawn(function()
        native.open_scope {}
        child = native.spawn(function()
          local _ <close> = closing(function() closed = true end)
          native.sleep(100)
        end)
        native.yield()
      end):join()
      assert.is_true(closed)
      local ok, err = child:join()
      assert.is_false(ok)
      assert.equal("cancelled", err.code)
    end)
  end)

  describe("that is cancelled", function()
    it("cancels the whole tree at the point where each task waits", function()
      local log = {}
      local from = native.now()
      local function tree(level)
        local _ <close> = closing(function() log[#log + 1] = level end)
        if level < 4 then
          task.within({}, function()
            native.spawn(tree, level + 1)
            native.sleep(100)
          end)
        else
          native.sleep(100)
        end
      end
      local ok, err = task.within({}, function(scope)
        native.spawn(tree, 1)
        native.spawn(tree, 2)
        native.sleep(1)
        scope:cancel "enough"
        native.sleep(100)
      end)
      assert.is_false(ok)
      assert.same({ "cancelled", "enough" }, { err.code, err.message })
      assert.near(1, native.now() - from, 1e-6)
      assert.equal(7, #log)
    end)

    it("lets each task see the code and the reason, from inside and from outside", function()
      local seen = {}
      local ok, err = task.within({}, function(scope)
        native.spawn(function()
          local _, why = pcall(native.sleep, 100)
          seen = { why.code, why.message, tostring(why), native.cancelled() }
        end)
        native.sleep(1)
        assert.is_nil(scope:why())
        scope:cancel("no money left", "limit")
        assert.same({ "limit", "no money left" }, { scope:why() })
        scope:cancel "a second time changes nothing"
      end)
      assert.same({ "limit", "no money left", "no money left", "limit", "no money left" }, seen)
      assert.same({ false, "limit", "no money left" }, { ok, err.code, err.message })
    end)

    it("stays cancelled: every further wait raises at once, whatever is waited for", function()
      local channel = require("weir.native.channel").new(1)
      local codes = {}
      local from = native.now()
      task.within({ timeout = 1 }, function()
        pcall(native.sleep, 100)
        local other = native.spawn_root(native.sleep, 0.5)
        local waits = { function() native.sleep(1) end, native.yield, function() channel:recv() end, native.check,
          function() other:join() end, function() native.waiter():wait() end, function() native.sleep(0) end }
        for i, wait in ipairs(waits) do codes[i] = code_of(wait) end
      end)
      assert.same({ "timeout", "timeout", "timeout", "timeout", "timeout", "timeout", "timeout" }, codes)
      assert.near(1, native.now() - from, 1e-6)
      native.sleep(1)
    end)

    it("goes on to nobody outside", function()
      local sibling
      task.within({}, function()
        sibling = native.spawn(function() native.sleep(10) return "fine" end)
        local ok, err = task.within({ timeout = 1 }, sleeping(100))
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        native.sleep(1)
      end)
      assert.same({ true, "fine" }, { sibling:join() })
    end)

    it("cancels tasks that are started in it afterwards at their first wait", function()
      local log = {}
      task.within({}, function(scope)
        scope:cancel "early"
        native.spawn(function()
          log[#log + 1] = "began"
          native.sleep(1)
          log[#log + 1] = "not reached"
        end)
      end)
      assert.same({ "began" }, log)
    end)

    it("keeps a wake that came before the cancellation, and raises at the next wait", function()
      local channel = require("weir.native.channel").new(1)
      local got, code
      task.within({}, function(scope)
        native.spawn(function()
          got = channel:recv()
          code = code_of(native.sleep, 1)
        end)
        native.yield()
        channel:send "value"
        scope:cancel()
      end)
      assert.same({ "value", "cancelled" }, { got, code })
    end)
  end)

  describe("with a deadline", function()
    it("is cancelled with timeout when it passes, for the body and for the tasks", function()
      local codes = {}
      local from = native.now()
      local ok, err = task.within({ timeout = 2 }, function()
        native.spawn(function() codes.task = code_of(native.sleep, 10) end)
        task.within({ timeout = 5 }, function() codes.body = code_of(native.sleep, 10) end)
      end)
      assert.same({ false, "timeout" }, { ok, err.code })
      assert.same({ task = "timeout", body = "timeout" }, codes)
      assert.near(2, native.now() - from, 1e-6)
    end)

    it("does nothing when the body is done before, and the shorter of two counts", function()
      assert.is_true((task.within({ timeout = 2 }, sleeping(1))))
      native.sleep(3)
      local from = native.now()
      task.within({ timeout = 1 }, function() task.within({ timeout = 10 }, sleeping(100)) end)
      assert.near(1, native.now() - from, 1e-6)
    end)

    it("of 0 seconds passes at the first wait", function()
      local ok, err = task.within({ timeout = 0 }, sleeping(1))
      assert.same({ false, "timeout" }, { ok, err.code })
    end)
  end)

  describe("whose task fails", function()
    it("keeps the first error, cancels the others, and gives that error", function()
      local codes = {}
      local from = native.now()
      local ok, err = task.within({}, function()
        native.spawn(function() codes.sibling = code_of(native.sleep, 100) end)
        native.spawn(function() native.sleep(1) error({ code = "rejected", message = "first" }) end)
        native.spawn(function()
          pcall(native.sleep, 100)
          error { code = "limit", message = "second" }
        end)
        codes.body = code_of(native.sleep, 100)
      end)
      assert.same({ false, "rejected", "first" }, { ok, err.code, err.message })
      assert.same({ sibling = "cancelled", body = "cancelled" }, codes)
      assert.near(1, native.now() - from, 1e-6)
    end)

    it("gives the task's error also when the body has returned", function()
      local ok, err = task.within({}, function()
        native.spawn(function() native.sleep(1) error({ code = "failed", message = "late" }) end)
        return "fine so far"
      end)
      assert.same({ false, "late" }, { ok, err.message })
    end)

    it("is not cancelled by a task that ended because it was cancelled itself", function()
      local ok, result = task.within({}, function()
        local child = native.spawn(native.sleep, 100)
        native.sleep(1)
        child:cancel "not needed"
        local joined, why = child:join()
        native.sleep(1)
        return joined == false and why.message
      end)
      assert.same({ true, "not needed" }, { ok, result })
    end)
  end)

  describe("that is a shield", function()
    it("keeps a cancellation out until it is closed", function()
      local log = {}
      local from = native.now()
      local ok, err = task.within({ timeout = 1 }, function()
        local shielded = task.within({ shield = true, timeout = 3 }, function()
          native.sleep(2)
          log[#log + 1] = native.now() - from
          return true
        end)
        log[#log + 1] = shielded
        log[#log + 1] = code_of(native.sleep, 1)
      end)
      assert.near(2, log[1], 1e-6)
      assert.same({ true, "timeout" }, { log[2], log[3] })
      assert.same({ false, "timeout" }, { ok, err.code })
    end)

    it("has its own deadline", function()
      local from = native.now()
      local code
      task.within({ timeout = 1 }, function()
        local _, err = task.within({ shield = true, timeout = 1.5 }, sleeping(100))
        code = err.code
      end)
      assert.equal("timeout", code)
      assert.near(1.5, native.now() - from, 1e-6)
    end)

    it("can be opened once the cancellation has been seen, for cleanup that waits", function()
      local log = {}
      local child
      task.within({}, function(scope)
        child = native.spawn(function()
          local _ <close> = closing(function()
            task.within({ shield = true, timeout = 1 }, function() native.sleep(0.5) log[#log + 1] = "cleaned" end)
          end)
          native.sleep(100)
        end)
        native.sleep(1)
        scope:cancel()
      end)
      assert.same({ "cleaned" }, log)
      assert.is_false((child:join()))
    end)

    it("protects the tasks in it", function()
      local ok
      task.within({ timeout = 1 }, function()
        ok = task.within({ shield = true }, function()
          native.spawn(native.sleep, 3)
        end)
      end)
      assert.is_true(ok)
    end)
  end)

  describe("and what was deferred in it", function()
    it("runs in reverse order, at the end and on an error, and may wait", function()
      for _, ends in ipairs { "returns", "raises" } do
        local log = {}
        local from = native.now()
        local ok = task.within({}, function()
          for i = 1, 3 do
            native.defer(function() native.sleep(0.25) log[#log + 1] = i end)
          end
          if ends == "raises" then error "boom" end
        end)
        assert.equal(ends == "returns", ok)
        assert.same({ 3, 2, 1 }, log)
        assert.near(0.75, native.now() - from, 1e-6)
      end
    end)

    it("runs also on a cancellation, and when one of them raises", function()
      local log = {}
      task.within({ timeout = 1 }, function()
        native.defer(function() log[#log + 1] = "a" end)
        native.defer(function() error "broken" end)
        native.defer(function() native.sleep(1) log[#log + 1] = "c" end)
        native.sleep(100)
      end)
      assert.same({ "c", "a" }, log)
    end)

    it("is left out once it was released", function()
      local log = {}
      task.within({}, function()
        local handles = {}
        for i = 1, 5 do handles[i] = native.defer(function() log[#log + 1] = i end) end
        handles[3]:release()
        handles[5]:release()
        handles[5]:release()
        native.defer(function() log[#log + 1] = 6 end)
      end)
      assert.same({ 6, 4, 2, 1 }, log)
    end)

    it("is unwound scope by scope", function()
      local log = {}
      task.within({}, function()
        native.defer(function() log[#log + 1] = "outer" end)
        task.within({}, function() native.defer(function() log[#log + 1] = "inner" end) end)
        log[#log + 1] = "between"
      end)
      assert.same({ "inner", "between", "outer" }, log)
    end)

    it("gets no longer than the grace time", function()
      local from = native.now()
      local log = {}
      task.within({}, function()
        native.defer(function() log[#log + 1] = "the next one has no time left" end)
        native.defer(function() native.sleep(100) end)
      end)
      assert.near(GRACE, native.now() - from, 1e-6)
      assert.equal(1, #log)
    end)
  end)

  describe("after the grace time", function()
    it("terminates tasks that do not stop, closing what they hold, innermost first", function()
      local log = {}
      local child
      local from = native.now()
      local ok, err = task.within({ timeout = 1 }, function()
        child = native.spawn(function()
          local _ <close> = closing(function() log[#log + 1] = "outer" end)
          coroutine.wrap(function()
            local _ <close> = closing(function() log[#log + 1] = "middle" end)
            coroutine.wrap(function()
              local _ <close> = closing(function() log[#log + 1] = "inner" end)
              native.open_scope { shield = true }
              native.sleep(1000)
            end)()
          end)()
        end)
        native.sleep(1000)
      end)
      assert.same({ false, "timeout" }, { ok, err.code })
      assert.near(1 + GRACE, native.now() - from, 1e-6)
      assert.same({ "inner", "middle", "outer" }, log)
      local joined, why = child:join()
      assert.is_false(joined)
      assert.matches("was terminated", why.message)
    end)

    it("terminates children of children that hide behind shields", function()
      local from = native.now()
      task.within({ timeout = 1 }, function()
        native.spawn(function()
          task.within({ shield = true }, function()
            native.spawn(function() task.within({ shield = true }, sleeping(1e6)) end)
            native.sleep(1e6)
          end)
        end)
        native.sleep(1000)
      end)
      assert.near(1 + GRACE, native.now() - from, 1e-6)
    end)

    it("terminates a task that was cancelled alone", function()
      local from = native.now()
      task.within({}, function()
        local child = native.spawn(function() task.within({ shield = true }, sleeping(1e6)) end)
        native.sleep(1)
        child:cancel "not needed"
        child:join()
      end)
      assert.near(1 + GRACE, native.now() - from, 1e-6)
    end)

    it("does not let a closing function wait, and still runs the others", function()
      local log = {}
      task.within({ timeout = 1 }, function()
        native.spawn(function()
          local _ <close> = closing(function() log[#log + 1] = "outer" end)
          local _ <close> = closing(function() log[#log + 1] = code_of(native.sleep, 1) end)
          native.open_scope { shield = true }
          native.sleep(1000)
        end)
      end)
      assert.equal(2, #log)
      assert.matches("no task is running", log[1])
      assert.equal("outer", log[2])
    end)

    it("ends closing and deferred functions that never end, at the hard limit", function()
      for _, body in ipairs { function() while true do end end, function() while true do pcall(function() while true do end end) end end } do
        local ok, err = task.within({ timeout = 1 }, function()
          native.spawn(function()
            native.defer(body)
            local _ <close> = closing(body)
            native.open_scope { shield = true }
            native.sleep(1000)
          end)
        end)
        assert.same({ false, "timeout" }, { ok, err.code })
      end
    end)

    it("runs what the terminated task had deferred", function()
      local log = {}
      task.within({ timeout = 1 }, function()
        native.spawn(function()
          native.defer(function() log[#log + 1] = "first" end)
          native.defer(function() log[#log + 1] = "second" end)
          native.open_scope { shield = true }
          native.sleep(1000)
        end)
      end)
      assert.same({ "second", "first" }, log)
    end)
  end)

  it("ends a task that swallows every cancellation and goes on waiting", function()
    local rounds = 0
    local ok, err = task.within({ timeout = 1 }, function()
      native.spawn(function()
        while true do
          pcall(native.sleep, 10)
          rounds = rounds + 1
        end
      end)
      native.sleep(1000)
    end)
    assert.same({ false, "timeout" }, { ok, err.code })
    assert.is_true(rounds > 1)
  end)

  it("survives random trees of tasks that are cancelled at random moments", function()
    for seed = 1, 200 do
      local is_preempted = seed % 2 == 0 -- then a cancellation may hit before the variable is there, or in its closing
      native.use_virtual_clock(seed, is_preempted and 100 or 0)
      local begun, ended = 0, 0
      local function grow(level)
        begun = begun + 1
        local _ <close> = closing(function() ended = ended + 1 end)
        local options = { timeout = native.random() < 0.3 and native.random() * 3 or nil }
        task.within(options, function(scope)
          for _ = 1, level > 0 and math.floor(native.random() * 4) or 0 do
            local child = native.spawn(grow, level - 1)
            if native.random() < 0.1 then child:cancel "unlucky" end
          end
          native.sleep(native.random() * 2)
          local luck = native.random()
          if luck < 0.1 then error "broke" elseif luck < 0.2 then scope:cancel "stop" end
        end)
      end
      task.within({ timeout = 2 }, function()
        for _ = 1, 3 do native.spawn(grow, 3) end
      end)
      assert.is_true(is_preempted or begun == ended)
      assert.is_true(begun > 0)
      assert.is_true(native.stats().tasks <= tasks_before)
    end
  end)
end)

local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local task = require "weir.task"

describe("task.within", function()
  local tasks_before

  before_each(function()
    tasks_before = native.stats().tasks
    native.use_virtual_clock(nil, 0)
  end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
    assert.equal(0, native.deferred())
  end)

  it("gives what its body gives, and hands it its scope and arguments", function()
    local results = table.pack(task.within({}, function(scope, a, b)
      assert.equal(0, scope:tasks())
      return a, nil, b, nil
    end, 1, 2))
    assert.same({ n = 5, true, 1, nil, 2, nil }, results)
  end)

  it("gives false and the error, a text as {code, message, traceback}", function()
    local ok, err = task.within({}, function() error("boom", 0) end)
    assert.same({ false, "failed", "boom" }, { ok, err.code, err.message })
    assert.matches("task_spec", err.traceback)
    local own = { code = "limit", message = "m" }
    ok, err = task.within({}, function() error(own) end)
    assert.same({ false, own }, { ok, err })
  end)

  it("prefers the error of a task over that of its body, which was only cancelled by it", function()
    local ok, err = task.within({}, function()
      task.spawn(function() task.sleep(1) error { code = "denied", message = "the task" } end)
      task.sleep(100)
    end)
    assert.same({ false, "denied" }, { ok, err.code })
  end)

  it("says timeout when the deadline passed, also when the body had returned by then", function()
    local from = task.now()
    local ok, err = task.within({ timeout = 2 }, function()
      task.spawn(task.sleep, 100)
      return "done"
    end)
    assert.same({ false, "timeout" }, { ok, err.code })
    assert.near(2, task.now() - from, 1e-6)
  end)

  it("gives a body its results back when it cancelled its own tasks and nothing else", function()
    local ok, value = task.within({}, function()
      local child = task.spawn(task.sleep, 100)
      task.yield()
      child:cancel "not needed"
      return "fine"
    end)
    assert.same({ true, "fine" }, { ok, value })
  end)

  it("lets a cancellation from outside through, once everything inside has ended", function()
    local ended, inner_ok, inner_err
    local ok, err = task.within({ timeout = 1 }, function()
      inner_ok, inner_err = task.within({}, function()
        task.spawn(function()
          local _ <close> = setmetatable({}, { __close = function() ended = true end })
          task.sleep(100)
        end)
        task.sleep(100)
      end)
      task.sleep(100)
    end)
    assert.same({ false, "timeout", false, "timeout", true }, { ok, err.code, inner_ok, inner_err.code, ended })
  end)

  it("runs what was deferred before it returns, and what was deferred outside stays", function()
    local log = {}
    task.within({}, function()
      native.defer(function() log[#log + 1] = "outer" end)
      task.within({}, function() native.defer(function() log[#log + 1] = "inner" end) end)
      log[#log + 1] = "between"
    end)
    assert.same({ "inner", "between", "outer" }, log)
  end)

  it("shields cleanup from the cancellation that asked for it", function()
    local cleaned
    task.within({ timeout = 1 }, function()
      native.defer(function()
        task.sleep(1)
        cleaned = true
      end)
      task.sleep(100)
    end)
    assert.is_true(cleaned)
  end)

  it("may stand in itself many times", function()
    local function nest(depth)
      if depth == 0 then
        task.sleep(1)
        return "bottom"
      end
      local ok, value = task.within({ timeout = depth + 10 }, function() return nest(depth - 1) end)
      assert(ok, value)
      return value
    end
    assert.equal("bottom", nest(30))
  end)

  it("works inside coroutines and pcall", function()
    local co = coroutine.wrap(function()
      local ok, err = task.within({ timeout = 1 }, function() pcall(task.sleep, 100) task.sleep(1) end)
      coroutine.yield(ok, err.code)
      return select(2, pcall(task.within, {}, function() task.sleep(1) return 7 end))
    end)
    assert.same({ false, "timeout" }, { co() })
    assert.is_true(co())
  end)
end)

describe("task.serve", function()
  it("works in a scope of its own, outside of that of its caller", function()
    local seen, service
    assert.is_true((task.within({}, function(outer)
      service = task.serve(function(scope, given)
        seen = { given, scope ~= outer }
        native.waiter():wait "work"
      end, "given")
      native.yield()
    end)))
    assert.same({ "given", true }, seen)
    service:cancel "the spec is over"
    service:join()
  end)

  it("fails with what ends it, also with what ends a task that it started", function()
    local function broken() error("it broke", 0) end
    for _, body in ipairs { broken, function() task.spawn(broken) native.waiter():wait "work" end } do
      local ok, err = task.serve(body):join()
      assert.is_false(ok)
      assert.matches("^it broke", failure.of(err).message)
    end
  end)
end)

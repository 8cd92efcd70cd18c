local lock_of = require "weir.lock"
local native = require "weir.native.scheduler"
local task = require "weir.task"

describe("a lock", function()
  local lock, log
  before_each(function()
    native.use_virtual_clock(nil, 0)
    lock, log = lock_of.new "the spec", {}
  end)
  after_each(function() native.use_real_clock() end)

  -- Holds the lock for a while, as a task of its own.
  local function holder(name, seconds)
    return task.spawn(function()
      lock:hold(function()
        log[#log + 1] = name
        task.sleep(seconds or 1)
        log[#log + 1] = name .. "!"
      end)
    end)
  end

  it("is held by one after the other, in the order in which they came", function()
    assert(task.within({}, function()
      for name in ("abc"):gmatch "." do holder(name) end
    end))
    assert.same({ "a", "a!", "b", "b!", "c", "c!" }, log)
  end)

  it("gives what the function returns, and raises what it raises, free again", function()
    assert.same({ n = 3, 1, nil, 3 }, table.pack(lock:hold(function(...) return ... end, 1, nil, 3)))
    local err = { code = "failed", message = "no" }
    local ok, raised = pcall(lock.hold, lock, function() error(err, 0) end)
    assert.same({ false, true }, { ok, raised == err })
    assert.equal("free", lock:hold(function() return "free" end))
  end)

  it("passes by those who are cancelled, also when it was theirs already", function()
    for _, is_theirs in ipairs { false, true } do
      log = {}
      assert(task.within({}, function()
        local gone
        lock:hold(function()
          gone = holder "b"
          holder "c"
          task.sleep(1)
          if not is_theirs then gone:cancel "the spec says so" end
        end)
        if is_theirs then gone:cancel "the spec says so" end -- it has not had its turn since
      end))
      assert.same({ "c", "c!" }, { log[#log - 1], log[#log] })
      assert.is_not.equal("b!", log[#log - 2])
      assert.is_false(lock.is_held)
    end
  end)

  it("says what a task waits for", function()
    assert(task.within({}, function()
      holder "a"
      holder "b"
      task.sleep(0.5)
      local found = false
      for _, one in ipairs(native.tasks()) do found = found or one.waits_for == "the spec" end
      assert.is_true(found)
    end))
  end)
end)

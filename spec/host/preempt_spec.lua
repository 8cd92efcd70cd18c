local native = require "weir.native.scheduler"
local task = require "weir.task"

local function forever() while true do end end

-- Endless loops as agents write them; each must end at the deadline. `hard`: Lua cannot yield there, so
-- it ends at the hard limit of 1 s.
local LOOPS = {
  { "bare", forever },
  { "that counts", function() local n = 0 while true do n = n + 1 end end },
  { "in pcall", function() while true do pcall(forever) end end },
  { "in nested pcall", function() while true do pcall(pcall, pcall, forever) end end },
  { "in xpcall with a handler", function() while true do xpcall(forever, function(err) return err end) end end },
  { "in coroutine.wrap", function() coroutine.wrap(forever)() end },
  { "in a coroutine in a coroutine", function()
    coroutine.wrap(function() coroutine.wrap(function() coroutine.wrap(forever)() end)() end)()
  end },
  { "in pcall around coroutine.wrap", function() while true do pcall(coroutine.wrap(forever)) end end },
  { "that makes coroutines", function() while true do coroutine.wrap(function() coroutine.yield(1) end)() end end },
  { "in an iterator", function() for _ in forever do end end },
  { "over an iterator that has no end", function() for _ in function() return 1 end do end end },
  { "in __index", function() return setmetatable({}, { __index = forever }).field end },
  { "in __add", function() return setmetatable({}, { __add = forever }) + 1 end },
  { "in __eq", function() local meta = { __eq = forever } return setmetatable({}, meta) == setmetatable({}, meta) end },
  { "in __close", function() local _ <close> = setmetatable({}, { __close = forever }) end },
  { "by recursion", function() local function f() return f() end return f() end },
  { "of a stack overflow that is caught", function() while true do pcall(function() local function f() return 1 + f() end f() end) end end },
  { "in the comparator of a sort", function() table.sort({ 3, 1, 2 }, function() while true do end end) end, hard = true },
  { "in the callback of a gsub", function() return (("x"):gsub("x", forever)) end, hard = true },
  { "in a coroutine in a gsub", function() return (("x"):gsub("x", coroutine.wrap(forever))) end, hard = true },
  { "in pcall in a sort", function() table.sort({ 2, 1 }, function() while true do pcall(forever) end end) end, hard = true },
  { "in a sort in pcall", function() while true do pcall(table.sort, { 2, 1 }, forever) end end, hard = true },
  { "in require'd atomic code", function() native.atomic(forever) end, hard = true },
}

-- A chunk that counts as the library's, which is never preempted between its waits.
local function library(text, name)
  return assert(load(text, name or "=weir/spec.lua", "t"))
end

local COUNT_UP = [[
  local shared, count = ...
  for _ = 1, count do
    local value = shared.value
    for _ = 1, 10 do end
    shared.value = value + 1
  end
]]

-- Tasks that count together, at drawn preemptions; what they come to, of 8,000.
local function counted_by(count, seed)
  native.use_virtual_clock(seed, 7)
  local shared = { value = 0 }
  task.within({}, function()
    for _ = 1, 8 do
      native.spawn(function()
        for _ = 1, 100 do count(shared, 10) end
      end)
    end
  end)
  return shared.value
end

describe("preemption", function()
  local tasks_before

  before_each(function() tasks_before = native.stats().tasks end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  for _, case in ipairs(LOOPS) do
    it("ends an endless loop " .. case[1] .. " at its deadline, while others go on", function()
      local beats = 0
      for _, limit in ipairs { 0.1, 1, 5 } do -- a slice is processor time: the machine may have little of it for us
        local from, ok, err = native.now(), nil, nil
        task.within({}, function()
          local beater = native.spawn(function()
            while true do native.sleep(0.005) beats = beats + 1 end
          end)
          ok, err = task.within({ timeout = limit }, function() case[2]() end)
          beater:cancel()
        end)
        local took = native.now() - from
        assert.is_false(ok)
        assert.equal("timeout", err.code)
        assert.is_true(took >= 0.9 * limit and took < limit + (case.hard and 10 or 5), took)
        if case.hard or beats >= 1 then break end
      end
      if not case.hard then assert.is_true(beats >= 1, beats) end
    end)
  end

  it("lets cleanup of an endless loop run, and wait", function()
    local log = {}
    task.within({ timeout = 0.05 }, function()
      local _ <close> = setmetatable({}, { __close = function()
        task.within({ shield = true, timeout = 1 }, function() native.sleep(0.01) end)
        log[#log + 1] = "closed"
      end })
      native.defer(function() native.sleep(0.01) log[#log + 1] = "deferred" end)
      forever()
    end)
    assert.same({ "closed", "deferred" }, log)
  end)

  it("never happens inside the library between its waits", function()
    local before = native.stats().preemptions
    assert.equal(8 * 100 * 10, counted_by(library(COUNT_UP), 3))
    assert.is_true(native.stats().preemptions > before)
  end)

  it("happens in code of the library that only computes, where a module calls it, and not where the library does", function()
    local computing = library(COUNT_UP, "=weir/text/spec.lua")
    assert.is_true(counted_by(computing, 3) < 8000)
    assert.is_true(counted_by(function(...) pcall(computing, ...) end, 3) < 8000)
    local called = library "local call = ... return function(...) pcall(call, ...) end"
    assert.equal(8000, counted_by(called(computing), 3))
  end)

  it("happens where the library lets what only computes be interrupted", function()
    local computing = library(COUNT_UP, "=weir/text/spec.lua")
    local interruptible = library("local native, call = ... return function(...) native.interruptible(call, ...) end")(native, computing)
    assert.is_true(counted_by(interruptible, 3) < 8000)
    local gives = library("local native = ... return native.interruptible(function(...) return select('#', ...), ... end, 1, nil, 3)")
    assert.same({ 3, 1, nil, 3 }, { gives(native) })
    local ok, err = pcall(native.interruptible, function() error "as it is" end)
    assert.is_false(ok)
    assert.matches("as it is", err)
  end)

  it("leaves no hook behind in a library that waits", function()
    local spin = library [[
      local native, gethook = ...
      local until_s, seen = native.now() + 10, false
      while not seen and native.now() < until_s do
        for _ = 1, 10000 do end
        seen = gethook() ~= nil
      end
      native.yield()
      return seen, gethook() == nil
    ]]
    local seen, has_gone
    task.within({}, function() seen, has_gone = spin(native, debug.gethook) end)
    assert.same({ true, true }, { seen, has_gone })
  end)

  it("does happen inside a module, between any two instructions", function()
    local function count(shared, times)
      for _ = 1, times do
        local value = shared.value
        for _ = 1, 10 do end
        shared.value = value + 1
      end
    end
    local lost = false
    for seed = 1, 20 do lost = lost or counted_by(count, seed) < 8000 end
    assert.is_true(lost) -- or the spec above would show nothing
  end)

  it("does not interrupt an atomic function", function()
    native.use_virtual_clock(5, 7)
    local shared = 0
    task.within({}, function()
      for _ = 1, 8 do
        native.spawn(function()
          for _ = 1, 200 do
            native.atomic(function()
              local value = shared
              for _ = 1, 10 do end
              shared = value + 1
            end)
          end
        end)
      end
    end)
    assert.equal(1600, shared)
    assert.same({ 1, nil, 3 }, { native.atomic(function(...) return ... end, 1, nil, 3) })
  end)

  it("keeps the waits of 100 interactive tasks short beside a tight loop, and lets the loop have the rest", function()
    local late, turns = {}, 0
    local from, cpu = native.now(), os.clock()
    task.within({ timeout = 20 }, function()
      local loop = native.spawn(function() while true do turns = turns + 1 end end)
      task.within({}, function()
        for i = 1, 100 do
          native.spawn(function()
            native.sleep(i * 0.0005)
            for _ = 1, 20 do
              local due = native.now() + 0.02
              native.sleep(0.02)
              late[#late + 1] = native.now() - due
            end
          end)
        end
      end)
      loop:cancel()
    end)
    table.sort(late)
    assert.equal(2000, #late)
    assert.is_true(turns > 1000)
    local p99 = late[math.ceil(#late * 0.99)]
    local share = (os.clock() - cpu) / (native.now() - from) -- of a core: slices are CPU time, waits are not
    print(("preempt_spec: 100 tasks beside a tight loop: wait p50 %.1f ms, p99 %.1f ms, most %.1f ms, at %.0f %% of a core")
      :format(late[1000] * 1000, p99 * 1000, late[#late] * 1000, share * 100))
    assert.is_true(p99 * share < 0.1, p99)
  end)

  it("is the same when a seed draws it: same seed, same interleaving", function()
    local function trace(seed)
      native.use_virtual_clock(seed, 40)
      local log = {}
      task.within({}, function()
        for name = 1, 4 do
          native.spawn(function()
            for step = 1, 20 do
              for _ = 1, 10 do end
              log[#log + 1] = name * 100 + step
            end
          end)
        end
      end)
      return table.concat(log, " ")
    end
    local first = trace(11)
    assert.equal(first, trace(11))
    assert.equal(first, trace(11))
    assert.not_equal(first, trace(12))
  end)

  it("lets virtual time pass for a task that never waits, so that its deadline comes", function()
    for _, jitter in ipairs { 0, 10000 } do -- with a seed and no jitter a slice is as long as it may be: seconds, of many slices
      native.use_virtual_clock(jitter > 0 and 1 or nil, jitter)
      local from = native.now()
      local ok, err = task.within({ timeout = 0.3 }, forever)
      assert.same({ false, "timeout" }, { ok, err.code })
      assert.near(0.3, native.now() - from, 0.1)
    end
  end)

  it("lets no virtual time pass for work that comes to an end", function()
    native.use_virtual_clock(1, 1000)
    native.sleep(0) -- what spun before this is over
    local from = native.now()
    task.within({}, function()
      native.spawn(function() native.sleep(2) end)
      local sum = 0
      for i = 1, 20000 do sum = sum + i end
    end)
    assert.near(2, native.now() - from, 1e-9)
  end)
end)

describe("a memory limit", function()
  local LIMIT = 48 << 20

  before_each(function()
    collectgarbage()
    collectgarbage()
    native.limit_memory(LIMIT)
  end)

  after_each(function()
    native.limit_memory(256 << 20)
    collectgarbage()
    collectgarbage()
  end)

  local GREEDY = {
    tables = function(kept) while true do kept[#kept + 1] = {} end end,
    strings = function(kept) local text = "x" while true do text = text .. text kept[1] = text end end,
    ["many strings"] = function(kept) for i = 1, math.huge do kept[i] = ("item %d"):format(i) end end,
    coroutines = function(kept) while true do kept[#kept + 1] = coroutine.create(print) end end,
    closures = function(kept) for i = 1, math.huge do kept[i] = function() return i end end end,
    ["a table inside pcall"] = function(kept) while true do pcall(function() while true do kept[#kept + 1] = {} end end) end end,
    ["a table inside a coroutine"] = function(kept) coroutine.wrap(function() while true do kept[#kept + 1] = { 1, 2, 3 } end end)() end,
    ["a table and waits between"] = function(kept) while true do for _ = 1, 1000 do kept[#kept + 1] = {} end native.yield() end end,
    ["one big table"] = function(kept) while true do kept[#kept + 1] = true end end,
  }

  for name, grow in pairs(GREEDY) do
    it("ends the task that makes " .. name .. " with limit, and nobody else", function()
      local neighbour, ok, err
      local outside, why = task.within({}, function()
        neighbour = native.spawn(function()
          local sum = 0
          for i = 1, 100 do native.sleep(0.001) sum = sum + #tostring(i) end
          return sum
        end)
        native.spawn(function() ok, err = task.within({ timeout = 30 }, function() grow {} end) end)
      end)
      assert.same({ true }, { outside, why })
      assert.is_false(ok)
      assert.equal("limit", err.code)
      assert.matches("memory", err.message)
      assert.same({ true, 192 }, { neighbour:join() })
      collectgarbage()
      collectgarbage()
      assert.is_true(native.stats().memory_bytes < LIMIT, native.stats().memory_bytes)
    end)
  end

  it("does not end a task that makes much garbage and keeps little", function()
    local ok, sum = task.within({}, function()
      local sum = 0
      for i = 1, 200000 do sum = sum + #(("x"):rep(1000) .. i) end -- 200 MB in all
      return sum
    end)
    assert.is_true(ok)
    assert.is_true(sum > 200000 * 1000)
  end)

  it("charges what a task makes to that task", function()
    task.within({}, function()
      local is_held, is_seen = native.waiter(), native.waiter()
      local big = native.spawn(function()
        local held = {}
        for i = 1, 20000 do held[i] = { i } end
        is_held:wake()
        is_seen:wait "the one who looks"
        return #held
      end)
      local small = native.spawn(function() native.sleep(0.05) end)
      is_held:wait "what is held"
      assert.is_true(big:info().bytes > 1000000, big:info().bytes)
      assert.is_true(small:info().bytes < 100000, small:info().bytes)
      is_seen:wake()
    end)
  end)
end)

local clock = require "weir.port.clock"
local port = require "weir.port.store"
local process = require "weir.port.process"
local queue = require "weir.queue"
local native = require "weir.native.scheduler"
local system = require "weir.port.system"
local task = require "weir.task"

local function new_store() return assert(port.open ":memory:") end

-- Puts items in and gives their ids.
local function fill(q, ...)
  local ids = {}
  for index, value in ipairs { ... } do ids[index] = assert(q:enqueue(value)) end
  return ids
end

-- Claims and finishes until there is nothing; gives the values.
local function drain(q)
  local values = {}
  while true do
    local item, _, code = q:claim()
    if not item then
      assert.equal("empty", code)
      return values
    end
    values[#values + 1] = item.value
    assert.is_true(q:finish(item))
  end
end

-- Every space of the queue, by how many keys it holds.
local function left(store)
  local counts = {}
  for _, space in pairs(require("weir.queue.place").spaces) do
    local rows = assert(store:scan(space, { limit = 1000 }))
    if #rows > 0 then counts[space] = #rows end
  end
  return counts
end

describe("a queue", function()
  local store, was_virtual

  before_each(function()
    was_virtual = native.is_virtual()
    if not was_virtual then native.use_virtual_clock(1) end
    store = new_store()
  end)

  after_each(function()
    store:close()
    if not was_virtual then native.use_real_clock() end
  end)

  it("hands out in order of due time, then as they came, and keeps nothing of what is finished", function()
    local q = queue.open(store, "q")
    local now = clock.wall_ms()
    q:enqueue("later", { due_ms = now + 2000 })
    q:enqueue("soon", { due_ms = now + 1000 })
    fill(q, "a", "b", "c")
    assert.equal(5, q:depth())
    assert.same({ "a", "b", "c" }, drain(q))
    clock.sleep(3)
    assert.same({ "soon", "later" }, drain(q))
    assert.equal(0, q:depth())
    assert.same({ ["queue.counts"] = 1 }, left(store))
  end)

  it("keeps the queues of a store apart", function()
    local a, b = queue.open(store, "a"), queue.open(store, "a.b")
    fill(a, 1)
    fill(b, 2, 3)
    assert.same({ 1, 2 }, { a:depth(), b:depth() })
    assert.same({ 1 }, drain(a))
    assert.same({ 2, 3 }, drain(b))
  end)

  it("gives an item to one at a time, and of an ordering key the next one only when the one in front is done", function()
    local q = queue.open(store, "q")
    for index = 1, 3 do q:enqueue("a" .. index, { key = "a" }) end
    q:enqueue("b1", { key = "b / with ♥" })
    q:enqueue("free")
    local a1, b1, free = q:claim(), q:claim(), q:claim()
    assert.same({ "a1", "b1", "free" }, { a1.value, b1.value, free.value })
    assert.equal("empty", select(3, q:claim()))
    assert.is_true(q:finish(a1))
    local a2 = q:claim()
    assert.equal("a2", a2.value)
    assert.equal("ready", (q:release(a2, clock.wall_ms() + 5000)))
    assert.equal("empty", select(3, q:claim()))
    clock.sleep(5)
    assert.equal("a2", q:claim().value)
    assert.equal("empty", select(3, q:claim()))
  end)

  it("takes an ordering key of any length and bytes", function()
    local q = queue.open(store, "q")
    for _, key in ipairs { ("k"):rep(65), ("k"):rep(66), "a/b", "a%2Fb", "\0\255" } do
      q:enqueue({ key }, { key = key })
      q:enqueue({ key }, { key = key })
    end
    local claimed = {}
    for index = 1, 5 do claimed[index] = q:claim() end
    assert.equal("empty", select(3, q:claim()))
    for _, item in ipairs(claimed) do assert.is_true(q:finish(item)) end
    assert.equal(5, #drain(q))
    assert.same({ ["queue.counts"] = 1 }, left(store))
  end)

  it("refuses at its limit with 'full', and takes again when there is room", function()
    local q = queue.open(store, "q", { limit = 2 })
    fill(q, 1, 2)
    local id, message, code = q:enqueue(3)
    assert.is_nil(id)
    assert.equal("full", code)
    assert.match("queue 'q' is full: it holds 2 items", message, 1, true)
    assert(q:enqueue(3, { limit = 3 }))
    assert.same({ 1, 2, 3 }, drain(q))
    assert(q:enqueue(4))
  end)

  it("tells a second delivery by its id until that is over, also one at the same moment", function()
    local q = queue.open(store, "q")
    local id, is_new = q:enqueue("first", { dedupe = "delivery", dedupe_s = 10 })
    assert.is_true(is_new)
    assert.same({ id, false }, { q:enqueue("again", { dedupe = "delivery" }) })
    local tasks, new = {}, 0
    for index = 1, 8 do
      tasks[index] = task.spawn(function()
        if select(2, q:enqueue(index, { dedupe = "together" })) then new = new + 1 end
      end)
    end
    for _, one in ipairs(tasks) do one:join() end
    assert.equal(1, new)
    assert.equal(2, q:depth())
    clock.sleep(11)
    assert.is_true(select(2, q:enqueue("anew", { dedupe = "delivery", dedupe_s = 10 })))
    assert.equal(1, queue.expire(store, clock.wall_ms())) -- the old one: the new key stays
    assert.is_false(select(2, q:enqueue("again", { dedupe = "delivery" })))
  end)

  it("tells a second delivery for centuries where that is asked for", function()
    local q = queue.open(store, "q")
    q:enqueue("first", { dedupe = "delivery", dedupe_s = 99999 * 86400 })
    assert.equal(0, queue.expire(store, clock.wall_ms()))
    assert.is_false(select(2, q:enqueue("again", { dedupe = "delivery" })))
  end)

  it("forgets what told second deliveries in small batches, within a budget", function()
    local q = queue.open(store, "q")
    for index = 1, 30 do q:enqueue(index, { dedupe = "d" .. index, dedupe_s = index <= 20 and 1 or 100 }) end
    assert.equal(0, queue.expire(store, clock.wall_ms()))
    clock.sleep(2)
    assert.equal(15, queue.expire(store, clock.wall_ms(), 15))
    assert.equal(5, queue.expire(store, clock.wall_ms(), 15))
    assert.equal(10, left(store)["queue.seen"])
    assert.equal(10, left(store)["queue.forgets"])
  end)

  it("is part of the caller's transaction: all of it or nothing", function()
    local q = queue.open(store, "q")
    local version = store:put("s", "taken", 1)
    local operations, id, is_new = q:enqueue_operations("item", { dedupe = "d" })
    assert.is_true(is_new)
    operations[#operations + 1] = { op = "cas", space = "s", key = "taken", version = 0, value = 2 }
    assert.equal("conflict", select(3, store:batch(operations)))
    assert.equal(0, q:depth())
    operations[#operations].version = version
    assert(store:batch(operations))
    assert.same({}, (q:enqueue_operations("item", { dedupe = "d" })))
    assert.equal(id, q:claim().id)
  end)

  it("ends an item in one transaction with what its consumer writes", function()
    local q = queue.open(store, "q")
    fill(q, "x")
    local item = q:claim()
    store:put("s", "taken", 1)
    local write = { { op = "put", space = "s", key = "out", value = 1 }, { op = "cas", space = "s", key = "taken", version = 0, value = 2 } }
    local ok, _, code, at = q:finish(item, write)
    assert.is_nil(ok)
    assert.same({ "conflict", 2 }, { code, at })
    assert.equal(1, q:depth())
    assert.equal("not_found", select(3, store:get("s", "out")))
    write[2].version = nil
    write[2].op = "put"
    assert.is_true(q:finish(item, write))
    assert.equal(1, (store:get("s", "out")))
    assert.equal("conflict", select(3, q:finish(item, write)))
  end)

  it("hands out again what a lease ran out of, and then to the dead letters; who had it before is told", function()
    local q = queue.open(store, "q", { attempts = 2, lease_s = 10 })
    local ids = fill(q, "x")
    local first = q:claim { owner = "a" }
    assert.equal("empty", select(3, q:claim()))
    clock.sleep(8)
    assert(q:extend(first))
    clock.sleep(8)
    assert.equal("empty", select(3, q:claim()))
    clock.sleep(3)
    local second = q:claim()
    assert.same({ ids[1], 2 }, { second.id, second.attempt })
    for _, refused in ipairs { { q:finish(first) }, { q:extend(first) }, { q:release(first) } } do
      assert.equal("conflict", refused[3])
    end
    clock.sleep(11)
    assert.equal("empty", select(3, q:claim()))
    assert.same({ 0, 1 }, { q:depth(), q:dead_count() })
    local letter = q:dead_letters()[1]
    assert.same({ ids[1], "x", 2 }, { letter.id, letter.value, letter.attempt })
    assert.match("its lease ran out", letter.error.message)
    assert.is_true(q:replay(ids[1]))
    assert.equal("not_found", select(3, q:replay(ids[1])))
    local third = q:claim()
    assert.same({ ids[1], 1 }, { third.id, third.attempt })
    assert.equal("conflict", select(3, q:finish(second)))
    assert.is_true(q:finish(third))
    assert.same({ ["queue.counts"] = 2 }, left(store))
  end)

  it("buries what is given back too often, with the reason, and goes on with its key", function()
    local q = queue.open(store, "q", { attempts = 2 })
    q:enqueue("bad", { key = "k" })
    q:enqueue("good", { key = "k" })
    assert.equal("ready", (q:release(q:claim(), nil, { is_uncounted = true })))
    assert.equal("ready", (q:release(q:claim())))
    local item = q:claim()
    assert.equal("bad", item.value)
    assert.equal("dead", (q:release(item, nil, { error = { code = "invalid", message = "no" } })))
    assert.equal("good", q:claim().value)
    local letter = q:dead_letters()[1]
    assert.same({ code = "invalid", message = "no" }, letter.error)
    assert.is_true(q:discard(letter.id))
    assert.equal("not_found", select(3, q:discard(letter.id)))
    assert.same({ 0, 1 }, { q:dead_count(), q:depth() })
  end)

  it("shows what is next without handing it out", function()
    local q = queue.open(store, "q")
    for index = 1, 3 do q:enqueue(index, { key = "k" }) end
    q:enqueue(4)
    q:claim()
    local values = {}
    for index, item in ipairs(q:peek()) do values[index] = item.value end
    assert.same({ 4 }, values)
  end)

  it("lets a claim wait for an item, for its due time, and for a lease to run out", function()
    local q = queue.open(store, "q", { lease_s = 30 })
    local from = clock.now()
    assert.equal("empty", select(3, q:claim { timeout = 3 }))
    assert.equal(3, math.floor(clock.now() - from + 0.5))
    local got = task.spawn(function() return q:claim { timeout = 100 } end)
    clock.sleep(1)
    from = clock.now()
    q:enqueue "now"
    local _, item = got:join()
    assert.equal("now", item.value)
    assert.is_true(clock.now() - from < 0.1)
    q:enqueue("later", { due_ms = clock.wall_ms() + 7000 })
    assert.equal("later", q:claim({ timeout = 100 }).value)
    assert.is_true(math.abs(clock.now() - from - 7) < 0.5)
    assert.equal("now", q:claim({ timeout = 100 }).value) -- the lease of the first one ran out
    assert.is_true(math.abs(clock.now() - from - 30) < 0.5)
  end)

  it("wakes all who wait, one after the other, when several items come at once", function()
    local q = queue.open(store, "q")
    local tasks = {}
    for index = 1, 8 do tasks[index] = task.spawn(function() return q:claim { timeout = 50 } end) end
    clock.sleep(1)
    tasks[1]:cancel "not needed"
    local operations = {}
    for index = 1, 7 do
      local list = q:enqueue_operations(index)
      table.move(list, 1, #list, #operations + 1, operations)
    end
    assert(store:batch(operations))
    q:committed()
    local from, values = clock.now(), {}
    for index = 2, 8 do
      local ok, item = tasks[index]:join()
      assert.is_true(ok)
      values[#values + 1] = item.value
    end
    table.sort(values)
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, values)
    assert.is_true(clock.now() - from < 1)
  end)

  it("wakes another when the one it has woken is cancelled before it looks", function()
    local q = queue.open(store, "q")
    local first = task.spawn(function() return q:claim { timeout = 50 } end)
    clock.sleep(1)
    local second = task.spawn(function() return q:claim { timeout = 50 } end)
    clock.sleep(1)
    local operations = q:enqueue_operations "x"
    assert(store:batch(operations))
    q:committed()
    first:cancel "not needed"
    local from = clock.now()
    local _, item = second:join()
    assert.equal("x", item.value)
    assert.is_true(clock.now() - from < 1)
  end)

  it("does not cut leases short when the clock is set forward, nor turn the order when it is set back a little", function()
    local wall_ms = clock.wall_ms
    local function set(ms) clock.wall_ms = function() return wall_ms() + ms end end
    local ok, err = pcall(function()
      local q = queue.open(store, "q", { lease_s = 60 })
      fill(q, "x")
      local item = q:claim()
      set(3600000)
      assert.equal("empty", select(3, q:claim()))
      clock.sleep(30)
      assert.is_true(q:finish(item))
      fill(q, "before")
      set(3600000 - 5000)
      fill(q, "after")
      assert.same({ "before", "after" }, drain(q))
    end)
    clock.wall_ms = wall_ms
    assert(ok, err)
  end)

  it("refuses what is no name, item or option", function()
    assert.has_error(function() queue.open(store, "a/b") end)
    local q = queue.open(store, "q")
    assert.has_error(function() q:enqueue(nil) end)
    assert.has_error(function() q:enqueue(1, { due_ms = 1.5 }) end)
    assert.has_error(function() q:enqueue(1, { key = "" }) end)
    assert.equal("invalid", select(3, q:enqueue(print)))
    assert.equal(0, q:depth())
  end)
end)

describe("a queue on a slow disk", function()
  it("gives back what was taken for one who is cancelled meanwhile", function()
    local folder = system.temporary_folder "weir-queue"
    local store <close> = assert(port.open(folder, { sync_delay_s = 0.2 }))
    local q = queue.open(store, "q")
    fill(q, "x")
    local claimer = task.spawn(function() return q:claim() end)
    repeat task.yield() until claimer:status() == "waiting" -- for the commit of the claim
    claimer:cancel "no longer needed"
    assert.is_false((claimer:join()))
    local item = q:claim()
    assert.same({ "x", 1, 2 }, { item.value, item.attempt, item.grant })
    process.run { "rm", "-rf", "--", folder }
  end)
end)

describe("a watermark", function()
  it("is moved from one place by exactly one of all who would", function()
    local store <close> = new_store()
    local value, version = queue.watermark(store, "schedule/nightly")
    assert.same({ nil, 0 }, { value, version })
    for round = 1, 20 do
      local _, seen = queue.watermark(store, "schedule/nightly")
      local tasks, moved = {}, 0
      for index = 1, 4 do
        tasks[index] = task.spawn(function()
          local operations = queue.watermark_operations("schedule/nightly", seen, round * 60000)
          operations[#operations + 1] = { op = "add", space = "s", key = "starts", by = 1 }
          if store:batch(operations) then moved = moved + 1 end
        end)
      end
      for _, one in ipairs(tasks) do one:join() end
      assert.equal(1, moved)
    end
    assert.equal(20 * 60000, (queue.watermark(store, "schedule/nightly")))
    assert.equal(20, (store:get("s", "starts")))
  end)
end)

describe("a queue, for whoever serves it", function()
  local store, q
  before_each(function()
    store = new_store()
    q = queue.open(store, "work", { attempts = 2 })
  end)
  after_each(function() store:close() end)

  it("hands out what is picked of those that are due, and tells of each what was said of it", function()
    fill(q, "a", "b")
    q:enqueue("c", { about = { priority = 5 } })
    local seen
    local item = assert(q:claim { pick = function(candidates)
      seen = #candidates
      for index, one in ipairs(candidates) do
        if one.about and one.about.priority == 5 then return index end
      end
    end })
    assert.same({ 3, "c", { priority = 5 } }, { seen, item.value, item.about })
    assert.same({ "empty" }, { (select(3, q:claim { pick = function() end })) })
    assert.is_true(q:finish(item))
    assert.same({ "a", "b" }, drain(q))
  end)

  it("offers of each ordering key only the first one", function()
    for n = 1, 3 do q:enqueue(n, { key = "k" }) end
    q:enqueue(4)
    local offered
    local item = assert(q:claim { pick = function(candidates)
      offered = #candidates
      return 1
    end })
    assert.same({ 2, 1 }, { offered, item.value })
    assert.equal(4, assert(q:claim { pick = function() return 1 end }).value)
    assert.equal("empty", (select(3, q:claim { pick = function() return 1 end })))
    q:finish(item)
    assert.equal(2, assert(q:claim { pick = function() return 1 end }).value)
  end)

  it("gives an item that waits another value and another time, and none that was handed out", function()
    local due = clock.wall_ms() + 60000
    local id = assert(q:enqueue("old", { due_ms = due }))
    assert(store:batch(assert(q:revise_operations(id, due, "new", due))))
    assert(store:batch(assert(q:revise_operations(id, due, "newer", clock.wall_ms()))))
    assert.is_nil(q:revise_operations(id, due, "late", due))
    assert.same({ "newer" }, drain(q))
    assert.same({ ["queue.counts"] = 1 }, left(store))
  end)

  it("throws away what has waited longest, but not what somebody has", function()
    fill(q, "a", "b", "c")
    local item = assert(q:claim())
    local operations, id, value = q:drop_oldest_operations()
    assert.equal("b", value)
    assert.equal("c", (select(3, q:drop_oldest_operations { [id] = true })))
    assert(store:batch(operations))
    q:finish(item)
    assert.same({ "c" }, drain(q))
    assert.is_nil(q:drop_oldest_operations())
  end)

  it("takes back what was handed out in another life, and that was no attempt", function()
    fill(q, "a")
    assert(q:claim())
    q.shared.held = {} -- another process does not know of it
    assert.equal(1, q:take_back())
    local item = assert(q:claim())
    assert.same({ "a", 1 }, { item.value, item.attempt })
  end)

  it("counts how often an item was dead and put in again, and does with its death what it is told", function()
    local id = fill(q, "a")[1]
    assert.equal(0, assert(q:claim()).round)
    local item = assert(q:peek(1)) and q:claim { timeout = 0 }
    assert.is_nil(item)
    q.shared.held = {}
    q:take_back()
    item = assert(q:claim())
    assert.equal("dead", q:release(item, nil, { is_last = true, operations = { { op = "put", space = "s", key = "k", value = 1 } } }))
    assert.equal(1, (store:get("s", "k")))
    assert.is_true(q:replay(id))
    assert.equal(1, assert(q:claim()).round)
  end)
end)

local intake = require "weir.event.intake"
local log = require "weir.event.log"
local pages = require "weir.pages"
local store_port = require "weir.port.store"
local task = require "weir.task"
local waits = require "weir.event.waits"
local worlds = require "spec.lua.weir.trigger.world"

local function flowing(steps)
  return ([[
local weir = require "weir"
return weir.pipeline "order" { input = { id = "integer = 1" }, %s }
]]):format(steps)
end

local PAID = [[weir.wait "paid" { event = "order.paid", match = "$.event.data.id == $.input.id" }, output = "$.paid"]]

describe("a step that waits for events", function()
  local world
  after_each(function()
    if world then world:close() end
    world = nil
  end)

  local function open(steps)
    world = worlds.new { ["pipelines/order.lua"] = flowing(steps) }
    world.host.engine.patience = 0
  end

  local function start(input)
    return world.host.engine:start(assert(world.host.project:pipeline "order"), input or {})
  end

  local function parked(run)
    world:eventually(function()
      local row = world.host.store:row(run.id)
      return row and row.status == "waiting" and not world.host.engine.live[run.id]
    end)
  end

  local function output(run)
    run:wait()
    assert.equal("finished", run.status)
    return run.output
  end

  local function kept(space) return #world.host.store:scan(space, { limit = 100 }) end

  it("compares with false of what its run knows", function()
    assert.is_true(waits.is_for({ event = "t", match = "$.input == false", data = { input = false } }, { type = "t", data = {} }))
    assert.is_false(waits.is_for({ event = "t", match = "$.input == true", data = { input = false } }, { type = "t", data = {} }))
  end)

  it("receives the data of the first event of its type that matches, and others wait on", function()
    open(PAID)
    local one, two = start { id = 1 }, start { id = 2 }
    parked(one)
    parked(two)
    world:send("order.paid", { id = 3 })
    world:send("order.other", { id = 2 })
    world:send("order.paid", { id = 2, sum = 12 })
    assert.same({ id = 2, sum = 12 }, output(two))
    assert.equal("waiting", world.host.store:row(one.id).status)
    world:send("order.paid", { id = 1 })
    assert.same({ id = 1 }, output(one))
    assert.same({ 0, 0 }, { kept(waits.WAITS), kept(waits.FOUND) })
  end)

  it("sees an event that came before the wait, since the run began", function()
    open([[weir.step "first" { wait = { signal = "go" } }, ]] .. PAID)
    world:send("order.paid", { id = 1, early = true })
    task.sleep(0.005)
    local run = start()
    parked(run)
    world:send("order.paid", { id = 1, between = true })
    require("weir.run.waking").signal(world.host.engine, run.id, "go", true)
    assert.same({ id = 1, between = true }, output(run))
  end)

  it("is woken by an event whose sender is cancelled while it is being kept", function()
    open(PAID)
    local run, nudged = start(), 0
    parked(run)
    local service = world.host.engine.service
    service.nudge = function(self)
      nudged = nudged + 1
      getmetatable(self).__index.nudge(self)
    end
    local sender = task.spawn(function() world:send("order.paid", { id = 1 }) end)
    task.yield() -- it waits for the disk
    sender:cancel "the sender has gone"
    sender:join()
    assert.is_true(nudged > 0)
    assert.same({ id = 1 }, output(run))
  end)

  it("is woken by an event that comes while no process serves it", function()
    open(PAID)
    local run = start()
    parked(run)
    world.host:stop "nobody serves"
    local store = assert(require("weir.port.store").open(world.folder .. "/.weir", {}))
    require("weir.event.intake").new(store):take { { event = { specversion = "1.0", id = "x", source = "/cli", type = "order.paid",
      data = { id = 1, late = true } }, from = "cli" } }
    store:close()
    world:start()
    world:eventually(function() return world.host.store:row(run.id).status == "finished" end)
  end)

  it("receives each event once: a second wait of the run waits for the next one", function()
    open [[weir.wait "one" { event = "tick" }, weir.wait "two" { event = "tick" }, output = { "$.one.n", "$.two.n" }]]
    local run = start()
    parked(run)
    world:send("tick", { n = 1 })
    world:eventually(function() return kept(waits.TAKEN) == 1 end)
    world:send("tick", { n = 2 })
    assert.same({ 1, 2 }, output(run))
  end)

  it("waits for any of several, of events and signals", function()
    open [[weir.wait "either" { any = { { event = "paid" }, { signal = "go" } } }, output = "$.either"]]
    local run = start()
    parked(run)
    world:send("paid", { n = 1 })
    assert.same({ paid = { n = 1 } }, output(run))
  end)

  it("waits for all of several, and for so many of them", function()
    open [[weir.wait "both" { all = { { event = "paid" }, { event = "packed" } } }, output = "$.both"]]
    local run = start()
    parked(run)
    world:send("packed", { n = 1 })
    parked(run)
    world:send("paid", { n = 2 })
    assert.same({ packed = { n = 1 }, paid = { n = 2 } }, output(run))
    world:close()
    open [[weir.wait "two" { at_least = 2, of = { { event = "a" }, { event = "b" }, { event = "c" } } }, output = "$.two"]]
    run = start()
    parked(run)
    world:send("c", { n = 3 })
    world:send("a", { n = 1 })
    assert.same({ a = { n = 1 }, c = { n = 3 } }, output(run))
  end)

  it("takes types by their beginning", function()
    open [[weir.wait "x" { event = "order.*" }, output = "$.x"]]
    local run = start()
    parked(run)
    world:send("orders", { n = 0 })
    world:send("order.eu.paid", { n = 1 })
    assert.same({ n = 1 }, output(run))
  end)

  it("ends with `timeout` when the event stays away, and leaves nothing behind", function()
    open [[weir.wait "x" { event = "never", timeout = 0.2 }]]
    local run = start()
    run:wait()
    assert.same({ "failed", "timeout" }, { run.status, run.error.code })
    assert.matches("'never' did not come within 0.2 s", run.error.message)
    assert.equal(0, kept(waits.WAITS))
  end)

  it("of a run that was cancelled is forgotten when its event comes", function()
    open(PAID)
    local run = start()
    parked(run)
    world.host.engine:cancel(run.id, "not wanted")
    world:send("order.paid", { id = 1 })
    assert.same({ 0, 0 }, { kept(waits.WAITS), kept(waits.FOUND) })
  end)

  -- A store in which so many runs, of which nobody has a journal, wait for an event.
  local function crowd(store, runs)
    for first = 1, runs, 1000 do
      local operations = {}
      for n = first, math.min(runs, first + 999) do
        local id = ("r_%020d"):format(n)
        operations[#operations + 1] = { op = "entry", journal = store:new_run(id, 1), entry = { "run", {} }, row = { status = "waiting" } }
        operations[#operations + 1] = { op = "put", space = waits.WAITS, key = "tide/" .. waits.place(id, "w", 1), value = {} }
      end
      assert(store:batch(operations))
    end
  end

  local function count(store, space)
    local rows = 0
    for _ in pages.rows(store, space, { limit = 1000 }) do rows = rows + 1 end
    return rows
  end

  local TIDE = { event = { specversion = "1.0", id = "1", source = "/sea", type = "tide", data = {} }, from = "api", dedupe = "1" }

  it("is given an event that more runs wait for than one transaction takes", function()
    local store <close> = assert(store_port.open ":memory:")
    crowd(store, 5100)
    local taken = intake.new(store):take { TIDE }
    assert.is_true(taken[1].is_new)
    assert.same({ 5100, 5100, 0 }, { count(store, waits.FOUND), count(store, "timers"), count(store, waits.GIVING) })
  end)

  it("is given it by another process when the first one has died over it", function()
    local store <close> = assert(store_port.open ":memory:")
    crowd(store, 2100)
    local real, batches = intake.new(store), 0
    real.store = setmetatable({}, { __index = function(_, name)
      return function(_, ...)
        if name == "batch" then batches = batches + 1 end
        if batches > 1 then return nil, "the process has died", "unavailable" end
        return store[name](store, ...)
      end
    end })
    assert.is_false((pcall(real.take, real, { TIDE })))
    assert.equal(1, count(store, waits.GIVING))
    assert.is_true(count(store, "timers") < 2100)
    intake.new(store):give_rest()
    assert.same({ 2100, 2100, 0 }, { count(store, waits.FOUND), count(store, "timers"), count(store, waits.GIVING) })
  end)

  it("finds an event behind a thousand that other steps of the run have received", function()
    local store <close> = assert(store_port.open ":memory:")
    local place, offset = waits.place("r_1", "w", 1), nil
    for _ = 1, 2 do
      local operations = {}
      for _ = 1, 505 do
        local operation
        operation, offset = log.operation(TIDE.event, "api")
        table.move({ operation, { op = "put", space = waits.FOUND, key = place .. "/" .. offset, value = true },
          { op = "put", space = waits.TAKEN, key = "r_1/" .. offset, value = true } }, 1, 3, #operations + 1, operations)
      end
      assert(store:batch(operations))
    end
    assert(store:delete(waits.TAKEN, "r_1/" .. offset))
    assert.equal(offset, waits.found(store, "r_1", place, {}).offset)
    assert(store:batch(waits.over(store, "r_1", { { place = place, wait = { event = "tide" } } }, {})))
    assert.equal(0, count(store, waits.FOUND))
  end)

  it("loses no event, however arrival and wait meet", function()
    open [[weir.wait "x" { event = "e", match = "$.event.data.id == $.input.id" }, output = "$.x.id"]]
    local runs = {}
    for id = 1, 40 do
      runs[id] = start { id = id }
      for _ = 1, id % 7 do task.yield() end
      world:send("e", { id = id })
    end
    for id = 1, 40 do assert.equal(id, output(runs[id])) end
  end)

  it("is refused when its type is no type", function()
    open [[weir.wait "x" { event = "or*der" }]]
    local ok, err = pcall(start)
    local run = ok and err:wait()
    assert.matches("a type, or the beginning of one", ok and run.error.message or err.message)
  end)

  it("is in the log, which is paged by offsets and forgets after its time", function()
    open(PAID)
    for n = 1, 5 do world:send("t." .. n, { n = n }) end
    local store = world.host.store
    local first, next_offset = log.page(store, { limit = 2 })
    assert.same({ "t.1", "t.2" }, { first[1].event.type, first[2].event.type })
    assert.equal("t.3", log.page(store, { after = next_offset, limit = 1 })[1].event.type)
    assert.equal("t.5", log.page(store, { reverse = true, limit = 1 })[1].event.type)
    assert.equal(1, #log.page(store, { type = "t.4" }))
    assert.equal(5, log.expire(store, require("weir.port.clock").wall_ms() + 1000))
    assert.equal(0, #log.page(store, {}))
  end)
end)

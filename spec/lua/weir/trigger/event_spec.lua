local clock = require "weir.port.clock"
local line_of = require "weir.trigger.line"
local log = require "weir.event.log"
local worlds = require "spec.lua.weir.trigger.world"

-- A pipeline that notes what it is started with.
local function pipeline(name, on, more, steps)
  return ([[
local weir = require "weir"
return weir.pipeline "%s" { input = { n = "integer?", items = "array?" }, on = { %s }, %s
  %s }
]]):format(name, on, more or "", steps or [[weir.step "note" { agent = "notes", input = { n = "$.input.n?", type = "$.event.type" } },
  output = "$.note"]])
end

-- Waits for the signal `go` before it ends.
local HELD = [[weir.step "held" { wait = { signal = "go" } }, output = "$.input.n"]]

describe("events that start pipelines", function()
  local world
  after_each(function()
    if world then world:close() end
    world = nil
  end)

  local function open(on, more, steps)
    world = worlds.new { ["pipelines/orders.lua"] = pipeline("orders", on, more, steps) }
    world:eventually(function() return world.host.triggers.sources["orders/event"].status == "running" end)
  end

  local function release(run)
    require("weir.run.waking").signal(world.host.engine, run.id, "go", true)
  end

  local function outcomes() return world.host.triggers.counts["orders/event"] or {} end

  local function queue() return line_of.queue(world.host.store, "orders") end

  it("start a run with their data as its input, and stand in its StepData", function()
    open 'event = { type = "order.*" }'
    world:send("order.paid", { n = 7 })
    world:send("other", { n = 8 })
    local runs = world:ended("orders", 1)
    assert.same({ "finished", { n = 7, type = "order.paid" } }, { runs[1].status, runs[1].output })
    assert.equal(1, #runs)
    assert.matches("^on/orders/event/q_", runs[1].key)
  end)

  it("whose end cannot be kept are told", function()
    open 'event = { type = "order.*" }'
    world.host.triggers.lines.orders.queue.finish = function() require("weir.failure").raise("corrupt", "its lease is damaged") end
    world:send("order.paid", { n = 7 })
    local line = world:eventually(function()
      for _, one in ipairs(world.lines) do
        if one.message:find "could not be settled" then return one end
      end
    end)
    assert.same({ "orders", "its lease is damaged" }, { line.pipeline, line.error })
  end)

  it("do not hold their watcher up: it goes on while the runs that it started are at work", function()
    world = worlds.new {
      ["modules/watchers/three.lua"] = [[
return { kind = "watcher", name = "three", api = 1, watch = function(ctx, sink)
  for n = (ctx.memory.n or 0) + 1, 3 do
    ctx.memory.n = n
    sink { type = "three", id = tostring(n), data = { n = n } }
  end
  ctx:sleep(3600)
end }
]],
      ["pipelines/orders.lua"] = pipeline("orders", "three = {}", "", HELD),
    }
    local runs = world:eventually(function()
      local list = world:runs "orders"
      return #list == 3 and list[3].status == "waiting" and list
    end)
    for _, run in ipairs(runs) do assert.equal("waiting", run.status) end
    for _, run in ipairs(runs) do release(run) end
    assert.equal(3, #world:ended("orders", 3))
  end)

  it("come from any number of sources, of watchers of the project as well", function()
    world = worlds.new {
      ["modules/watchers/once.lua"] = [[
return { kind = "watcher", name = "once", api = 1, options = { n = "integer" }, watch = function(ctx, sink)
  sink { type = "once", id = "once " .. ctx.options.n, data = { n = ctx.options.n } }
  ctx:sleep(3600)
end }
]],
      ["pipelines/orders.lua"] = pipeline("orders", [[{ once = { n = 1 }, name = "one" }, { once = { n = 2 }, name = "two" },
        { event = { type = "order.*" } }]]),
    }
    world:eventually(function() return world.host.triggers.sources["orders/event"].status == "running" end)
    world:send("order.paid", { n = 3 })
    local got = {}
    for _, run in ipairs(world:ended("orders", 3)) do got[run.output.n] = run.output.type end
    assert.same({ "once", "once", "order.paid" }, got)
  end)

  it("start one run for each event, however often it is delivered", function()
    open 'event = { type = "order.*" }'
    local first, is_new = world:send("order.paid", { n = 1 }, { id = "7" })
    local again, is_second = world:send("order.paid", { n = 1 }, { id = "7" })
    assert.same({ first, true, first, false }, { again, is_new, first, is_second })
    world:send("order.paid", { n = 2 }, { id = "8" })
    assert.equal(2, #world:ended("orders", 2))
    world:eventually(function() return queue():depth() == 0 end)
  end)

  it("of a watcher that raises are given once it is started again, and other sources go on meanwhile", function()
    world = worlds.new {
      ["modules/watchers/shaky.lua"] = [[
return { kind = "watcher", name = "shaky", api = 1, watch = function(ctx, sink)
  ctx.memory.tries = (ctx.memory.tries or 0) + 1
  ctx:save()
  if ctx.memory.tries == 1 then error "the sensor does not answer" end
  sink { type = "shaky", id = "1", data = { n = ctx.memory.tries } }
  ctx:sleep(3600)
end }
]],
      ["pipelines/orders.lua"] = pipeline("orders", [[{ shaky = {} }, { event = { type = "order.*" } }]]),
    }
    local source = world.host.triggers.sources["orders/shaky"]
    world:eventually(function() return source.status == "failing" and world.host.triggers.sources["orders/event"].status == "running" end)
    assert.matches("the sensor does not answer", source.trouble)
    world:send("order.paid", { n = 7 })
    local got = {}
    for _, run in ipairs(world:ended("orders", 2)) do got[run.output.type] = run.output.n end
    assert.same({ shaky = 2, ["order.paid"] = 7 }, got)
  end)

  it("are filtered by a condition, and transformed into the input", function()
    open '{ event = { type = "order.*" }, filter = "$.event.data.n > 5", input = { n = "$.event.data.deep.n" } }'
    world:send("order.paid", { n = 1, deep = { n = 10 } })
    world:send("order.paid", { n = 9, deep = { n = 90 } })
    local runs = world:ended("orders", 1)
    assert.same({ n = 90 }, runs[1].input)
    assert.same({ filtered = 1, queued = 1, started = 1 }, outcomes())
  end)

  it("whose data does not fit the pipeline's input are dead letters with the reason, and are replayed", function()
    open '{ event = { type = "order.*" }, input = { n = "$.event.data.n" } }'
    world:send("order.paid", { n = "seven" })
    world:send("order.paid", { m = 1 })
    local letters = world:eventually(function()
      local list = queue():dead_letters()
      return #list == 2 and list
    end)
    assert.matches("input%.n must be integer", letters[1].error.message)
    assert.matches("finds nothing", letters[2].error.message)
    assert.equal(0, #world:runs "orders")
    world:write("pipelines/orders.lua", (pipeline("orders", '{ event = { type = "order.*" }, input = { n = "$.event.data.n" } }')
      :gsub('n = "integer%?"', 'n = "any?"', 1)))
    world:reload "pipelines/orders.lua"
    assert(queue():replay(letters[1].id))
    assert.same({ n = "seven" }, world:ended("orders", 1)[1].input)
  end)

  it("whose run fails are dead letters, and a replay starts another run", function()
    world = worlds.new { ["pipelines/orders.lua"] = pipeline("orders", 'event = { type = "order.*" }', nil,
        [[weir.step "note" { agent = "breaks", input = "$.input" } ]]),
      ["modules/agents/breaks.lua"] = 'return { kind = "agent", name = "breaks", api = 1, execute = function() error "broken" end }' }
    world:eventually(function() return world.host.triggers.sources["orders/event"].status == "running" end)
    world:send("order.paid", { n = 1 })
    local letter = world:eventually(function() return queue():dead_letters()[1] end)
    assert.matches("^run r_%w+: .*broken", letter.error.message)
    assert(queue():replay(letter.id))
    world:ended("orders", 2)
    world:eventually(function() return queue():dead_count() == 1 end)
  end)

  it("debounce: only the last of a burst starts a run, once it has been quiet", function()
    open '{ event = { type = "order.*" }, debounce = { ["for"] = 0.3, key = "$.event.subject" } }'
    for n = 1, 5 do world:send("order.changed", { n = n }, { subject = "a" }) end
    world:send("order.changed", { n = 50 }, { subject = "b" })
    local runs = world:ended("orders", 2)
    local seen = {}
    for _, run in ipairs(runs) do seen[run.input.n] = true end
    assert.same({ [5] = true, [50] = true }, seen)
    assert.same({ joined = 4, queued = 2, started = 2 }, outcomes())
  end)

  it("debounce: `max` starts a run though it never is quiet", function()
    open '{ event = { type = "order.*" }, debounce = { ["for"] = 3600, max = 0.2 } }'
    for n = 1, 3 do world:send("order.changed", { n = n }) end
    assert.same({ n = 3 }, world:ended("orders", 1)[1].input)
  end)

  it("batch: so many events start one run together, or those of a while", function()
    open '{ event = { type = "order.*" }, batch = { size = 3, ["for"] = 2 }, input = { items = "$.event.data.items[*].data.n" } }'
    for n = 1, 4 do world:send("order.changed", { n = n }) end
    local runs = world:ended("orders", 2)
    assert.same({ { items = { 1, 2, 3 } }, { items = { 4 } } }, { runs[1].input, runs[2].input })
  end)

  it("throttle: what is too much waits for its turn, or is dropped", function()
    open '{ event = { type = "order.*" }, throttle = { limit = 2, per = "1h", otherwise = "drop" } }'
    for n = 1, 4 do world:send("order.changed", { n = n }) end
    world:ended("orders", 2)
    assert.same({ queued = 2, started = 2, throttled = 2 }, outcomes())
    world:close()
    open '{ event = { type = "order.*" }, throttle = { limit = 1, per = 0.4 } }'
    local from = clock.now()
    for n = 1, 3 do world:send("order.changed", { n = n }) end
    world:ended("orders", 3)
    assert.is_true(clock.now() - from >= 0.75)
  end)

  it("throttle: a clock that was ahead by a year keeps nothing out once it is set right", function()
    local wall_ms = clock.wall_ms
    open '{ event = { type = "order.*" }, throttle = { limit = 1, per = "1h", otherwise = "drop" } }'
    clock.wall_ms = function() return wall_ms() + 365 * 86400000 end
    local ok, err = pcall(function()
      world:send("order.changed", { n = 1 })
      world:ended("orders", 1)
    end)
    clock.wall_ms = wall_ms
    assert(ok, err)
    for n = 2, 3 do world:send("order.changed", { n = n }) end
    world:ended("orders", 2)
    assert.same({ queued = 2, started = 2, throttled = 1 }, outcomes())
  end)

  it("debounce: holds back for centuries what is to be held back for centuries", function()
    open '{ event = { type = "order.*" }, debounce = { ["for"] = "99999d" } }'
    for n = 1, 2 do world:send("order.changed", { n = n }) end
    assert.same({ queued = 1, joined = 1 }, outcomes())
    assert.equal("empty", select(3, queue():claim()))
  end)

  it("dedupe: of a key only the first one in a while", function()
    open '{ event = { type = "order.*" }, dedupe = { key = "$.event.data.n", ["for"] = "1h" } }'
    for _, n in ipairs { 1, 2, 1, 1 } do world:send("order.changed", { n = n }) end
    world:ended("orders", 2)
    assert.same({ duplicate = 2, queued = 2, started = 2 }, outcomes())
  end)

  it("singleton: none while a run of the key is under way", function()
    open('{ event = { type = "order.*" }, singleton = "$.event.subject" }', nil, HELD)
    world:send("order.changed", { n = 1 }, { subject = "a" })
    world:send("order.changed", { n = 2 }, { subject = "a" })
    world:send("order.changed", { n = 3 }, { subject = "b" })
    local runs = world:eventually(function()
      local list = world:runs "orders"
      return #list == 2 and list
    end)
    assert.equal(1, outcomes().skipped)
    release(runs[1])
    release(runs[2])
    world:ended("orders", 2)
    world:eventually(function() return queue():depth() == 0 end)
    world:send("order.changed", { n = 4 }, { subject = "a" })
    world:eventually(function() return #world:runs "orders" == 3 end)
  end)

  it("of one key run one after the other in their order, those of others beside them", function()
    open('{ event = { type = "order.*" }, key = "$.event.subject" }', nil, HELD)
    for n = 1, 3 do world:send("order.changed", { n = n }, { subject = "a" }) end
    world:send("order.changed", { n = 9 }, { subject = "b" })
    local runs = world:eventually(function()
      local list = world:runs "orders"
      return #list == 2 and list
    end)
    local begun = { runs[1].input.n, runs[2].input.n } -- ids of one millisecond are in no order
    table.sort(begun)
    assert.same({ 1, 9 }, begun)
    for n = 1, 3 do
      local all = world:eventually(function()
        local list = world:runs "orders"
        return #list == n + 1 and list
      end)
      for _, run in ipairs(all) do
        if run.input.n == n then release(run) end
      end
      world:ended("orders", n)
    end
  end)

  it("queue.concurrency: so many runs of a pipeline at a time, and those that only wait do not count", function()
    open('event = { type = "order.*" }', "queue = { concurrency = 1 },", [[
  weir.step "nap" { sleep = 0.2 }, weir.step "note" { agent = "notes", input = { n = "$.input.n" } } ]])
    for n = 1, 3 do world:send("order.changed", { n = n }) end
    local most = 0
    world:eventually(function()
      local live = 0
      for _ in pairs(world.host.engine.live) do live = live + 1 end
      most = math.max(most, live)
      return #world:runs "orders" == 3 and live == 0
    end)
    assert.equal(1, most)
    world:ended("orders", 3)
    world.host.engine.patience = 0
    world:close()
    open('event = { type = "order.*" }', "queue = { concurrency = 1 },", HELD)
    world.host.engine.patience = 0
    for n = 1, 3 do world:send("order.changed", { n = n }) end
    world:eventually(function() return #world:runs "orders" == 3 end)
  end)

  it("concurrency of a trigger: so many runs of a source at a time", function()
    open('{ event = { type = "a" }, name = "event", concurrency = 1 }, { event = { type = "b" }, name = "other" }', nil, HELD)
    for n = 1, 3 do world:send("a", { n = n }) end
    for n = 11, 12 do world:send("b", { n = n }) end
    world:eventually(function() return #world:runs "orders" == 3 end)
    local by = {}
    for _, run in ipairs(world:runs "orders") do by[run.input.n] = true end
    assert.same({ [1] = true, [11] = true, [12] = true }, by)
  end)

  it("come and go while those that are at work are given more time", function()
    open('event = { type = "order.*" }', "queue = { concurrency = 64 },", HELD)
    for n = 1, 4 do world:send("order.changed", { n = n }) end
    world:eventually(function() return #world:runs "orders" == 4 end)
    local line, extended = world.host.triggers.lines.orders, 0
    local extend = line.queue.extend
    function line.queue.extend(...)
      extended = extended + 1
      if extended == 2 then -- one leaves and many come while this one waits for the disk
        release(world:runs("orders")[1])
        for n = 5, 40 do world:send("order.changed", { n = n }) end
        world:eventually(function() return #world:runs "orders" == 40 end)
        world:ended("orders", 1)
      end
      return extend(...)
    end
    line:extend_leases()
    assert.is_true(extended == 3 or extended == 4, extended)
  end)

  it("are handed out again after what hands them out has failed", function()
    open 'event = { type = "order.*" }'
    local line = world.host.triggers.lines.orders
    local claim, failures = line.queue.claim, 0
    function line.queue.claim(...)
      failures = failures + 1
      if failures <= 2 then error "it broke" end
      return claim(...)
    end
    world:send("order.changed", { n = 1 }) -- wakes the claim that waits
    world:send("order.changed", { n = 2 })
    world:ended("orders", 2)
    assert.is_true(failures > 2)
  end)

  it("overflow reject: the sender is told that the queue is full", function()
    open('event = { type = "order.*" }', 'queue = { limit = 2, concurrency = 1, overflow = "reject" },', HELD)
    world:send("order.changed", { n = 1 })
    world:send("order.changed", { n = 2 })
    local ok, err = pcall(world.send, world, "order.changed", { n = 3 }, { id = "three" })
    assert.same({ false, "full" }, { ok, err.code })
    assert.equal(2, #log.page(world.host.store, {}))
    release(world:eventually(function() return world:runs("orders")[1] end))
    world:eventually(function() return queue():depth() == 1 end)
    assert.is_true((select(2, world:send("order.changed", { n = 3 }, { id = "three" }))))
  end)

  it("overflow wait: the sender waits until there is room", function()
    open('event = { type = "order.*" }', 'queue = { limit = 1, concurrency = 1, overflow = "wait" },', HELD)
    world:send("order.changed", { n = 1 })
    local taken
    local sender = require("weir.task").spawn(function()
      world:send("order.changed", { n = 2 }, { patience = 60 })
      taken = true
    end)
    local run = world:eventually(function() return world:runs("orders")[1] end)
    assert.is_nil(taken)
    release(run)
    assert(sender:join(60))
    assert.is_true(taken)
  end)

  it("overflow wait: a watcher that gives more at once than the queue holds gives all of it", function()
    world = worlds.new {
      ["modules/watchers/forty.lua"] = [[
return { kind = "watcher", name = "forty", api = 1, watch = function(ctx, sink)
  local list = {}
  for n = 1, 40 do list[n] = { type = "n", id = tostring(n), data = { n = n } } end
  sink(list)
  ctx:sleep(3600)
end }
]],
      ["pipelines/orders.lua"] = pipeline("orders", "forty = {}", 'queue = { limit = 3, overflow = "wait" },'),
    }
    world:ended("orders", 40)
    local seen = {}
    for _, run in ipairs(world:runs "orders") do seen[run.input.n] = true end
    assert.equal(40, #seen)
  end)

  it("overflow wait: of two watchers of a pipeline neither keeps the other from its turn", function()
    local busy = [[
return { kind = "watcher", name = "NAME", api = 1, watch = function(ctx, sink)
  local list = {}
  for n = 1, 30 do list[n] = { type = "NAME", id = tostring(n), data = { n = n } } end
  sink(list)
  ctx:sleep(3600)
end }
]]
    world = worlds.new {
      ["modules/watchers/one.lua"] = busy:gsub("NAME", "one"), ["modules/watchers/two.lua"] = busy:gsub("NAME", "two"),
      ["pipelines/orders.lua"] = pipeline("orders", '{ one = {}, name = "a" }, { two = {}, name = "b" }',
        'queue = { limit = 4, overflow = "wait" },'),
    }
    world:ended("orders", 60)
    local last = {}
    for position, run in ipairs(world:runs "orders") do last[run.event.type] = position end
    assert.is_true(math.min(last.one, last.two) > 30, ("%d, %d"):format(last.one, last.two))
  end)

  it("overflow drop_oldest: what has waited longest gives way", function()
    open('event = { type = "order.*" }', 'queue = { limit = 2, concurrency = 1, overflow = "drop_oldest" },', HELD)
    world:send("order.changed", { n = 1 })
    local run = world:eventually(function() return world:runs("orders")[1] end)
    for n = 2, 5 do world:send("order.changed", { n = n }) end
    assert.equal(3, outcomes().dropped)
    release(run)
    assert.equal(5, world:eventually(function() return world:runs("orders")[2] end).input.n)
  end)

  it("overflow spill: the queue goes beyond its limit, on disk", function()
    open('event = { type = "order.*" }', 'queue = { limit = 1, concurrency = 1, overflow = "spill" },', HELD)
    for n = 1, 50 do world:send("order.changed", { n = n }) end
    assert.equal(50, queue():depth())
  end)

  it("ask the queue's policy whose turn it is: priority, fair", function()
    open('event = { type = "order.*" }', 'queue = { concurrency = 1, policy = "priority", priority = "$.event.data.n" },', HELD)
    world:send("order.changed", { n = 0 })
    local first = world:eventually(function() return world:runs("orders")[1] end)
    for _, n in ipairs { 1, 3, 2 } do world:send("order.changed", { n = n }) end
    local order = {}
    for n = 2, 4 do
      release(first)
      first = world:eventually(function() return world:runs("orders")[n] end)
      order[#order + 1] = first.input.n
    end
    assert.same({ 3, 2, 1 }, order)
    world:close()
    open('event = { type = "order.*" }', 'queue = { concurrency = 1, policy = "fair", key = "$.event.subject" },', HELD)
    world:send("order.changed", { n = 0 }, { subject = "z" })
    first = world:eventually(function() return world:runs("orders")[1] end)
    for n = 1, 3 do world:send("order.changed", { n = n }, { subject = "a" }) end
    world:send("order.changed", { n = 10 }, { subject = "b" })
    order = {}
    for n = 2, 5 do
      release(first)
      first = world:eventually(function() return world:runs("orders")[n] end)
      order[#order + 1] = first.input.n
    end
    assert.same({ 1, 10, 2, 3 }, order)
  end)

  it("are kept while a source is paused or the host is down, and given afterwards", function()
    open 'event = { type = "order.*" }'
    world.host.triggers:pause "orders/event"
    world:send("order.changed", { n = 1 })
    assert.equal("paused", world.host.triggers:list()[1].status)
    world.host:stop "another life"
    local store = assert(require("weir.port.store").open(world.folder .. "/.weir", {}))
    require("weir.event.intake").new(store):take { { event = { specversion = "1.0", id = "x", source = "/cli", type = "order.new",
      data = { n = 2 } }, from = "cli" } }
    store:close()
    world:start()
    assert.equal("paused", world.host.triggers:list()[1].status)
    assert.equal(0, #world:runs "orders")
    world.host.triggers:resume "orders/event"
    local seen = {}
    for _, run in ipairs(world:ended("orders", 2)) do seen[run.input.n] = true end
    assert.same({ true, true }, seen)
  end)

  it("follow reloads: the source goes on with its offset, and nothing is lost or repeated", function()
    open 'event = { type = "order.*" }'
    local sent, stop = 0, false
    local sender = require("weir.task").spawn(function()
      while not stop do
        sent = sent + 1
        world:send("order.changed", { n = sent })
        require("weir.task").sleep(0.002)
      end
    end)
    for round = 1, 5 do
      world:write("pipelines/orders.lua", pipeline("orders", ('{ event = { type = "order.*" }, filter = "$.event.data.n > -%d" }'):format(round)))
      world:reload "pipelines/orders.lua"
    end
    stop = true
    sender:join()
    local runs = world:ended("orders", sent)
    local seen = {}
    for _, run in ipairs(runs) do
      assert.is_nil(seen[run.input.n])
      seen[run.input.n] = true
    end
    assert.equal(sent, #runs)
  end)

  it("of a pipeline whose `on` has gone start nothing any more, and those of a new pipeline do", function()
    open 'event = { type = "order.*" }'
    world:write("pipelines/orders.lua", pipeline("orders", 'event = { type = "else" }'))
    world:write("pipelines/fresh.lua", pipeline("fresh", 'event = { type = "order.*" }'))
    world:reload("pipelines/orders.lua", "pipelines/fresh.lua")
    world:eventually(function() return world.host.triggers.sources["fresh/event"].status == "running" end)
    world:send("order.changed", { n = 1 })
    world:ended("fresh", 1)
    assert.equal(0, #world:runs "orders")
  end)

  it("that runs publish start others, and those that start one another without end are stopped", function()
    local publishes = 'return { kind = "agent", name = "says", api = 1, execute = function(ctx, input)'
      .. ' ctx:publish { type = "order.said", data = { n = input.n + 1 } } return input.n end }'
    world = worlds.new { ["modules/agents/says.lua"] = publishes,
      ["pipelines/loop.lua"] = pipeline("loop", 'event = { type = "order.*" }', nil,
        [[weir.step "say" { agent = "says", input = { n = "$.input.n" } } ]]) }
    world:eventually(function() return world.host.triggers.sources["loop/event"].status == "running" end)
    world:send("order.new", { n = 1 })
    world:eventually(function()
      for _, line in ipairs(world.lines) do
        if line.level == "error" and tostring(line.error):find "started one another" then return true end
      end
    end)
    assert.equal(65, #world:ended("loop", 65))
  end)

  it("that do not come are an event, once for each silence", function()
    open '{ event = { type = "beat", absent = 0.2 }, input = {} }'
    world:send("beat", {})
    local runs = world:ended("orders", 1)
    assert.same({ "weir.absent", "beat" }, { runs[1].event.type, runs[1].event.data.type })
    require("weir.task").sleep(0.5)
    assert.equal(1, #world:runs "orders")
    world:send("beat", {})
    world:ended("orders", 2)
  end)
end)

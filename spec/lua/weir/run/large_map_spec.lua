-- Maps beyond one range of items: what is kept of them, and what a later life does again.

local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/run/support.lua"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step
local COUNT = 3500

local calls, most, running, hold

-- Agents may lose the processor anywhere, also between reading a number and writing it.
local function tally(started, ended)
  native.atomic(function()
    calls, running = calls + started, running + started - ended
    most = math.max(most, running)
  end)
end

local agents = {
  range = function(ctx, given)
    for n = 1, given.count do ctx:emit(n) end
    if given.fails then error { code = "unavailable", message = "the source ran dry" } end
    return true
  end,
  double = function(ctx, given)
    tally(1, 0)
    local _ <close> = setmetatable({}, { __close = function() tally(0, 1) end })
    if hold then hold(ctx, given) end
    if given.n == given.bad then error { code = "denied", message = "not this one" } end
    if given.full_above and running > given.full_above then error { code = "full", message = "too many at once" } end
    return given.large and { n = given.n, text = ("x"):rep(6000) } or given.n * 2
  end,
  sum = function(_, given)
    tally(1, 1)
    local sum = given.acc or 0
    for _, item in ipairs(given.items) do sum = sum + (type(item) == "table" and item.n or item) end
    return sum
  end,
}

local function numbers(count)
  local list = weir.list {}
  for n = 1, count do list[n] = n end
  return list
end

local function fields(more)
  local input = { n = "$.item" }
  for name, value in pairs(more.item or {}) do input[name] = value end
  local all = { over = more.over or { count = COUNT }, chunk = more.over == nil and { agent = "range", stream = true } or nil,
    S "one" { agent = "double", input = input, retry = more.retry, timeout = more.timeout } }
  for name, value in pairs(more) do
    if name ~= "item" and name ~= "retry" and name ~= "timeout" then all[name] = value end
  end
  return all
end

local function reset() calls, most, running, hold = 0, 0, 0, nil end

local function run(more, options)
  options = options or {}
  options.agents = agents
  return testing.run(P "large" { weir.map "all" (fields(more)), table.unpack(options.after or {}) }, options)
end

local TOTAL = COUNT * (COUNT + 1)

describe("a map of several ranges", function()
  before_each(reset)

  it("gives its outputs in the order of the items", function()
    local of = run {}
    assert.equal("finished", of.status, of.error and of.error.message)
    assert.equal(COUNT, #of.output)
    for n = 1, COUNT do assert.equal(n * 2, of.output[n]) end
  end)

  it("takes its items from a list as well as from a chunker's stream", function()
    local of = run { over = numbers(COUNT) }
    assert.same({ "finished", COUNT, 2 * COUNT }, { of.status, #of.output, of.output[COUNT] })
  end)

  it("folds the results as they come, and reduces as a tree, to the same as at once", function()
    for _, mode in ipairs { "all", "fold", "tree" } do
      local of = run { reduce = { agent = "sum", mode = mode, arity = 7 } }
      assert.same({ "finished", TOTAL }, { of.status, of.output }, mode)
    end
  end)

  it("gives them in the order in which they came, if that is enough", function()
    hold = function(ctx, given) ctx:sleep(given.n % 3) end
    local of = run { ordered = false, concurrency = 50 }
    assert.equal(COUNT, #of.output)
    assert.is_true(of.output[1] ~= 2 or of.output[2] ~= 4)
    table.sort(of.output)
    for n = 1, COUNT do assert.equal(n * 2, of.output[n]) end
  end)

  it("fails with the first failure, and tolerates so many or such a share", function()
    local of = run { item = { bad = 2600 } }
    assert.same({ "failed", "denied" }, { of.status, of.error.code })
    assert.matches("item 2599: not this one", of.error.message)
    for _, tolerate in ipairs { 1, "1%" } do
      of = run { item = { bad = 2600 }, tolerate = tolerate }
      assert.same({ "finished", weir.null, 5202 }, { of.status, of.output[2600], of.output[2601] })
    end
  end)

  it("fails when its chunker does", function()
    local of = run { over = { count = 1200, fails = true }, chunk = { agent = "range", stream = true } }
    assert.same({ "failed", "unavailable" }, { of.status, of.error.code })
    assert.matches("its chunker failed: the source ran dry", of.error.message)
  end)

  it("fails with what its reducer raises, and names it", function()
    local sum = agents.sum
    agents.sum = function(_, given) if given.items[1] == 3000 then error { code = "limit", message = "too much" } end return 1 end
    local of = run { reduce = { agent = "sum", mode = "fold" } }
    agents.sum = sum
    assert.same({ "failed", "limit", "all/reduce/1499" }, { of.status, of.error.code, of.error.step })
  end)

  it("stops early when it has enough, and cancels the rest", function()
    hold = function(ctx, given) ctx:sleep(given.n == 1500 and 1 or 2) end
    local of = run { concurrency = 10, ["until"] = "$.one == 3000" }
    assert.equal("finished", of.status)
    assert.equal(3000, of.output[1500])
    assert.is_true(calls < 1600, calls)
    assert.equal(0, running)
  end)

  it("retries an item by itself, within its own time limit", function()
    local tried = {}
    hold = function(ctx, given)
      tried[given.n] = (tried[given.n] or 0) + 1
      if given.n == 2100 and tried[given.n] < 3 then ctx:sleep(60) end
    end
    local of = run { retry = { attempts = 3, backoff = 1 }, timeout = "10s" }
    assert.same({ "finished", 3, 1 }, { of.status, tried[2100], tried[2101] })
  end)

  it("tells how far it is, and when it will be done", function()
    hold = function(ctx) ctx:sleep(1) end
    local of = run { over = numbers(COUNT), concurrency = 10 }
    local reports, last = 0, nil
    for _, event in ipairs(of.events) do
      if event.kind == "progress" then
        reports, last = reports + 1, event
        local left = (COUNT - event.done) / 10
        assert.equal(COUNT, event.total)
        if event.done > 100 then assert.is_true(math.abs(event.eta_s - left) < 2 + left / 10, event.eta_s) end
      end
    end
    assert.is_true(reports > 100 and reports <= COUNT // 10 + 1, reports)
    assert.same({ COUNT, 0 }, { last.done, last.eta_s })
  end)

  it("reads the stream of a step beside it", function()
    local of = testing.run(P "large" { G "both" { S "numbers" { agent = "range", input = { count = 1500 }, stream = true },
      weir.map "all" { from = "numbers", S "one" { agent = "double", input = { n = "$.item" } }, reduce = { agent = "sum", mode = "fold" } } },
      output = "$.all" }, { agents = agents })
    assert.same({ "finished", 1500 * 1501 }, { of.status, of.output })
  end)
end)

describe("what is at once", function()
  before_each(reset)

  it("grows while all goes well, up to its most", function()
    hold = function(ctx) ctx:sleep(1) end
    local of = run { concurrency = { min = 2, max = 40 } }
    assert.equal("finished", of.status)
    assert.equal(40, most)
  end)

  it("is halved when somebody says it is full, and stays where it fits", function()
    hold = function(ctx) ctx:sleep(1) end
    local of = run { concurrency = { min = 1, max = 100 }, item = { full_above = 20 }, retry = { attempts = 9, backoff = 0.1, on = { "full" } } }
    assert.equal("finished", of.status, of.error and of.error.message)
    assert.is_true(most > 15 and most < 45, most)
  end)

  it("is halved when items take much longer than they did", function()
    hold = function(ctx) ctx:sleep(running > 16 and 10 or 1) end
    local of = run { concurrency = { min = 2, max = 400 } }
    assert.equal("finished", of.status)
    assert.is_true(most < 80, most)
  end)
end)

describe("a straggler", function()
  before_each(reset)

  it("is begun once more, and whoever is first counts", function()
    local begun = {}
    hold = function(ctx, given)
      begun[given.n] = (begun[given.n] or 0) + 1
      ctx:sleep(given.n == 3 and begun[3] == 1 and 500 or 1)
    end
    local of = run { over = numbers(10), hedge = "5s", concurrency = 10 }
    assert.same({ "finished", 6, 6, 2, 1 }, { of.status, of.seconds, of.output[3], begun[3], begun[4] })
    assert.equal(0, running)
  end)
end)

describe("a large map in the store", function()
  local world
  before_each(reset)
  after_each(function() if world then world:close() end world = nil end)

  local function begin(more, writes)
    world = support.world(agents)
    world:life(writes)
    local definition = world:define(P "large" { weir.map "all" (fields(more)) })
    local made = world:begin(definition)
    world:life()
    return made and made.id or assert(world.store:runs { limit = 1 })[1].id
  end

  local function records()
    local keys = {}
    for _, row in ipairs(assert(world.store:scan("items", { limit = 1000 }))) do keys[#keys + 1] = row.key:match "/([^/]+)$" end
    return keys
  end

  it("has one entry in the journal, and one record for each thousand items", function()
    local id = begin {}
    world:settle(id)
    local entries = world:ending(id).entries
    assert.is_true(#entries < 8, #entries)
    assert.same({ "000000000", "000000001", "000000002", "000000003" }, records())
  end)

  it("does only what is missing in a later life, wherever the process ends", function()
    for writes = 2, 9 do
      reset()
      hold = function(ctx, given) if given.n % 100 == 0 then ctx:sleep(0.05) end end
      local id = begin({ reduce = { agent = "sum", mode = "fold" } }, writes)
      local before = calls
      assert.equal("finished", world:settle(id).status)
      assert.equal(TOTAL, world:ending(id).value, "after write " .. writes)
      assert.is_true(calls <= 2 * COUNT + 2100, ("%d calls, %d before"):format(calls, before))
      world:close()
    end
    world = nil
  end)

  it("is not set aside for processes that ended within one range, as long as each had something of it done", function()
    hold = function(ctx) ctx:sleep(0.1) end
    local id = begin({ over = numbers(1200), concurrency = 4 }, 20)
    local lives = 0
    repeat
      lives = lives + 1
      world:life(12)
      world:go_on()
    until world:row(id).status ~= "running" or lives > 99
    assert.equal("finished", world:row(id).status)
    assert.is_true(lives > 6, lives)
    assert.equal(1200, #world:ending(id).value)
    assert.is_true(calls <= 1200 + 8 * lives, ("%d calls in %d lives"):format(calls, lives)) -- four under way, four not yet kept
  end)

  it("is set aside when an item ends the process three times, also after others were done", function()
    hold = function(ctx, given)
      if given.n == 1100 then world.mortal.writes = 0 end
      ctx:sleep(0.1)
    end
    local id = begin({ over = numbers(1200), concurrency = 4 }, 1000)
    local function first_range() return select(2, assert(world.store:get("items", id .. "/all/000000000"))) end
    local written, lives = first_range(), 0
    repeat
      lives = lives + 1
      world:life(1000)
      world:go_on()
    until world:row(id).status ~= "running" or lives > 9
    assert.equal("quarantined", world:row(id).status)
    assert.is_true(lives <= 4, lives)
    assert.equal(written, first_range()) -- what is whole is not written again
  end)

  it("goes on behind a stop with nothing done twice", function()
    world = support.world(agents)
    hold = function(ctx, given) if given.n > 2000 then ctx:sleep(1) end end
    local run_of = world.engine:start(world:define(P "large" { weir.map "all" (fields { concurrency = 4 }) }), {})
    while calls < 2400 do native.sleep(1) end
    run_of:stop "the host ends"
    run_of:await_left()
    assert.is_true(calls < 2500, calls)
    world:life()
    assert.equal("finished", world:settle(run_of.id).status)
    assert.equal(COUNT, #world:ending(run_of.id).value)
    assert.is_true(calls <= COUNT + 4, calls) -- those that were under way
  end)

  it("goes on with its accumulator, not from the first item", function()
    world = support.world(agents)
    hold = function(ctx, given) if given.n > 3000 then ctx:sleep(1) end end
    local run_of = world.engine:start(world:define(P "large" { weir.map "all" (fields { reduce = { agent = "sum", mode = "fold" } }) }), {})
    while calls < 3010 do native.sleep(1) end
    run_of:stop "the host ends"
    run_of:await_left()
    reset()
    world:life()
    world:settle(run_of.id)
    assert.equal(TOTAL, world:ending(run_of.id).value)
    assert.is_true(calls < 2 * 520, calls)
  end)

  it("keeps the items of a range that is done and waits for its reducer, or for a range before it", function()
    for _, how in ipairs { "stop", "crash" } do
      world = support.world(agents)
      local done, slow = 0, 0
      hold = function(ctx, given)
        native.atomic(function() done = done + 1 end)
        if given.n == 1500 then ctx:sleep(100) end
      end
      world.here.registry:put { kind = "agent", name = "late", api = 1, options = { type = "object" }, execute = function(ctx, given)
        slow = slow + 1
        ctx:sleep(10)
        return agents.sum(ctx, given)
      end }
      local run_of = world.engine:start(world:define(P "large" { weir.map "all" (fields { reduce = { agent = "late", mode = "fold" } }) }), {})
      native.sleep(5)
      assert.same({ COUNT, 1 }, { done, slow }, how)
      run_of[how](run_of, "the host ends")
      run_of:await_left()
      done = 0
      world:life()
      world:settle(run_of.id)
      assert.equal(TOTAL, world:ending(run_of.id).value)
      assert.equal(1, done, how)
      world:close()
    end
    world = nil
  end)

  it("of a retry does only what failed or was missing", function()
    world = support.world(agents)
    hold = function(_, given) if given.n == 2600 then error { code = "denied", message = "not this one" } end end
    local made = world:begin(P "large" { weir.map "all" (fields { reduce = { agent = "sum", mode = "tree" } }) })
    assert.equal("failed", world:ending(made.id).status)
    assert.is_true(calls > 2600 and calls < 2900, calls)
    reset()
    local id = require("weir.run.fork").retry(world.engine, made.id, {}):make()
    world:settle(id)
    assert.equal(TOTAL, world:ending(id).value)
    assert.is_true(calls < COUNT - 2500 + 260, calls) -- the rest of the items, and the nodes of the tree
  end)

  it("keeps large results apart, and finds them again", function()
    world = support.world(agents)
    hold = function(ctx, given) if given.n > 1100 then ctx:sleep(1) end end
    local given = fields { over = numbers(1200), item = { large = true }, reduce = { agent = "sum", mode = "all" } }
    local run_of = world.engine:start(world:define(P "large" { weir.map "all" (given) }), {})
    native.sleep(5)
    run_of:stop "the host ends"
    run_of:await_left()
    local record = assert(world.store:get("items", ("%s/all/000000000"):format(run_of.id)))
    assert.is_true(type(record.b) == "table" and record.v[1] == weir.null)
    world:life()
    world:settle(run_of.id)
    assert.equal(1200 * 1201 / 2, world:ending(run_of.id).value)
  end)

  it("stops with conflict when its items are not those that were recorded", function()
    local count = 0
    agents.moody = function(ctx)
      count = count + 1
      for n = 1, 1500 do ctx:emit(n + (count > 1 and 1 or 0)) end
      return true
    end
    world = support.world(agents)
    hold = function(ctx, given) if given.n > 1200 then ctx:sleep(1) end end
    local run_of = world.engine:start(world:define(P "large" { weir.map "all" { over = {}, chunk = { agent = "moody", stream = true },
      S "one" { agent = "double", input = { n = "$.item" } } } }), {})
    native.sleep(5)
    run_of:stop "the host ends"
    run_of:await_left()
    world:life()
    world:settle(run_of.id)
    agents.moody = nil
    assert.same({ "failed", "conflict" }, { world:ending(run_of.id).status, world:ending(run_of.id).value.code })
  end)

  it("keeps what its agents post and publish with their items", function()
    world = support.world { post = function(ctx, given)
      ctx.workspace:post("sum", 1, { merge = "counter" })
      return given.n
    end, read = function(ctx) return ctx.workspace:get("sum").value end }
    local made = world:begin(P "large" { weir.map "all" { over = numbers(1100), S "one" { agent = "post", input = { n = "$.item" } } },
      S "read" { agent = "read" } })
    world:settle(made.id)
    assert.equal(1100, world:ending(made.id).value)
  end)
end)

describe("a map that remembers", function()
  before_each(reset)

  it("computes only what has changed since it was run before", function()
    local world = support.world(agents)
    local function ask(list)
      local made = world:begin(P "memory" { input = { list = "any" }, weir.map "all" { over = "$.input.list", memo = "1d",
        S "one" { agent = "double", input = { n = "$.item" } }, reduce = { agent = "sum", mode = "tree", arity = 10 } } }, { list = list })
      world:settle(made.id)
      return world:ending(made.id).value
    end
    local list = numbers(1000)
    assert.equal(1000 * 1001, ask(list))
    assert.equal(1111, calls) -- the items, and 100, 10 and 1 nodes
    calls, list[500] = 0, 5
    assert.equal(1000 * 1001 - 1000 + 10, ask(list))
    assert.equal(3, calls) -- the node of each level above it; the item was known
    calls = 0
    native.sleep(2 * 86400)
    ask(list)
    assert.equal(1111 - 1, calls) -- two items are alike
    world:close()
  end)

  it("is refused where an item is more than an agent's step", function()
    local ok, message = pcall(testing.run, P "p" { weir.map "m" { over = weir.list { 1 }, memo = "1d", S "a" { agent = "echo" }, S "b" { agent = "echo" } } }, {})
    assert.is_false(ok)
    assert.matches("memo: outputs are remembered where each item is an agent's step", message)
  end)
end)

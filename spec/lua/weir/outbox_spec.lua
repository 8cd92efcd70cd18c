local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local outbox = require "weir.outbox"
local port = require "weir.port.store"
local queue = require "weir.queue"
local task = require "weir.task"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local function run(pipeline, agents, options)
  options = options or {}
  options.agents = agents
  local result = testing.run(pipeline, options)
  assert.equal(options.status or "finished", result.status, result.error and result.error.message)
  return result
end

local function types(events)
  local list = {}
  for index, event in ipairs(events) do list[index] = event.type end
  return list
end

local function say(...)
  local said = { ... }
  return function(ctx)
    for _, type in ipairs(said) do ctx:publish { type = type } end
    return true
  end
end

describe("the events that steps publish", function()
  it("go out with what a CloudEvent needs, under an id that says where they come from", function()
    local result = run(P "news" { S "tell" { agent = "tell" } }, {
      tell = function(ctx)
        local data = { text = "ebb" }
        local id = ctx:publish { type = "tide.turned", data = data, subject = "harbour" }
        data.text = "changed afterwards"
        return { id = id, second = ctx:publish { type = "tide.noted" } }
      end,
    })
    local first, second = result.published[1], result.published[2]
    assert.equal(2, #result.published)
    assert.equal(result.id .. "/tell/1", first.id)
    assert.same({ first.id, result.id .. "/tell/2" }, { result:data("tell").id, second.id })
    assert.match("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", first.time)
    assert.same({ "1.0", "/pipelines/news", "tide.turned", "harbour", "application/json", { text = "ebb" } },
      { first.specversion, first.source, first.type, first.subject, first.datacontenttype, first.data })
    assert.same({ nil, nil }, { second.data, second.datacontenttype })
  end)

  it("are only those of the attempt that finished", function()
    local result = run(P "again" { S "try" { agent = "try", retry = { attempts = 3, backoff = 1 } } }, {
      try = function(ctx)
        ctx:publish { type = "attempt" .. ctx.attempt }
        if ctx.attempt < 3 then error "no" end
        return true
      end,
    })
    assert.same({ "attempt3" }, types(result.published))
    assert.equal(result.id .. "/try/1", result.published[1].id)
  end)

  it("are none of a step that failed, was cancelled or whose draft was refused", function()
    local result = run(P "failing" { S "good" { agent = "good" }, S "bad" { agent = "bad" } }, {
      good = say "good",
      bad = function(ctx)
        ctx:publish { type = "bad" }
        error "no"
      end,
    }, { status = "failed" })
    assert.same({ "good" }, types(result.published))

    result = run(P "race" { G "first" { join = "any", S "slow" { agent = "slow" }, S "fast" { agent = "fast" } } }, {
      slow = function(ctx)
        ctx:publish { type = "slow" }
        ctx:sleep(60)
        return true
      end,
      fast = say "fast",
    })
    assert.same({ "fast" }, types(result.published))

    result = run(P "drafts" { S "write" { agent = "write", critic = { use = "agreement", attempts = 5 } } }, {
      write = function(ctx)
        ctx.memory.n = (ctx.memory.n or 0) + 1
        ctx:publish { type = "draft" .. ctx.memory.n }
        return { answer = ctx.memory.n == 1 and "41" or "42" }
      end,
    })
    assert.same({ "draft4" }, types(result.published))
  end)

  it("come from every kind of step, in the order in which the run finished them", function()
    local result = run(weir.flow "flow" { function(all)
      all:step "one" { agent = "say", input = { what = "one" } }
      all:step "function" { function(step)
        step:publish { type = "function" }
        step:step "inner" { agent = "say", input = { what = "inner" } }
        return true
      end }
      all:map "each" { over = weir.list { 1, 2 }, concurrency = 1, each = weir.step "say" { agent = "say", input = { what = "item" } } }
      return true
    end }, { say = function(ctx, input) return { id = ctx:publish { type = input.what } } end })
    assert.same({ "one", "inner", "function", "item", "item" }, types(result.published))
    local ids = {}
    for index, event in ipairs(result.published) do ids[index] = event.id:sub(#result.id + 2) end
    assert.same({ "one/1", "function/inner/1", "function/1", "each[0]/say/1", "each[1]/say/1" }, ids)
  end)

  it("are refused where there is no outcome, with advice, and where they are no events", function()
    local result = run(weir.flow "flow" { function(all) return all:publish { type = "x" } end }, {}, { status = "failed" })
    assert.equal("invalid", result.error.code)
    assert.match("do it in a step", result.error.message, 1, true)
    for wrong, said in pairs {
      [{}] = "type has to be a text", [{ type = "" }] = "type has to be", [{ type = "a", subject = 1 }] = "subject has to be",
      [{ type = "a", date = 1 }] = "no field 'date'; did you mean 'data'?", [{ type = "a", data = { print } }] = "data is a table",
      [{ type = "a", data = ("x"):rep(1 << 20) }] = "more than 1048576",
    } do
      result = run(P "wrong" { S "x" { agent = "x" } }, { x = function(ctx) return ctx:publish(wrong) end }, { status = "failed" })
      assert.match(said, result.error.message, 1, true)
      assert.is_true(result.error.code == "invalid" or result.error.code == "limit")
    end
  end)
end)

describe("an outbox", function()
  local store, was_virtual

  before_each(function()
    was_virtual = native.is_virtual()
    if not was_virtual then native.use_virtual_clock(1) end
    store = assert(port.open ":memory:")
  end)

  after_each(function()
    store:close()
    if not was_virtual then native.use_real_clock() end
  end)

  local function put(run_id, n)
    assert(queue.open(store, "outbox"):enqueue({ id = ("%s/s/%d"):format(run_id, n), type = "t" }, { key = run_id }))
  end

  it("hands over again what a sink refuses, raises at or takes too long for, before the run's next event", function()
    for n = 1, 3 do put("r_1", n) end
    put("r_2", 1)
    local seen, tries = {}, 0
    local function sink(event)
      if event.id == "r_1/s/2" and tries < 3 then
        tries = tries + 1
        if tries == 1 then return nil, "not now", "unavailable" end
        if tries == 2 then error "broken" end
        clock.sleep(100)
      end
      seen[#seen + 1] = event.id
      return true
    end
    local counts = outbox.drain(store, sink, { timeout = 5 })
    assert.same({ sent = 2, refused = 1, dead = 0 }, counts)
    while outbox.queue(store):depth() > 0 do
      clock.sleep(1)
      outbox.drain(store, sink, { timeout = 5 })
    end
    assert.same({ "r_1/s/1", "r_2/s/1", "r_1/s/2", "r_1/s/3" }, seen)
    assert.equal(3, tries)
  end)

  it("waits longer after each refusal, and then keeps the event as a dead letter", function()
    put("r_1", 1)
    put("r_1", 2)
    local at = {}
    local service = outbox.serve(store, function(event)
      if event.id == "r_1/s/2" then return true end
      at[#at + 1] = clock.now()
      return nil, "no", "denied"
    end, { attempts = 4, backoff = 10 })
    clock.sleep(200)
    service:close()
    assert.equal(4, #at)
    for index, seconds in ipairs { 10, 20, 40 } do assert.is_true(math.abs(at[index + 1] - at[index] - seconds) <= seconds * 0.11) end
    assert.same({ sent = 1, refused = 4, dead = 1 }, service.counts)
    local letter = outbox.queue(store):dead_letters()[1]
    assert.same({ "r_1/s/1", "denied" }, { letter.value.id, letter.error.code })
  end)

  it("goes on when the store has refused for a while", function()
    local place = require "weir.queue.place"
    local of, refusals, failed = place.read, 8, 0
    put("r_1", 1)
    place.read = function(...) -- luacheck: ignore 122
      if refusals > 0 then
        refusals = refusals - 1
        error({ code = "unavailable", message = "the disk does not answer" })
      end
      return of(...)
    end
    local service = outbox.serve(store, function() return true end, { on_failed = function() failed = failed + 1 end })
    clock.sleep(10)
    service:close()
    place.read = of -- luacheck: ignore 122
    assert.equal(1, service.counts.sent)
    assert.equal(8, failed)
  end)

  it("serves what comes while it is open, and gives back what a sink has not confirmed when it is closed", function()
    local seen, is_stuck = {}, false
    local function sink(event)
      if is_stuck then clock.sleep(1000) end
      seen[#seen + 1] = event.id
      return true
    end
    local service = outbox.serve(store, sink, { timeout = 2000 })
    task.sleep(1)
    put("r_1", 1)
    task.sleep(1)
    assert.same({ "r_1/s/1" }, seen)
    is_stuck = true
    put("r_1", 2)
    task.sleep(1)
    service:close()
    is_stuck = false
    assert.same({ sent = 1, refused = 0, dead = 0 }, outbox.drain(store, sink))
    assert.same({ "r_1/s/1", "r_1/s/2" }, seen)
  end)
end)

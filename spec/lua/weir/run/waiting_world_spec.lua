-- A host that is started over a store in which a whole world waits: approvals, timers, retries, open maps. Sizes by
-- WEIR_WORLD (hundredths of 10,000 approvals, 100,000 timers, 1,000 retries, 1,000 maps; default 1).

local approval = require "weir.approval"
local clock = require "weir.port.clock"
local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S, A = weir.pipeline, weir.step, weir.approval
local PART = math.tointeger(os.getenv "WEIR_WORLD") or 1
local SIZES = { approvals = 100 * PART, timers = 1000 * PART, retries = 10 * PART, maps = 10 * PART }
local ITEMS = 5

local ASK = P "asks" { S "before" { agent = "count" }, A "ok" { title = "Go on?" }, S "after" { agent = "count" } }
local NAP = P "naps" { input = { seconds = "integer" }, S "nap" { sleep = "$.input.seconds" }, S "after" { agent = "count" } }
local AGAIN = P "again" { S "flaky" { agent = "flaky", retry = { attempts = 2, backoff = "1h", jitter = 0 } } }
local MAP = P "fans" { weir.map "fan" { over = { 1, 2, 3, 4, 5 }, concurrency = ITEMS, S "one" { A "ok" { title = "${item}?" }, S "act" { agent = "count" } } } }

describe("a host that is started over a world that waits", function()
  local here, store, done

  before_each(function()
    native.use_virtual_clock(nil, 0)
    here, store, done = project.open ".", assert(store_port.open ":memory:"), {}
    local function count(ctx)
      done[ctx.idempotency_key] = (done[ctx.idempotency_key] or 0) + 1
      return true
    end
    local function agent(name, execute) here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = execute } end
    agent("count", count)
    agent("flaky", function(ctx)
      if ctx.attempt == 1 then error "not yet" end
      return count(ctx)
    end)
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
  end)

  local function life() return engine.new(here, store, { patience = 0, near = 0 }) end

  local function fill(own)
    local function many(count, pipeline, input_of)
      local definition = assert(here:check(pipeline))
      for index = 1, count do assert.equal("waiting", own:run(definition, input_of and input_of(index) or {}).status) end
    end
    many(SIZES.approvals, ASK)
    many(SIZES.timers, NAP, function(index) return { seconds = 600 + index % 3000 } end)
    many(SIZES.retries, AGAIN)
    many(SIZES.maps, MAP)
  end

  local function all_runs()
    return SIZES.approvals + SIZES.timers + SIZES.retries + SIZES.maps
  end

  local function count_of(status)
    local count, after = 0, nil
    repeat
      local page = assert(store:runs { status = status, after = after, limit = 1000 })
      count, after = count + #page, page[#page] and page[#page].id
    until #page < 1000
    return count
  end

  it("has nothing to do until their time comes, then goes on with every one, and with none twice", function()
    fill(life())
    assert.equal(all_runs(), count_of "waiting")
    assert.equal(0, recovery.all(life()))
    local own = life()
    repeat
      local open = assert(approval.pending(store, { limit = 500 }))
      for _, question in ipairs(open) do assert(waking.decide(own, question.id, { decision = "approve", by = "ada" })) end
    until #open == 0
    clock.sleep(2 * 3600)
    recovery.all(life())
    assert.equal(all_runs(), count_of "finished")
    local effects = 0
    for key, count in pairs(done) do
      assert.equal(1, count, key)
      effects = effects + 1
    end
    assert.equal(2 * SIZES.approvals + SIZES.timers + SIZES.retries + ITEMS * SIZES.maps, effects)
    assert.same({}, (waking.due(life())))
    assert.is_nil(waking.next_due(life()))
  end)
end)

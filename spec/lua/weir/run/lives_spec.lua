local clock = require "weir.port.clock"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local support = dofile "spec/lua/weir/run/support.lua"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S, A = weir.pipeline, weir.step, weir.approval

local agents = {
  ok = function(_, given) return given.value or 1 end,
  pass = function(_, given) return given end,
  undo = function(_, given) return given end,
}

describe("a run over many lives", function()
  local world
  after_each(function() world:close() end)

  -- A step that ends the process: nothing is written any more.
  local function kill(_, _, here)
    here.mortal.writes = 0
    error "the process has ended"
  end

  it("fails when the store cannot take its output, and does not stay at work for good", function()
    local function nested(depth) return depth == 0 and 1 or { nested(depth - 1) } end
    world = support.world { deep = function() return nested(63) end, large = function() return ("x"):rep(9 << 20) end }
    local two = P "large" { weir.group "g" { S "a" { agent = "large" }, S "b" { agent = "large" } } }
    for _, case in ipairs { { P "deep" { S "a" { agent = "deep" }, output = "$" }, "invalid" }, { two, "limit" } } do
      local run = world:begin(case[1])
      assert.same({ "failed", case[2] }, { run.status, run.error.code })
      assert.matches("^its output cannot be kept: ", run.error.message)
      assert.same({ "failed", case[2] }, { world:row(run.id).status, world:row(run.id).error.code })
    end
  end)

  it("is set aside when the process has ended over it three times; the others finish, and the suspect comes last", function()
    local order = {}
    world = support.world { kill = kill, note = function(_, given) order[#order + 1] = given.n return 1 end }
    world:life(1000)
    local ids = {}
    for n = 1, 3 do
      local handle = world.store:new_run("r_00000000000000000a0" .. n, 1)
      local definition = world:define(P "spec" { S "note" { agent = "note", input = { n = n } }, n == 2 and S "bad" { agent = "kill" } })
      local plan = world.engine:plan_of(definition)
      keeping.definitions(world.engine, { plan })
      ids[n] = handle:id()
      assert(handle:append({ "run", { format = 1, version = plan.version, pipeline = "spec", input = {}, at = 0, pins = {} } },
        { status = "running", version = plan.version, pipeline = "spec", started_ms = 0 }))
    end
    local lives = 0
    repeat
      lives = lives + 1
      order = {}
      world:life(1000)
      world:go_on()
    until not world.mortal.is_over or lives > 9
    assert.same({ "finished", "quarantined", "finished" }, { world:row(ids[1]).status, world:row(ids[2]).status, world:row(ids[3]).status })
    assert.is_true(lives <= 4, lives)
    local err = world:row(ids[2]).error
    assert.same({ "failed", "bad" }, { err.code, err.step })
    assert.matches("has ended 3 times while step 'bad' was under way", err.message)
    world:life()
    assert.same({}, world:go_on()) -- nobody tries again by himself
    world.here.registry:put { kind = "agent", name = "kill", api = 1, options = { type = "object" }, execute = function() return "mended" end }
    recovery.open(world.engine, ids[2], { anyway = true }):execute()
    assert.equal("finished", world:row(ids[2]).status)
  end)

  it("is alone, as long as nothing has come of it, when it is a suspect", function()
    local fatal, at_once, most, done = 1, 0, 0, 0 -- fatal: with so many at once the process ends
    world = support.world { slow = function(ctx, given, here)
      native.atomic(function()
        at_once = at_once + 1
        most = math.max(most, at_once)
      end)
      ctx:sleep(1)
      if at_once == fatal then kill(ctx, given, here) end
      native.atomic(function() at_once, done = at_once - 1, done + 1 end)
      return true
    end }
    local definition = world:define(P "spec" { S "slow" { agent = "slow" } })
    for _ = 1, 3 do
      at_once = 0
      world:life(1000)
      world:begin(definition)
    end
    at_once, fatal = 0, 3
    world:life(1000)
    world:go_on()
    at_once, most, done, fatal = 0, 0, 0, nil
    world:life()
    assert.same({}, world:go_on())
    assert.same({ 3, 1 }, { done, most })
  end)

  it("is not set aside while it only waits, however often the process ends over that", function()
    world = support.world({}, { patience = 1000 })
    local definition = P "spec" { A "ask" {}, output = "$.ask.decision" }
    world:life(1000)
    local run = world.engine:start(world:define(definition), {})
    for _ = 1, 6 do
      clock.sleep(1) -- it stands in memory, and waits
      world.mortal.writes = 0
      run:crash()
      clock.sleep(1)
      world:life(1000)
      run = recovery.open(world.engine, run.id)
      task.spawn(function() run:execute() end)
    end
    clock.sleep(1)
    assert.equal("running", world:row(run.id).status)
    assert(world:decide(world:questions(run.id)[1].id, {}))
    run:await_left()
    assert.same({ "finished", "approve" }, { world:row(run.id).status, world:ending(run.id).value })
  end)

  it("is set aside also when it ends the process each time that it is woken", function()
    world = support.world { kill = kill }
    local run = world:begin(P "spec" { A "ask" {}, S "bad" { agent = "kill" } })
    assert(world:decide(world:questions(run.id)[1].id, {}))
    for _ = 1, 5 do
      world:life(1000)
      world:go_on()
    end
    assert.equal("quarantined", world:row(run.id).status)
  end)

  it("is gone on with once and last, also when it is a suspect that is due", function()
    world = support.world(agents)
    local run = world:begin(P "spec" { A "ask" {}, S "act" { agent = "ok" } })
    assert(world:decide(world:questions(run.id)[1].id, {}))
    for _ = 1, 2 do -- woken, and ended over it: under way, due, and a suspect
      world:life(1)
      world:go_on()
    end
    assert.same({ "running", { run.id } }, { world:row(run.id).status, (waking.due(world.engine)) })
    world:life()
    assert.same({}, world:go_on())
    local ends = 0
    for _, entry in ipairs(world:ending(run.id).entries) do ends = ends + (entry[1] == "end" and 1 or 0) end
    assert.same({ 1, 1, {} }, { ends, world.done.act, world:left() })
    local ok, err = pcall(world.engine.reopen, world.engine, run.id)
    assert.same({ false, "conflict" }, { ok, err.code })
  end)

  it("is not set aside for processes that ended over a long stream, as long as each gave out more of it", function()
    local fatal
    local function count(ctx)
      for n = 1, 2000 do
        if n == fatal then world.mortal.writes = 0 end
        ctx:emit(n)
      end
      return true
    end
    for _, case in ipairs { { further = 300, status = "finished" }, { further = 0, status = "quarantined" } } do
      if world then world:close() end
      world, fatal = support.world { count = count }, 300
      world:life(1000)
      world:begin(P "spec" { S "count" { agent = "count", stream = true } })
      local id = assert(world.store:runs { limit = 1 })[1].id
      for _ = 1, 9 do
        fatal = fatal + case.further
        world:life(1000)
        world:go_on()
      end
      assert.equal(case.status, world:row(id).status)
    end
  end)

  it("is not set aside for being woken often, nor for processes that ended while it was parked", function()
    world = support.world(agents)
    local run = world:begin(P "spec" { weir.wait "many" { all = { { signal = "a" }, { signal = "b" }, { signal = "c" }, { signal = "d" }, { signal = "e" } } } })
    for name in ("abcde"):gmatch "." do
      waking.signal(world.engine, run.id, name, name)
      world:life(1) -- ends as it begins to look
      world:go_on()
      world:life()
      world:go_on()
    end
    assert.equal("finished", world:row(run.id).status)
  end)

  it("is set aside alone when its journal cannot be read, or its version is gone", function()
    world = support.world(agents)
    local good = world:begin(P "good" { A "ask" {}, S "b" { agent = "ok" } })
    local gone = world:begin(P "gone" { A "ask" {}, S "b" { agent = "ok" } })
    local odd = world.store:new_run("r_0000000000000000000a", 1)
    assert(odd:append({ "run", { format = 1, version = "x", pins = {}, at = 0 } }, { status = "running" }))
    assert(odd:append { "step" })
    local newer = world.store:new_run("r_0000000000000000000b", 1)
    assert(newer:append({ "run", { format = 99 } }, { status = "running" }))
    for _, id in ipairs { good.id, gone.id } do assert(world:decide(world:questions(id)[1].id, {})) end
    assert(world.store:delete("definitions", world:row(gone.id).version))
    world:life()
    local errors = world:go_on()
    assert.same({ "finished", "quarantined", "quarantined", "quarantined" }, { world:row(good.id).status, world:row(gone.id).status,
      world:row(odd:id()).status, world:row(newer:id()).status })
    assert.same({ "not_found", "not_found", "invalid" }, { errors[gone.id].code, errors[odd:id()].code, errors[newer:id()].code })
    assert.same({}, world:go_on())
  end)

  it("can be cancelled though its version is gone, and says that nothing was undone", function()
    world = support.world(agents)
    local run = world:begin(P "gone" { S "a" { agent = "ok", undo = { agent = "undo" } }, A "ask" { timeout = "1d" } })
    assert(world.store:delete("definitions", world:row(run.id).version))
    world:life()
    local ended = world.engine:cancel(run.id, "enough")
    assert.same({ "cancelled", "cancelled" }, { ended.status, world:row(run.id).status })
    assert.matches("^enough; what it did was not undone: definition version", world:ending(run.id).value.message)
    assert.same({}, world:left())
  end)

  it("stops where a flow asks something else than was recorded, and has executed nothing, though the flow goes on", function()
    world = support.world(agents)
    local run = world:begin [[
      local weir = require "weir"
      return weir.flow "changes" { function(flow)
        local other = flow.run.was_reopened and 2 or 1
        local ok = pcall(function() return flow:step "a" { agent = "pass", input = { x = other } } end)
        if not ok then pcall(function() return flow:step "c" { agent = "ok" } end) end
        flow:approval "ask" {}
        flow:step "b" { agent = "ok" }
      end }
    ]]
    assert(world:decide(world:questions(run.id)[1].id, {}))
    world.done = {}
    world:go_on()
    local row = world:row(run.id)
    assert.same({ "quarantined", "conflict", {} }, { row.status, row.error.code, world.done })
    assert.matches("step 'a': record %d+ .*version " .. row.version, row.error.message)
  end)

  it("keeps its budgets", function()
    local used = { spender = function(ctx, given) ctx:metric("tokens", given.n) if given.fails and ctx.attempt < 3 then error "again" end return { text = "a" } end }
    local BUDGETS = {
      { { steps = 3 }, "budget of 3 steps" },
      { { tokens = 30 }, "budget of 30 tokens" },
    }
    for _, case in ipairs(BUDGETS) do
      if world then world:close() end
      world = support.world(used)
      local steps = { budget = case[1] }
      for n = 1, 9 do
        steps[#steps + 1] = S("s" .. n) { agent = "spender", input = { n = 10 } }
        steps[#steps + 1] = S("nap" .. n) { sleep = "1h" }
      end
      local run = world:begin(P "spec" (steps))
      for _ = 1, 12 do
        world:life()
        if world:row(run.id).status ~= "waiting" then break end
        clock.sleep(3600)
        world:go_on()
      end
      assert.matches(case[2], world:row(run.id).error.message)
    end
    world:close()
    world = support.world(used)
    local run = world:begin(P "spec" { budget = { tokens = 30 },
      S "s" { agent = "spender", input = { n = 10, fails = true }, retry = { attempts = 3, backoff = 3600, max = 3600 } }, S "next" { agent = "spender", input = { n = 1 } } })
    world:settle(run.id)
    assert.equal("limit", world:ending(run.id).value.code)
  end)

  it("makes not one attempt and not one draft more, in 50 lives", function()
    local made = {}
    world = support.world {
      flaky = function(ctx) made.flaky = (made.flaky or 0) + 1 error("attempt " .. ctx.attempt) end,
      draft = function() made.draft = (made.draft or 0) + 1 return { text = "word" } end,
    }
    local run = world:begin(P "spec" {
      S "flaky" { agent = "flaky", optional = true, retry = { attempts = 25, backoff = 3600, max = 3600, factor = 1, jitter = 0 } },
      S "draft" { agent = "draft", critic = { use = "rubric", options = { min_words = 9, field = "text" }, attempts = 4, otherwise = "accept_best" } } })
    for life = 1, 50 do
      world:life()
      if world:row(run.id).status ~= "waiting" then break end
      clock.sleep(life % 2 == 0 and 3600 or 10)
      world:go_on()
    end
    world:settle(run.id)
    assert.same({ "finished", { flaky = 25, draft = 4 } }, { world:row(run.id).status, made })
  end)
end)

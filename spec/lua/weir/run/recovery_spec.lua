local clock = require "weir.port.clock"
local keeping = require "weir.run.keeping"
local recovery = require "weir.run.recovery"
local support = dofile "spec/lua/weir/run/support.lua"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, G, S, A = weir.pipeline, weir.group, weir.step, weir.approval

local agents = {
  ok = function(_, given) return given.value or 1 end,
  slow = function(ctx, given) ctx:sleep(given.seconds or 1) return given.value or 1 end,
  flaky = function(ctx) if ctx.attempt < 3 then error "again" end return ctx.attempt end,
  fail = function() error { code = "rejected", message = "no" } end,
  pass = function(_, given) return given end,
  drafts = function(ctx) return { text = (ctx.feedback and ctx.feedback.draft.text or "") .. "word " } end,
  undo = function(_, given) return given end,
}

local PIPELINES = {
  ["an approval"] = { S "a" { agent = "ok" }, A "ask" { title = "Go on?", form = { type = "object" } },
    S "b" { agent = "pass", input = { said = "$.ask.answer", by = "$.ask.by" } } },
  ["approvals beside work"] = { G "g" { A "left" {}, S "work" { agent = "slow" }, A "right" { on_reject = "continue" } },
    S "b" { agent = "pass", input = { left = "$.left.decision", right = "$.right.decision" } } },
  ["a rejection"] = { S "a" { agent = "ok", undo = { agent = "undo" } }, A "refused" {}, S "b" { agent = "ok" } },
  ["a gate and approve_if"] = { G "g" { S "a" { agent = "ok" }, gate = { title = "on?" } },
    S "changed" { agent = "pass", input = { n = 1 }, approve_if = "$.a == 1" }, S "last" { agent = "pass", input = "$.changed" } },
  ["a loop that asks"] = { S "n" { agent = "flaky", retry = { attempts = 3, backoff = 3600 } },
    A "again" { on_reject = "continue", branch = { cases = { approve = "last", reject = "n" } } }, S "last" { agent = "ok" } },
  ["signals"] = { weir.wait "one" { signal = "one" }, weir.wait "both" { all = { { signal = "x" }, { signal = "y" } }, timeout = "1h" },
    S "b" { agent = "pass", input = { one = "$.one", both = "$.both" } } },
  ["a signal that does not come"] = { weir.wait "late" { signal = "never", timeout = "1h", optional = true }, S "b" { agent = "ok" } },
  ["timers"] = { G "g" { S "nap" { sleep = "1h" }, S "nap2" { sleep = "2h" } }, S "b" { agent = "ok" } },
  ["retries with long delays"] = { S "flaky" { agent = "flaky", retry = { attempts = 3, backoff = 7200, max = 7200 } }, S "b" { agent = "ok" } },
  ["undo"] = { S "a" { agent = "ok", undo = { agent = "undo" } }, G "g" { S "b" { agent = "ok", undo = { agent = "undo", input = { v = "$.b" } } },
    S "c" { agent = "slow", undo = { agent = "undo" } } }, S "bad" { agent = "fail" } },
  ["a step that runs once"] = { S "a" { agent = "ok" }, S "once" { agent = "slow", once = true }, S "b" { agent = "pass", input = "$.once" } },
  ["drafts and a critic"] = { S "d" { agent = "drafts", critic = { use = "rubric", options = { min_words = 3, field = "text" }, attempts = 3, otherwise = "accept_best" } }, S "b" { agent = "pass", input = "$.d" } },
  ["a map that asks"] = { weir.map "m" { over = weir.list { 1, 2, 3, 4 }, concurrency = 3, A "one" { form = { type = "object" }, show = "$.item" } },
    S "b" { agent = "pass", input = "$.m[*].by" } },
  ["a race of questions"] = { G "race" { join = "any", A "left" {}, A "never" {}, S "body" { A "never_too" {} } }, A "ask" { form = { type = "object" } } },
  ["a body with a timeout that asks"] = { S "body" { S "x" { agent = "ok" }, A "never" {}, timeout = "1h", optional = true }, S "b" { agent = "ok" } },
}

local FLOW = [[
  local weir = require "weir"
  return weir.flow "spec" { function(flow)
    local a = flow:step "a" { agent = "slow", input = { value = 2 } }
    local said = flow:approval "ask" { form = { type = "object" }, show = a }
    flow:step "nap" { sleep = "3h" }
    local sum = 0
    for i = 1, 3 do sum = sum + flow:step "again" { agent = "ok", input = { value = i * a } } end
    local child = weir.run(weir.pipeline "child" { weir.step "n" { agent = "ok", input = { value = 5 } } })
    return { sum = sum, said = said.answer, drawn = flow:random(1000) > 0, child = child, signal = flow:wait_signal "one" }
  end }
]]

local ANSWERS = { ask = { answer = { x = 1 } }, left = "approve", right = "reject", refused = "reject", ["(gate)"] = "approve",
  approval = { decision = "edit", answer = { n = 2 } }, again = "approve", one = { answer = { x = 1 } }, once = "reject" }
local SIGNALS = { one = 1, x = "X", y = "Y" }

local function outcome(ending)
  local value = ending.value
  return ending.status .. " " .. support.text(ending.status == "finished" and value or { value.code, value.message })
end

local function recorded(store, id)
  local keys = {}
  for _, entry in ipairs(store:load(id)) do
    if entry[1] == "step" and entry[4] ~= "cancelled" then keys[entry[2]] = true end
  end
  return keys
end

-- The process ends after so many writes; the next one goes on. Nil when the run was over before.
local function cut_off(definition, writes, whole)
  local world = support.world(agents)
  local actor = support.actor(ANSWERS, SIGNALS)
  world:life(writes)
  world:begin(definition)
  local first = assert(world.store:runs {})[1]
  if first then world:settle(first.id, actor) end
  local is_over = world.mortal.is_over
  if first and is_over then
    local before = recorded(world.store, first.id)
    world.done = {}
    world:life()
    world:settle(first.id, actor)
    assert.equal(whole, outcome(world:ending(first.id)))
    for key in pairs(before) do assert.is_nil(world.done[key], ("after %d writes: '%s' was recorded, and done again"):format(writes, key)) end
    assert.same({}, world:left())
  end
  world:close()
  return is_over
end

-- Cut off at every write, after it came to its end once.
local function at_every_write(definition)
  local world = support.world(agents)
  local run = world:begin(definition)
  world:settle(run.id, support.actor(ANSWERS, SIGNALS))
  local whole = outcome(world:ending(run.id))
  assert.same({}, world:left())
  world:close()
  local writes = 1
  while cut_off(definition, writes, whole) do writes = writes + 1 end
  assert.is_true(writes > 4, writes)
end

describe("a run whose process ends at any write", function()
  for name, fields in pairs(PIPELINES) do
    it("comes to the same end, and does nothing again that was recorded: " .. name, function() at_every_write(P "spec" (fields)) end)
  end

  it("comes to the same end, and does nothing again that was recorded: a flow", function() at_every_write(FLOW) end)

  it("is cancelled whenever that was asked of a parked one, and its question is taken back", function()
    for writes = 1, 20 do
      local world = support.world(agents)
      local run = world:begin(P "spec" { S "a" { agent = "ok", undo = { agent = "undo" } }, G "g" { A "ask" {}, A "left" {} } })
      world:life(writes)
      pcall(world.engine.cancel, world.engine, run.id, "enough")
      local is_over = world.mortal.is_over
      world:life()
      world:settle(run.id)
      assert.same({ "cancelled", "enough" }, { world:ending(run.id).status, world:ending(run.id).value.message })
      local undone = 0
      for _, entry in ipairs(world:ending(run.id).entries) do
        if entry[1] == "step" and entry[2] == "undo/a" then undone = undone + 1 end
      end
      assert.equal(1, undone)
      assert.same({}, world:left())
      world:close()
      if not is_over then return assert.is_true(writes > 4) end
    end
    error "it has no end"
  end)
end)

describe("a run over many lives", function()
  local world
  after_each(function() world:close() end)

  -- A step that ends the process: nothing is written any more.
  local function kill(_, _, here)
    here.mortal.writes = 0
    error "the process has ended"
  end

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

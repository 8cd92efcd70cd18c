local support = dofile "spec/lua/weir/run/support.lua"
local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S, A = weir.pipeline, weir.group, weir.step, weir.approval
local ROUNDS = math.tointeger(os.getenv "WEIR_ROUNDS") or 60

local agents = {
  ok = function(_, given) return given.value or 1 end,
  pass = function(_, given) return given end,
  slow = function(ctx) ctx:sleep(5) return 1 end,
}

describe("a step that a person decides", function()
  local world
  after_each(function()
    if not world then return end
    local left = world:left()
    world:close()
    world = nil
    assert.same({}, left)
  end)

  local function asks(fields, options)
    if world then world:close() end
    world = support.world(agents)
    local run = world:begin(P "spec" (fields), {}, options)
    return run, world:questions(run.id)[1]
  end

  -- Gives one decision after another to the question, and what became of the run.
  local function decided(fields, ...)
    local run, record = asks(fields, { by = "eve" })
    local codes = {}
    for index, decision in ipairs { ... } do
      local _, state, code = world:decide(record.id, decision)
      codes[index] = type(code) == "string" and code or state
    end
    world:settle(run.id)
    local ending = world:ending(run.id)
    return ending.status == "finished" and ending.value or ending.value.code, codes
  end

  local FORM = { type = "object", properties = { n = { type = "integer", default = 3 } }, required = { "n" } }

  it("gives who decided what, with an answer that fits the form", function()
    local output, codes = decided({ A "ask" { form = FORM }, output = "$.ask" }, { answer = { n = "many" } }, { answer = {}, by = "bob", comment = "fine" })
    assert.same({ "invalid", "decided" }, codes)
    assert.same({ "approve", "bob", "fine", { n = 3 } }, { output.decision, output.by, output.comment, output.answer })
  end)

  it("fails when it is rejected, or goes on where it says so", function()
    assert.equal("rejected", (decided({ A "ask" {}, S "b" { agent = "ok" } }, { decision = "reject", by = "bob" })))
    assert.equal("reject", (decided({ A "ask" { on_reject = "continue" }, output = "$.ask.decision" }, { decision = "reject" })))
  end)

  it("counts those who may decide, and each once", function()
    local output, codes = decided({ A "ask" { who = { "ada", "bob", "eve" }, quorum = 2, not_initiator = true }, output = "$.ask.by" },
      { by = "mallory" }, { by = "eve" }, { by = "ada" }, { by = "ada" }, { by = "bob" })
    assert.same({ "denied", "denied", "open", "denied", "decided" }, codes)
    assert.equal("bob", output)
  end)

  it("takes what was changed as the input of the step that asked before it ran", function()
    local fields = { S "s" { agent = "pass", input = { amount = 100 }, approve_if = "$.run.pipeline == 'spec'" } }
    assert.same({ amount = 5 }, (decided(fields, { decision = "edit", answer = { amount = 5 } })))
    assert.same({ amount = 100 }, (decided(fields, { decision = "approve" })))
    assert.equal("rejected", (decided(fields, { decision = "reject" })))
  end)

  it("asks only where its condition holds", function()
    local function of(amount)
      return { S "amount" { agent = "pass", input = { n = amount } }, S "s" { agent = "pass", input = { n = amount }, approve_if = "$.amount.n > 100" } }
    end
    local run, question = asks(of(100))
    assert.same({ "finished" }, { run.status, question })
    assert.same({ n = 101 }, (decided(of(101), {})))
  end)

  it("lets the next group begin, at a gate", function()
    local fields = { G "g" { S "a" { agent = "ok" }, S "b" { agent = "ok" }, gate = { title = "on?" } }, S "c" { agent = "ok", input = { value = "c" } } }
    assert.equal("c", (decided(fields, {})))
    assert.equal("rejected", (decided(fields, { decision = "reject" })))
    local run = asks { G "g" { S "a" { agent = "ok" }, gate = { timeout = "1h", on_timeout = "fail" } }, S "c" { agent = "ok" } }
    world:settle(run.id)
    assert.equal("timeout", world:ending(run.id).value.code)
  end)

  it("leads where its decision says", function()
    local function led(decision)
      return (decided({ A "ask" { on_reject = "continue", branch = { cases = { approve = "yes", reject = "no" } } },
        S "yes" { agent = "ok", input = { value = "yes" }, branch = { default = "end" } }, S "no" { agent = "ok", input = { value = "no" } } }, { decision = decision }))
    end
    assert.same({ "yes", "no" }, { led "approve", led "reject" })
  end)

  it("asks anew at each visit of a loop", function()
    local run = asks { S "work" { agent = "ok" }, A "ask" { on_reject = "continue", branch = { cases = { reject = "work", approve = "end" } } } }
    local ids = {}
    for visit = 1, 4 do
      local record = world:questions(run.id)[1]
      assert.is_nil(ids[record.id])
      ids[record.id] = true
      assert(world:decide(record.id, { decision = visit < 4 and "reject" or "approve" }))
      world:go_on()
    end
    assert.same({ "finished", 1 }, { world:row(run.id).status, world.done["work#4"] })
  end)

  it("takes its question back when it is cancelled: who is late is told", function()
    world = support.world(agents, { patience = 1e6 })
    local run = world.engine:start(world:define(P "spec" { G "race" { join = "any", A "ask" {}, S "slow" { agent = "slow" } } }), {})
    native.sleep(1)
    local record = world:questions(run.id)[1]
    run:wait()
    assert.equal("finished", run.status)
    local _, message, code = world:decide(record.id, {})
    assert.equal("conflict", code)
    assert.matches("it was cancelled at .*: the step does not ask any more", message)
  end)

  it("has its decision from specs, by the name of the step", function()
    local seen
    local run = testing.run(P "spec" { A "ask" { form = FORM }, S "s" { agent = "pass", input = { n = "$.ask.answer.n" }, approve_if = "$.ask.answer.n > 1" },
      A "bold" { title = "really?" } }, { agents = agents, decisions = { ask = { decision = "approve", by = "ada", answer = { n = 2 } },
      approval = { decision = "edit", answer = { n = 9 } }, bold = function(record) seen = record.title return { decision = "approve" } end } })
    assert.same({ "finished", { n = 9 }, "really?" }, { run.status, run:data "s", seen })
    local waits = testing.run(P "spec" { A "ask" {} }, { agents = agents })
    assert.same({ "waiting", "ask" }, { waits.status, waits.waits.ask and waits.waits.ask.key })
  end)

  -- The record of the only question, wherever it stands.
  local function only(id)
    local found = {}
    for _, space in ipairs { "approvals", "decisions" } do
      for _, entry in ipairs(assert(world.store:scan(space, {}))) do found[#found + 1] = { id = entry.key, space = space, value = entry.value } end
    end
    assert.is_true(#found <= 1, id)
    return found[1]
  end

  it("keeps question and decision as they were, whenever the process ends between asking and acting", function()
    for writes = 1, 100 do
      world = support.world(agents)
      world:life(writes)
      local run = world:begin(P "spec" { A "ask" { form = FORM, show = "what is asked" }, S "act" { agent = "pass", input = "$.ask.answer" } })
      local asked = only(writes)
      if run and asked then world:decide(asked.id, { answer = { n = 5 } }) end
      local decided_before = only(writes)
      if run and decided_before then world:go_on() end
      local is_over = world.mortal.is_over
      world:life()
      local first = assert(world.store:runs {})[1]
      if first then
        world:settle(first.id, support.actor { ask = { answer = { n = 6 } } })
        local after = only(writes)
        if asked then assert.same({ asked.id, asked.value.action }, { after.id, after.value.action }) end
        local n = decided_before and decided_before.space == "decisions" and 5 or 6
        assert.same({ "finished", { n = n } }, { world:ending(first.id).status, world:ending(first.id).value })
      end
      assert.same({}, world:left())
      world:close()
      world = nil
      if not is_over then return assert.is_true(writes > 5, writes) end
    end
    error "it has no end"
  end)

  it(("is decided once by whoever is first of four, and acts if and only if that was yes: %d rounds"):format(ROUNDS), function()
    for seed = 1, ROUNDS do
      world = support.world(agents, { seed = seed })
      local run = world:begin(P "spec" { A "ask" { timeout = 100, on_timeout = "reject" }, S "act" { agent = "ok" } })
      local record, won = world:questions(run.id)[1], {}
      native.sleep(99.9)
      for _, act in ipairs {
        function() return (world:decide(record.id, { by = "ada" })) end,
        function() return (world:decide(record.id, { decision = "reject", by = "bob" })) end,
        function() native.sleep(0.1) world:go_on() end,
        function() world.engine:cancel(run.id, "enough") end,
      } do
        native.spawn(function()
          native.sleep(native.random() * 0.2)
          local ok, winner = pcall(act)
          if not ok then native.recover() elseif winner then won[#won + 1] = winner.decision end
        end)
      end
      native.sleep(1)
      world:settle(run.id)
      assert.is_true(#won <= 1, "seed " .. seed)
      local approved = won[1] == "approve"
      local decisions = assert(world.store:scan("decisions", {}))
      assert.equal(1, #decisions, "seed " .. seed)
      local status = world:row(run.id).status
      if status == "finished" then assert.is_true(approved and world.done.act == 1, "seed " .. seed) end
      if not approved then assert.is_nil(world.done.act, "seed " .. seed) end
      assert.same({}, world:left(), "seed " .. seed)
      world:close()
      world = nil
    end
  end)

  describe("under a precondition", function()
    local looks, price
    local function reads(ctx, given)
      looks = looks + 1
      assert(ctx.step and given.of == "tide")
      return { price = price }
    end
    local PRICED = { A "ask" { title = "Buy?", show = "a ticket", precondition = { agent = "reads", input = { of = "tide" } } },
      S "act" { agent = "ok" }, output = "$.ask.by" }

    before_each(function()
      looks, price = 0, 7
      agents.reads = reads
    end)

    it("shows what has to be so, and looks again when the run goes on", function()
      local run, record = asks(PRICED)
      assert.same({ { price = 7 }, 1 }, { record.world, looks })
      assert.matches("has to be so when it goes on", table.concat(require("weir.approval").lines(record), "\n"))
      assert(world:decide(record.id, { by = "ada" }))
      world:settle(run.id)
      assert.same({ "ada", 2 }, { world:ending(run.id).value, looks })
    end)

    it("asks anew when the world has changed since, in this life and in a later one, and what was said before does not count", function()
      local run, record = asks(PRICED)
      price = 9
      assert(world:decide(record.id, { by = "ada" }))
      world:go_on()
      local again = world:questions(run.id)[1]
      assert.is_true(again.id ~= record.id and again.hash ~= record.hash)
      assert.same({ { price = 9 }, 2 }, { again.world, looks })
      assert.is_nil(world.done.act)
      price = 7
      assert(world:decide(again.id, { by = "bob" }))
      world:go_on()
      local third = world:questions(run.id)[1]
      assert.same({ { price = 7 }, 3 }, { third.world, looks })
      assert.is_true(third.id ~= record.id) -- it was so before, and is asked again all the same
      assert(world:decide(third.id, { by = "eve" }))
      world:settle(run.id)
      assert.same({ "eve", 4, 1 }, { world:ending(run.id).value, looks, world.done.act })
    end)

    it("does not look again when it is rejected", function()
      local run, record = asks(PRICED)
      price = 9
      assert(world:decide(record.id, { decision = "reject", by = "ada" }))
      world:settle(run.id)
      assert.same({ "rejected", 1 }, { world:ending(run.id).value.code, looks })
    end)

    it("is looked at once for each question and each approval, whenever the process ends", function()
      for writes = 1, 100 do
        if world then world:close() end
        world, looks = support.world(agents), 0
        world:life(writes)
        local run = world:begin(P "spec" (PRICED), {})
        local asked = run and world:questions(run.id)[1]
        if asked then world:decide(asked.id, { by = "ada" }) end
        if asked then world:go_on() end
        local is_over = world.mortal.is_over
        world:life()
        local first = assert(world.store:runs {})[1]
        if first then
          world:settle(first.id, support.actor { ask = { by = "ada" } })
          assert.equal("ada", world:ending(first.id).value)
          assert.is_true(looks >= 2 and looks <= 3) -- what was begun and not kept is done again
          assert.equal(1, #assert(world.store:scan("decisions", {})))
        end
        if not is_over then return assert.is_true(writes > 5, writes) end
      end
      error "it has no end"
    end)
  end)

  it("counts weights, where the quorum gives them", function()
    local output, codes = decided({ A "ask" { quorum = { weight = 3, weights = { ada = 2 } } }, output = "$.ask.by" },
      { by = "bob" }, { by = "ada" })
    assert.same({ "open", "decided" }, codes)
    assert.equal("ada", output)
  end)
end)

local binding = require "weir.run.binding"
local clock = require "weir.port.clock"
local controls = require "weir.healing.controls"
local incident_of = require "weir.healing.incident"
local native = require "weir.native.scheduler"
local operations = require "weir.healing.operations"
local support = require "spec.lua.weir.run.support"
local testing = require "weir.testing"
local weir = require "weir"

local P, S, G = weir.pipeline, weir.step, weir.group

local function rule(remedy, args, more)
  local one = { remedy = remedy, args = args }
  for name, value in pairs(more or {}) do one[name] = value end
  return one
end

-- A pipeline whose step `work` is supervised by rules.
local function supervised(rules, fields, options)
  options = options or {}
  options.rules = rules
  local step = { agent = "work" }
  for name, value in pairs(fields or {}) do step[name] = value end
  return P "heal" { supervise = { { use = "thresholds", options = options } }, S "work" (step), S "after" { agent = "after" } }
end

local function fails(times, code)
  return function(ctx, _, world)
    if world.done[ctx.idempotency_key:match "/(.*)"] <= times then error { code = code or "failed", message = "attempt " .. ctx.attempt } end
    return { ok = true, options = ctx.options }
  end
end

local function world_of(work)
  return support.world { work = work, after = function() return "done" end }
end

local function all(world) return incident_of.since(world.store) end

describe("supervision of steps", function()
  it("retries a step when a rule says so, and says afterwards that it healed", function()
    local world = world_of(fails(1))
    local run = world:begin(supervised { rule("retry", { delay = 30 }, { when = { code = "failed" } }) })
    local row = world:settle(run.id)
    assert.equal("finished", row.status)
    local list = all(world)
    assert.equal(1, #list)
    local one = list[1]
    assert.same({ "remedied", "healed", "thresholds", "retry", "step", "work", "agents/work", 1 },
      { one.state, one.outcome, one.by, one.remedy.name, one.kind, one.step, one.agent, one.attempt })
    assert.equal(2, world.done.work)
    assert.is_true(row.ended_ms - row.started_ms >= 30000)
    world:close()
  end)

  it("lets the attempts of the step's own policy go first", function()
    local world = world_of(fails(4))
    local run = world:begin(supervised({ rule "retry" }, { retry = { attempts = 3, backoff = 1 } }))
    assert.equal("finished", world:settle(run.id).status)
    local list = all(world)
    assert.same({ 2, 3, 4 }, { #list, list[1].attempt, list[2].attempt })
    assert.same({ "failed", "healed" }, { list[1].outcome, list[2].outcome })
    world:close()
  end)

  it("changes a parameter for this step alone, and keeps what earlier remedies changed", function()
    local run = testing.run(P "heal" {
      supervise = { { use = "thresholds", options = { rules = {
        rule("parameter", { options = { a = 2 } }, { when = { message = "first" } }),
        rule("parameter", { options = { b = 2 } }, { when = { message = "second" } }) } } } },
      S "work" { agent = "work", options = { a = 1, b = 1, c = 1 } },
      S "again" { agent = "show", options = { a = 1 } },
    }, { agents = {
      work = function(ctx)
        if ctx.options.a == 1 then error "first" end
        if ctx.options.b == 1 then error "second" end
        return ctx.options
      end,
      show = function(ctx) return ctx.options end,
    } })
    assert.same({ a = 2, b = 2, c = 1 }, run:data "work")
    assert.same({ a = 1 }, run:data "again")
  end)

  it("refuses a parameter that the agent does not have, and the step fails", function()
    local run = testing.run(P "heal" {
      supervise = { { use = "thresholds", options = { rules = { rule("parameter", { options = { mode = "guess" } }) }, ask = false, attempts = 1 } } },
      S "work" { agent = "files", options = { mode = "read" }, input = { path = "nowhere.txt" } },
    })
    assert.equal("failed", run.status)
    assert.is_truthy(run.error.message:find "mode", run.error.message)
  end)

  it("switches the model that the step asks", function()
    local asked = {}
    local run = testing.run(P "heal" {
      supervise = { { use = "thresholds", options = { rules = { rule("model", { model = "sound" }) } } } },
      S "work" { agent = "asks", model = "ill" },
    }, {
      agents = { asks = function(ctx) return { text = ctx:chat({ prompt = "say it" }).message.content } end },
      models = {
        ill = function() asked[#asked + 1] = "ill" error { code = "denied", message = "no" } end,
        sound = function() asked[#asked + 1] = "sound" return { message = { role = "assistant", content = "it" }, finish = "stop" } end,
      }, model = "ill",
    })
    assert.same({ "finished", "it" }, { run.status, run:data("work").text })
    assert.same({ "ill", "sound" }, asked)
  end)

  it("sets an input aside and goes on without the step, of a map without the item", function()
    for _, light in ipairs { true, false } do
      local world = support.world { work = function(_, input)
        if input.n % 3 == 0 then error "it is bad" end
        return input.n
      end }
      local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule "quarantine" } } } },
        weir.map "all" { over = { 1, 2, 3, 4, 5, 6, 7 }, S "work" { agent = "work", input = { n = "$.item" }, undo = not light and { agent = "work" } or nil } } })
      assert.same({ "finished", "[1,2,null,4,5,null,7]" }, { run.status, run.status == "finished" and support.text(run.output) or run.error.message })
      local inputs = {}
      for _, one in ipairs(all(world)) do inputs[#inputs + 1] = incident_of.quarantined(world.store, one.id).input.n end
      table.sort(inputs) -- items are worked on side by side
      assert.same({ 3, 6 }, inputs)
      world:close()
    end
  end)

  it("pauses a run until somebody resumes it, and then tries once more", function()
    local world = world_of(fails(1))
    local run = world:begin(supervised { rule "pause" })
    local row = world:row(run.id)
    assert.same({ "waiting", "pause", 1 }, { row.status, row.waiting[1].kind, world.done.work })
    world:go_on()
    assert.equal(1, world.done.work)
    require("weir.task").within({}, function() require("weir.run.recovery").open(world.engine, run.id):execute() end)
    assert.same({ "finished", 2 }, { world:row(run.id).status, world.done.work })
    world:close()
  end)

  it("has a person decide after three remedies that did not help: once more, without the step, or not at all", function()
    local cases = { { { decision = "approve" }, "finished", 5, true }, { { decision = "reject" }, "failed", 4 },
      { { decision = "edit", answer = { skip = true } }, "finished", 4, false },
      { { decision = "edit", answer = { options = { a = 7 } } }, "finished", 5, true } }
    for _, case in ipairs(cases) do
      local world = world_of(fails(4))
      local run = world:begin(supervised { rule "retry" })
      assert.equal(4, world.done.work)
      local questions = world:questions(run.id)
      assert.equal(1, #questions)
      local row = world:settle(run.id, support.actor { incident = case[1] })
      assert.same({ case[2], case[3] }, { row.status, world.done.work })
      local list = all(world)
      assert.equal(4, #list)
      assert.same({ "escalated", "3 remedies did not help" }, { list[4].state, list[4].reason })
      world:close()
    end
  end)

  it("asks nobody where that is not wanted: the step fails, and the incident stays open", function()
    local world = world_of(fails(9))
    local run = world:begin(supervised({ rule "retry" }, nil, { ask = false, attempts = 2 }))
    assert.equal("failed", run.status)
    local open = incident_of.open(world.store)
    assert.same({ 3, 1, "escalated" }, { world.done.work, #open, open[1].state })
    assert.equal(open[1].id, run.error.healing and run.error.healing.incident or open[1].id)
    operations.close(world.engine, open[1].id, { by = "ada", note = "known" })
    assert.same({ {}, "closed", "known" }, { incident_of.open(world.store), all(world)[3].state, all(world)[3].note })
    world:close()
  end)

  it("gives a pipeline no more remedies than its cap, also to runs that fail at the same moment", function()
    local world = world_of(function()
      clock.sleep(1)
      error { code = "failed", message = "all at once" }
    end)
    local definition = world:define(supervised({ rule "retry" }, nil, { cap = 2, within = "1h", attempts = 1, ask = false }))
    local runs = {}
    for n = 1, 5 do runs[n] = world.engine:start(definition, {}) end
    for _, run in ipairs(runs) do world:settle(run.id) end
    local states = {}
    for _, one in ipairs(all(world)) do states[one.state] = (states[one.state] or 0) + 1 end
    assert.same({ remedied = 2, escalated = 5 }, states) -- three at once, and two that their remedy did not help
    world:close()
  end)

  it("never starts again what may be started only once", function()
    local world = world_of(fails(9))
    local run = world:begin(supervised({ rule "retry" }, { once = true }))
    assert.same({ "failed", 1, "escalated" }, { run.status, world.done.work, all(world)[1].state })
    world:close()
  end)

  it("notes what no rule fits, and leaves it as it is", function()
    local world = world_of(fails(9, "limit"))
    local run = world:begin(supervised { rule("retry", nil, { when = { code = "timeout" } }) })
    assert.same({ "failed", "limit", "passed" }, { run.status, run.error.code, all(world)[1].state })
    assert.same({}, incident_of.open(world.store))
    world:close()
  end)

  it("supervises every run of a project that says so in weir.lua", function()
    local count = 0
    local run = testing.run(P "heal" { S "work" { agent = "work" } }, {
      settings = { supervise = { { use = "thresholds", options = { rules = { rule "retry" } } } } },
      agents = { work = function()
        count = count + 1
        if count == 1 then error "x" end
        return count
      end },
    })
    assert.same({ "finished", 2 }, { run.status, run.output })
  end)

  it("takes an attempt that gives no sign of life for stuck, and tries it again", function()
    local began = {}
    local run = testing.run(supervised({ rule("retry", nil, { when = { kind = "stuck" } }) }, nil, { stuck = "10s" }), { agents = {
      work = function(ctx)
        began[#began + 1] = clock.now()
        if ctx.attempt == 1 then
          for _ = 1, 5 do -- slow and alive
            ctx:sleep(8)
            ctx:log("info", "still here")
          end
          ctx:sleep(1000)
        end
        return "ok"
      end,
      after = function() return "done" end,
    } })
    assert.same({ "finished", 2 }, { run.status, #began })
    assert.near(50, began[2] - began[1], 0.1)
  end)

  it("does not take a step for stuck that waits for a person or for time", function()
    local run = testing.run(P "heal" {
      supervise = { { use = "thresholds", options = { rules = { rule "retry" }, stuck = "10s" } } },
      S "rest" { sleep = "1h" }, weir.approval "ask" { title = "?", timeout = "2h", on_timeout = "approve" }, S "work" { agent = "work" },
    }, { agents = { work = function() return 1 end } })
    assert.same({ "finished", 1 }, { run.status, run.output })
  end)
end)

describe("a supervisor that fails", function()
  it("is an incident of its own that no supervisor is asked about; the step fails as it would without it", function()
    local world = world_of(fails(1))
    local asked = 0
    world.here.registry:put { kind = "supervisor", name = "ill", api = 1, options = { type = "object" }, on = function()
      asked = asked + 1
      error "I am ill"
    end }
    local run = world:begin(P "heal" { supervise = { "ill" }, S "work" { agent = "work" } })
    assert.same({ "failed", 1 }, { run.status, asked })
    local list = all(world)
    assert.equal(2, #list)
    assert.same({ "step", "escalated" }, { list[1].kind, list[1].state })
    assert.same({ "supervisor", "escalated", "supervisors/ill", list[1].id }, { list[2].kind, list[2].state, list[2].agent, list[2].caused_by })
    assert.is_truthy(list[2].message:find "I am ill")
    world:close()
  end)

  it("is passed over when another one has an answer", function()
    local world = world_of(fails(1))
    world.here.registry:put { kind = "supervisor", name = "ill", api = 1, options = { type = "object" }, on = function() while true do end end }
    world.here.registry:put { kind = "supervisor", name = "odd", api = 1, options = { type = "object" }, on = function() return { remedy = "pray" } end }
    local run = world:begin(P "heal" { supervise = { "odd", { use = "thresholds", options = { rules = { rule "retry" } } } }, S "work" { agent = "work" } })
    assert.equal("finished", run.status)
    local kinds = {}
    for _, one in ipairs(all(world)) do kinds[#kinds + 1] = one.kind .. " " .. one.state end
    table.sort(kinds)
    assert.same({ "step remedied", "supervisor escalated" }, kinds)
    world:close()
  end)
end)

describe("restarting", function()
  local function counting(fail_at)
    return function(ctx, _, world)
      local name = ctx.idempotency_key:match "([%a]+)[#%d]*$"
      local count = native.atomic(function() -- an agent may lose the processor anywhere
        world.counts = world.counts or {}
        world.counts[name] = (world.counts[name] or 0) + 1
        return world.counts[name]
      end)
      if fail_at[name] and count <= fail_at[name] then error(name .. " broke") end
      return name .. count
    end
  end

  it("goes on from an earlier group, whose steps are done again", function()
    local world = support.world { work = counting { c = 1 } }
    local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule("restart", { from = "b" }) } } } },
      S "a" { agent = "work" }, S "b" { agent = "work" }, S "c" { agent = "work" }, output = { "$.a", "$.b", "$.c" } })
    assert.equal("finished", run.status)
    assert.same({ "a1", "b2", "c2" }, run.output)
    assert.equal("healed", all(world)[1].outcome)
    world:close()
  end)

  it("stops at the count that is set when it never helps, and says why", function()
    local world = support.world { work = counting { c = 1000 } }
    local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { attempts = 4, ask = false,
      rules = { { remedy = "restart", args = { from = "b" } } } } } },
      S "a" { agent = "work" }, S "b" { agent = "work" }, S "c" { agent = "work" } })
    assert.equal("failed", run.status)
    assert.same({ a = 1, b = 5, c = 5 }, world.counts)
    local list = all(world)
    assert.same({ 5, "escalated", "4 remedies did not help" }, { #list, list[5].state, list[5].reason })
    world:close()
  end)

  it("refuses a group that lies ahead, or that is not there, and calls a person", function()
    for _, from in ipairs { "d", "nowhere" } do
      local world = support.world { work = counting { c = 1 } }
      local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule("restart", { from = from }) } } } },
        S "c" { agent = "work" }, S "d" { agent = "work" } })
      assert.same({ "failed", "escalated" }, { run.status, all(world)[1].state })
      world:close()
    end
  end)

  local function group(strategy, options)
    options = options or {}
    options.strategy = strategy
    return P "heal" { supervise = { { use = "tree", options = options } },
      G "g" { S "a" { agent = "work" }, S "b" { agent = "work" }, S "c" { agent = "work" } }, output = { "$.a", "$.b", "$.c" } }
  end

  it("has one step, it and those after it, or the whole group begin again", function()
    local expected = { one_for_one = { "a1", "b2", "c1" }, rest_for_one = { "a1", "b2", "c2" }, one_for_all = { "a2", "b2", "c2" } }
    for strategy, output in pairs(expected) do
      local world = support.world { work = counting { b = 1 } }
      local run = world:begin(group(strategy))
      assert.same({ "finished", output }, { run.status, run.output }, strategy)
      world:close()
    end
  end)

  it("gives up over more restarts than the intensity within the period, and the failure goes up", function()
    for _, strategy in ipairs { "one_for_one", "rest_for_one", "one_for_all" } do
      local world = support.world { work = counting { b = 100 } }
      local run = world:begin(group(strategy, { restarts = 2, period = "1m" }))
      assert.same({ "failed", 3 }, { run.status, world.counts.b }, strategy)
      local list = all(world)
      assert.same({ 3, "escalated" }, { #list, list[3].state })
      world:close()
    end
  end)

  it("goes up to the supervisors of the run that started it", function()
    local world = support.world { work = counting { b = 2 } }
    local child = P "hello" { supervise = { { use = "tree", options = { restarts = 1 } } }, S "b" { agent = "work" } }
    world.here.registry.definitions.hello = world:define(child)
    local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule "retry" } } } }, S "sub" { pipeline = "hello" } })
    assert.same({ "finished", "b3" }, { run.status, run.output })
    local seen = {}
    for _, one in ipairs(all(world)) do seen[#seen + 1] = ("%s %s %s"):format(one.pipeline, one.step, one.state) end
    assert.same({ "hello sub/b remedied", "hello sub/b escalated", "heal sub remedied" }, seen)
    world:close()
  end)
end)

describe("what supervisors have given up on", function()
  it("is not brought to them again by what stands around it: a body, a map", function()
    for _, light in ipairs { true, false } do
      local world = world_of(fails(99))
      local step = S "work" { agent = "work", undo = not light and { agent = "after" } or nil }
      local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { ask = false, rules = { rule "retry" } } } },
        S "outer" { weir.map "all" { over = { 1 }, step } } })
      assert.same({ "failed", 4 }, { run.status, #all(world) })
      assert.equal("outer/all[0]/work", all(world)[1].step)
      world:close()
    end
  end)

  it("lets a map's group begin again when a supervisor of an item says so", function()
    local world = support.world { work = function(_, _, own)
      own.count = (own.count or 0) + 1
      if own.count == 2 then error "x" end
      return own.count
    end }
    local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule("restart", { from = "first" }) } } } },
      S "first" { agent = "work" }, weir.map "all" { over = { 1 }, S "work" { agent = "work" } } })
    assert.same({ "finished", 3, { 4 } }, { run.status, run.data.first, run.output })
    world:close()
  end)

  it("is no refusal of a person", function()
    local run = testing.run(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule "retry" } } } },
      S "outer" { weir.approval "release" { title = "?" } } }, { decisions = { release = { decision = "reject" } } })
    assert.same({ "failed", "rejected" }, { run.status, run.error.code })
    for _, event in ipairs(run.events) do assert.is_true(event.kind ~= "incident" or event.incident_kind == "run") end
  end)
end)

describe("remedies beyond the run", function()
  it("keep runs of a pipeline from beginning until it is taken back", function()
    local world = world_of(fails(1))
    local what = supervised { rule "pause_pipeline" }
    local run = world:begin(what)
    assert.equal("failed", run.status)
    local ok, err = pcall(world.engine.prepare, world.engine, world:define(what), {})
    assert.same({ false, "conflict" }, { ok, err.code })
    local other = world:begin(P "other" { S "after" { agent = "after" } })
    assert.equal("finished", other.status)
    operations.revert(world.engine, all(world)[1].id, { by = "ada" })
    assert.equal("finished", world:begin(what).status)
    local one = all(world)[1]
    assert.same({ true, "ada" }, { one.remedy.reverted_at ~= nil, one.remedy.reverted_by })
    ok, err = pcall(operations.revert, world.engine, one.id, { by = "ada" })
    assert.same({ false, "conflict" }, { ok, err.code })
    world:close()
  end)

  it("keep a run from beginning that was just about to", function()
    local world = world_of(fails(0))
    local definition, hold = world:define(P "heal" { S "after" { agent = "after" } }), binding.hold
    binding.hold = function(...) -- luacheck: ignore 122
      binding.hold = hold -- luacheck: ignore 122
      local operation, committed = controls.apply(world.store, { name = "pause_pipeline", args = {} },
        { id = "i_1", pipeline = "heal", at_ms = clock.wall_ms() })
      assert(world.store:batch { operation })
      committed()
      return hold(...)
    end
    local ok, err = pcall(world.engine.prepare, world.engine, definition, {})
    assert.same({ false, "conflict" }, { ok, err.code })
    assert.same({ {}, {} }, { world.store:runs {}, world:left() })
    world:close()
  end)

  it("hold for a time when they say for how long, in this process and the next", function()
    local world = world_of(fails(1))
    world:begin(supervised { rule("pause_pipeline", { ["for"] = "10m" }) })
    assert.is_truthy(controls.paused(world.store, "heal"))
    clock.sleep(599)
    assert.is_truthy(controls.paused(world.store, "heal"))
    clock.sleep(2)
    assert.is_nil(controls.paused(world.store, "heal"))
    world:close()
  end)

  it("have fewer items of a map at work at once, at once", function()
    local at_work, most, most_later = 0, 0, 0
    local world = support.world { work = function(ctx, input)
      native.atomic(function() -- an agent may lose the processor anywhere
        at_work = at_work + 1
        if input.n > 40 then most_later = math.max(most_later, at_work) else most = math.max(most, at_work) end
      end)
      ctx:sleep(1)
      native.atomic(function() at_work = at_work - 1 end)
      if input.n == 20 and ctx.attempt == 1 then error { code = "full", message = "too many" } end
      return input.n
    end }
    local items = {}
    for n = 1, 60 do items[n] = n end
    local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { rules = { rule("concurrency", { limit = 2, delay = 10 }) } } } },
      weir.map "all" { over = items, concurrency = 8, S "work" { agent = "work", input = { n = "$.item" } } } })
    world:settle(run.id)
    assert.equal("finished", world:row(run.id).status)
    assert.same({ 8, true }, { most, most_later <= 2 })
    assert.equal(2, controls.concurrency(world.store, "heal"))
    world:close()
  end)

  it("stay taken back when the step they were for heals afterwards", function()
    local world
    world = world_of(function(ctx)
      if ctx.attempt == 1 then error "too many" end
      operations.revert(world.engine, all(world)[1].id, { by = "ada" })
      return "done"
    end)
    local run = world:begin(supervised { rule("concurrency", { limit = 1 }) })
    assert.equal("finished", world:settle(run.id).status)
    local one = all(world)[1]
    assert.same({ "healed", "ada", true }, { one.outcome, one.remedy.reverted_by, one.remedy.reverted_at ~= nil })
    world:close()
  end)

  it("keep calls from a model, so that the next candidate is asked", function()
    local asked = {}
    local function model(name)
      return function()
        asked[#asked + 1] = name
        return { message = { role = "assistant", content = name }, finish = "stop" }
      end
    end
    local run = testing.run(P "heal" {
      supervise = { { use = "thresholds", options = { rules = { rule("breaker", { model = "vague", ["for"] = "5m" }) } } } },
      S "work" { agent = "asks", model = { policy = "ordered", candidates = { "vague", "exact" } } },
    }, {
      agents = { asks = function(ctx)
        local text = ctx:chat({ prompt = "say it, time " .. ctx.attempt }).message.content
        if text == "vague" then error "that is no answer" end
        return { text = text }
      end },
      models = { vague = model "vague", exact = model "exact" }, model = "vague",
    })
    assert.same({ "finished", { "vague", "exact" } }, { run.status, asked })
  end)
end)

describe("a life that ends at any write", function()
  -- Every write of the whole run is the last of a life once; then the run is gone on with.
  local function through(name, what, agents, check, actor)
    it("loses no incident, and mends none twice: " .. name, function()
      for writes = 1, 60 do
        local world = support.world(agents)
        world:life(writes)
        local run = world:begin(what())
        local was_cut = world.mortal.is_over
        if run then
          if not was_cut then world:settle(run.id, actor) end
          was_cut = world.mortal.is_over
          world:life()
          local row = world:settle(run.id, actor)
          check(world, row, writes)
        end
        world:close()
        if run and not was_cut then
          assert.is_true(writes > 2)
          return
        end
      end
      error "the run needs more writes"
    end)
  end

  local function of_world(times)
    return function(_, _, world)
      world.failed = (world.failed or 0) + 1
      if world.failed <= times then error "x" end
      return "ok"
    end
  end

  through("retries", function() return supervised { rule "retry" } end, { work = of_world(2), after = function() return "done" end },
    function(world, row, writes)
      assert.equal("finished", row.status, writes)
      local remedied = 0
      for _, one in ipairs(all(world)) do
        assert.not_equal("passed", one.state)
        if one.state == "remedied" then remedied = remedied + 1 end
      end
      assert.is_true(remedied <= 2, writes)
    end)

  through("a person", function() return supervised({ rule "retry" }, nil, { attempts = 1 }) end,
    { work = of_world(2), after = function() return "done" end },
    function(world, row, writes)
      assert.equal("finished", row.status, writes)
      assert.is_true(world.done.work <= 4, writes)
    end, support.actor { incident = "approve" })

  through("restarts", function()
    return P "heal" { supervise = { { use = "tree", options = { strategy = "rest_for_one" } } },
      G "g" { S "a" { agent = "after" }, S "b" { agent = "work" }, S "c" { agent = "after" } }, S "last" { agent = "after" } }
  end, { work = of_world(1), after = function() return "done" end },
    function(_, row, writes) assert.equal("finished", row.status, writes) end)

  through("inputs set aside", function() return supervised { rule "quarantine" } end,
    { work = function() error "bad" end, after = function() return "done" end },
    function(world, row, writes)
      assert.equal("finished", row.status, writes)
      local count = 0
      for _, one in ipairs(all(world)) do
        assert.is_truthy(incident_of.quarantined(world.store, one.id))
        count = count + 1
      end
      assert.equal(1, count, writes)
    end)
end)

describe("a supervisor that cannot be had", function()
  it("keeps no run from its work, and is an incident once it would have been asked", function()
    for _, use in ipairs { { use = "nobody" }, { use = "thresholds", options = { rules = 7 } } } do
      local world = world_of(fails(1))
      world.here.settings.supervise = { use }
      assert.equal("finished", world:begin(P "other" { S "after" { agent = "after" } }).status)
      assert.same({}, all(world))
      assert.equal("failed", world:begin(P "heal" { S "work" { agent = "work" } }).status)
      assert.same({ "step", "supervisor" }, { all(world)[1].kind, all(world)[2].kind })
      world.here.settings.supervise = nil
      world:close()
    end
  end)

  it("is refused by the settings when it is no name and no use", function()
    local settings = require "weir.settings"
    local ok, err = pcall(settings.check, "weir.lua", { supervise = { { uses = "x" } } })
    assert.is_false(ok)
    assert.is_truthy(tostring(err.message or err):find "supervise")
    assert.is_truthy(settings.check("weir.lua", { supervise = { "thresholds", { use = "tree", options = {} } } }))
  end)
end)

describe("an incident that is for people", function()
  it("is published in one transaction with its record, once, and one that has a remedy is not", function()
    local world = world_of(fails(9))
    world:begin(supervised({ rule "retry" }, nil, { ask = false, attempts = 2 }))
    local events = {}
    require("weir.outbox").drain(world.store, function(event)
      events[#events + 1] = event
      return true
    end)
    local open = incident_of.open(world.store)[1]
    assert.equal(1, #events)
    assert.same({ open.id, "weir.incident.escalated", "heal", open.message, "work" },
      { events[1].id, events[1].type, events[1].subject, events[1].data.message, events[1].data.step })
    world:close()
  end)

  it("is not published when its run was started by such an event: what tells people does not tell of itself", function()
    local world = world_of(fails(9))
    world:begin(supervised({ rule "retry" }, nil, { ask = false, attempts = 1 }), {},
      { event = { specversion = "1.0", id = "x", source = "/incidents", type = "weir.incident.escalated", data = {} } })
    assert.equal(0, require("weir.outbox").queue(world.store):depth())
    assert.equal(1, #incident_of.open(world.store))
    world:close()
  end)
end)

describe("the remedy version", function()
  local registry = require "spec.lua.weir.registry.support"

  local function place_of(wanted)
    local place = registry.place()
    place:write("pipelines/p.lua", ([[local weir = require "weir"
return weir.pipeline "p" { supervise = { { use = "thresholds", options = { ask = false, attempts = 1, rules = {
  { remedy = "version", args = { version = "%s" } } } } } }, weir.step "work" { agent = "worker" }, weir.step "more" { agent = "worker", optional = true } }]]):format(wanted))
    place:agent("worker", 'return "one"')
    return place
  end

  it("has the step done by the version before, and that step alone", function()
    local place = place_of "previous"
    local own = place:life()
    registry.run(own, "p")
    place:agent("worker", 'if ctx.idempotency_key:find "/work$" then error "two is broken" end return "two"')
    own = place:life()
    local run = registry.run(own, "p")
    assert.same({ "finished", "one", "two" }, { run.status, run.data.work, run.data.more })
    assert.same({ "version", "healed" }, { incident_of.since(own.store)[1].remedy.name, incident_of.since(own.store)[1].outcome })
    place:close()
  end)

  it("fails the step when there is no such version", function()
    local place = place_of "feedfeed"
    place:agent("worker", 'error "it is broken"')
    local own = place:life()
    local run = registry.run(own, "p")
    assert.equal("failed", run.status)
    assert.is_truthy(run.error.message:find("no version 'feedfeed'", 1, true), run.error.message)
    place:close()
  end)
end)

describe("what is remembered of a family", function()
  it("is that of the last day, of every run and every life", function()
    local world = world_of(fails(100))
    local what = supervised({ { count = 3, remedy = "pause_pipeline" } })
    local function family() return all(world)[1].family end
    world:begin(what)
    clock.sleep(90000) -- more than a day
    world:life()
    world:begin(what)
    assert.equal(1, #incident_of.times_of_family(world.store, family(), clock.wall_ms() - 86400000, 10))
    world:life()
    world:begin(what)
    assert.is_nil(controls.paused(world.store, "heal"))
    world:life()
    world:begin(what)
    assert.is_truthy(controls.paused(world.store, "heal"))
    assert.equal(2, #incident_of.times_of_family(world.store, family(), 0, 2))
    world:close()
  end)

  it("goes away after thirty days, unless somebody still has to look at it", function()
    local world = world_of(fails(100))
    world:begin(supervised({ { remedy = "quarantine", when = { code = "failed" } } }))
    world:begin(supervised({ rule "retry" }, nil, { ask = false, attempts = 1 }))
    assert.equal(3, #all(world))
    assert.equal(0, incident_of.expire(world.store, clock.wall_ms() + 29 * 86400000))
    assert.equal(2, incident_of.expire(world.store, clock.wall_ms() + 31 * 86400000))
    local left = all(world)
    assert.same({ 1, "escalated" }, { #left, left[1].state })
    operations.close(world.engine, left[1].id)
    assert.equal(1, incident_of.expire(world.store, clock.wall_ms() + 31 * 86400000))
    for _, space in ipairs { "incidents", "incidents.by", "quarantine" } do assert.same({}, world.store:scan(space, { limit = 10 })) end
    world:close()
  end)
end)

describe("a large map under supervision", function()
  it("sets aside what is bad, retries what comes right, and has each of them once, whenever the process ends", function()
    local items = {}
    for n = 1, 2500 do items[n] = n end
    for _, writes in ipairs { false, 4, 6, 9, 12 } do
      local tries = {}
      local world = support.world { work = function(_, input)
        local n = input.n
        tries[n] = (tries[n] or 0) + 1
        if n % 500 == 0 then error { code = "invalid", message = "it is bad" } end
        if n % 400 == 0 and tries[n] == 1 then error { code = "unavailable", message = "not now" } end
        return n
      end }
      if writes then world:life(writes) end
      world:begin(P "heal" { supervise = { { use = "thresholds", options = { cap = 1000, rules = {
        rule("quarantine", nil, { when = { code = "invalid" } }), rule("retry", nil, { when = { code = "unavailable" } }) } } } },
        weir.map "all" { over = items, concurrency = 8, S "work" { agent = "work", input = { n = "$.item" } } } })
      if writes then
        assert.is_true(world.mortal.is_over)
        world:life()
      end
      local run_id = assert(world.store:runs { limit = 1 })[1].id
      assert.equal("finished", world:settle(run_id).status)
      local output = world:ending(run_id).value
      for n = 1, 2500 do assert.equal(n % 500 == 0 and weir.null or n, output[n]) end
      local bad, retried = {}, 0
      for _, one in ipairs(all(world)) do
        if one.remedy.name == "quarantine" then
          bad[incident_of.quarantined(world.store, one.id).input.n] = (bad[incident_of.quarantined(world.store, one.id).input.n] or 0) + 1
        else
          retried = retried + 1
        end
      end
      assert.same({ [500] = 1, [1000] = 1, [1500] = 1, [2000] = 1, [2500] = 1 }, bad)
      assert.is_true(writes and retried <= 5 or retried == 5, retried) -- 400, 800, 1200, 1600, 2400
      world:close()
    end
  end)
end)

local support = dofile "spec/lua/weir/run/support.lua"
local clock = require "weir.port.clock"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S, A, W = weir.pipeline, weir.step, weir.approval, weir.wait

local agents = {
  ok = function(_, given) return given.value or 1 end,
  slow = function(ctx, given) ctx:sleep(given.seconds or 1) return 1 end,
  undo = function() return "undone" end,
  bad = function() error { code = "denied", message = "not so" } end,
}

local PARENT = [[
  local weir = require "weir"
  return weir.flow "parent" { function(flow)
    local child = weir.start(weir.pipeline "child" { weir.step "done" { agent = "ok", undo = { agent = "undo" } },
      weir.approval "ask" {}, weir.step "last" { agent = "ok", input = { value = "of the child" } } })
    flow:step "beside" { agent = "ok" }
    return { child = child:wait() }
  end }
]]

describe("a run that a flow started", function()
  local world
  before_each(function() world = support.world(agents) end)
  after_each(function()
    local left = world:left()
    world:close()
    assert.same({}, left)
  end)

  local function child_of(id)
    for _, found in ipairs(assert(world.store:runs {})) do
      if found.row.parent == id then return found.id, found.row end
    end
  end

  it("is parked, its parent too, and its end wakes the parent", function()
    local parent = world:begin(PARENT)
    local child, row = child_of(parent.id)
    assert.same({ "waiting", "waiting" }, { parent.status, row.status })
    assert.same({ kind = "run", id = child }, { kind = world:row(parent.id).waiting[1].kind, id = world:row(parent.id).waiting[1].id })
    world:settle(child, support.actor { ask = "approve" })
    world:settle(parent.id)
    assert.same({ child = "of the child" }, world:ending(parent.id).value)
    assert.equal(1, world.done.beside)
  end)

  it("is cancelled with its parent, however long it takes to undo what it did", function()
    agents.undo = function(ctx) ctx:sleep(600) return "undone" end
    world:close()
    world = support.world(agents)
    agents.undo = function() return "undone" end
    local parent = world:begin(PARENT)
    local child = child_of(parent.id)
    assert.equal("cancelled", world.engine:cancel(parent.id, "enough").status)
    assert.same({ "cancelled", "cancelled" }, { world:row(parent.id).status, world:row(child).status })
    assert.is_nil(world.store:row(child).error.message:find "undone")
  end)

  it("that cannot be cancelled with its parent is told", function()
    local parent = world:begin(PARENT)
    local child, told = child_of(parent.id), {}
    local cancel = world.engine.cancel
    world.engine.cancel = function(self, id, ...)
      if id == child then require("weir.failure").raise("full", "the disk is full") end
      return cancel(self, id, ...)
    end
    local run = world.engine:cancel(parent.id, "enough", { listener = function(event)
      if event.kind == "log" then told[#told + 1] = event.text end
    end })
    world.engine.cancel = nil
    assert.equal("cancelled", run.status)
    assert.same({ ("run %s, which this one started, could not be cancelled: the disk is full"):format(child) }, told)
    world.engine:cancel(child, "the spec is over")
    assert.same({}, (waking.due(world.engine))) -- who looks drops the moment of a parent that has ended
  end)

  it("is waited for by a parent that is resumed while it still waits, or was set aside: the parent is parked again", function()
    local parent = world:begin(PARENT)
    local child, row = child_of(parent.id)
    for _, status in ipairs { "waiting", "quarantined" } do
      if status == "quarantined" then keeping.quarantine(world.store, child, row, { code = "failed", message = "set aside" }) end
      world:life()
      local ok, again = task.within({ timeout = 100 }, function() return recovery.open(world.engine, parent.id):execute() end)
      assert.is_true(ok)
      assert.same({ "waiting", status }, { again.status, world:row(child).status })
    end
    world:life()
    recovery.open(world.engine, child, { anyway = true }):execute()
    world:settle(child, support.actor { ask = "approve" })
    world:settle(parent.id)
    assert.same({ child = "of the child" }, world:ending(parent.id).value)
  end)

  it("is found again by a parent that begins anew in another life", function()
    local parent = world:begin(PARENT)
    local child = child_of(parent.id)
    world:life()
    world:settle(child, support.actor { ask = "approve" })
    world:life()
    world:settle(parent.id)
    assert.same({ child = "of the child" }, world:ending(parent.id).value)
    assert.equal(2, #assert(world.store:runs {}))
  end)

  it("is cancelled with its parent, its question is taken back and what it did undone", function()
    local parent = world:begin(PARENT)
    local child = child_of(parent.id)
    local question = world:questions(child)[1]
    world.engine:cancel(parent.id, "enough")
    assert.same({ "cancelled", "cancelled" }, { world:row(parent.id).status, world:row(child).status })
    assert.equal(1, world.done["undo/done"])
    local record, message, code = world:decide(question.id, {})
    assert.is_nil(record)
    assert.equal("conflict", code)
    assert.matches("it was cancelled", message)
  end)

  it("goes on beside its parent, whenever the process that had both has ended", function()
    local BOTH = [[
      local weir = require "weir"
      return weir.flow "parent" { function(flow)
        local child = weir.start(weir.pipeline "child" { weir.step "one" { agent = "slow" }, weir.step "two" { agent = "slow" } })
        local done = flow:step "beside" { agent = "slow", input = { seconds = 1.5 } }
        return { child:wait(), done }
      end }
    ]]
    for writes = 1, 50 do
      world:close()
      world = support.world(agents)
      world:life(writes)
      world:begin(BOTH)
      local is_over, first = world.mortal.is_over, nil
      for _, found in ipairs(assert(world.store:runs {})) do
        if type(found.row.parent) ~= "string" then first = found end
      end
      world:life()
      if first and is_over then
        local recorded = {}
        for _, found in ipairs(assert(world.store:runs {})) do
          for _, entry in ipairs(world.store:load(found.id)) do
            if entry[1] == "step" and entry[4] == "finished" then recorded[entry[2]] = true end
          end
        end
        world.done = {}
        assert.same({}, world:go_on())
        world:settle(first.id)
        assert.same({ 1, 1 }, world:ending(first.id).value)
        for key in pairs(recorded) do assert.is_nil(world.done[key], key) end
        assert.same({}, world:left())
      end
      if not is_over then return assert.is_true(writes > 5, writes) end
    end
    error "it has no end"
  end)

  it("is not taken up twice: whoever comes second waits for it", function()
    local run = world.engine:start(world:define(P "once" { S "slow" { agent = "slow" } }), {})
    local same = recovery.go_on(world.engine, run.id)
    assert.is_true(rawequal(run, same))
    assert.same({ "finished", 1 }, { same.status, world.done.slow })
    local again = world.engine:start(world:define(P "once" { S "slow" { agent = "slow" } }), {})
    local ok, err = pcall(world.engine.reopen, world.engine, again.id)
    assert.same({ false, "conflict" }, { ok, err.code })
    again:wait()
  end)

  it("hands its error to its parent", function()
    local parent = world:begin [[
      local weir = require "weir"
      return weir.flow "parent" { function()
        local child = weir.start(weir.pipeline "child" { weir.approval "ask" {}, weir.step "bad" { agent = "bad" } })
        local ok, err = pcall(child.wait, child)
        return { ok = ok, code = err.code }
      end }
    ]]
    world:settle((child_of(parent.id)), support.actor { ask = "approve" })
    world:settle(parent.id)
    assert.same({ ok = false, code = "denied" }, world:ending(parent.id).value)
  end)
end)

describe("a process that serves parked runs", function()
  local world, service, refused
  local function serve(options)
    world, refused = support.world(agents, options), {}
    service = waking.serve(world.engine, recovery.go_on, function(id, err) refused[id] = err.code end)
  end
  after_each(function()
    service:close()
    local left = world:left()
    world:close()
    assert.same({}, left)
  end)

  local function await(id, status)
    local ok = task.within({ timeout = 100000 }, function()
      while world:row(id).status ~= status do native.sleep(0.5) end
    end)
    assert.is_true(ok, "it is " .. world:row(id).status)
  end

  it("wakes a run by time, also one that is parked while it rests", function()
    serve()
    local far = world:begin(P "far" { S "nap" { sleep = "20h" } })
    local from = clock.wall_ms()
    local near = world:begin(P "near" { S "nap" { sleep = "2h" }, S "nap2" { sleep = "1h" } })
    await(near.id, "finished")
    assert.near(3 * 3600, (clock.wall_ms() - from) / 1000, 2)
    await(far.id, "finished")
  end)

  it("wakes a run by a decision and by a signal", function()
    serve()
    local run = world:begin(P "asks" { A "ask" {}, W "w" { signal = "s" } })
    assert(world:decide(world:questions(run.id)[1].id, {}))
    native.sleep(1)
    assert.equal("w", world:row(run.id).waiting[1].step)
    waking.signal(world.engine, run.id, "s", "payload")
    await(run.id, "finished")
    assert.equal("payload", world:ending(run.id).value)
  end)

  it("rests while what it has woken is at work, and while somebody has paused a run", function()
    serve()
    local run = world:begin(P "long" { A "ask" {}, S "slow" { agent = "slow", input = { seconds = 1000 } } })
    local paused = world:begin(P "paused" { A "ask" {} })
    waking.pause(world.engine, paused.id)
    for _, id in ipairs { run.id, paused.id } do assert(world:decide(world:questions(id)[1].id, {})) end
    native.sleep(1)
    local before = native.stats().resumes
    native.sleep(900)
    assert.is_true(native.stats().resumes - before < 100, native.stats().resumes - before)
    await(run.id, "finished")
    assert.equal("waiting", world:row(paused.id).status)
    recovery.open(world.engine, paused.id):execute()
    assert.equal("finished", world:row(paused.id).status)
  end)

  it("goes on when the store could not be looked at for a while", function()
    serve()
    local due, failures = waking.due, 0
    waking.due = function(...) -- luacheck: ignore 122
      if failures < 3 then
        failures = failures + 1
        error({ code = "unavailable", message = "the disk does not answer" })
      end
      return due(...)
    end
    local run = world:begin(P "near" { S "nap" { sleep = "2h" } })
    await(run.id, "finished")
    waking.due = due -- luacheck: ignore 122
    assert.equal(3, failures)
  end)

  it("goes on with the others when one cannot be gone on with", function()
    serve()
    local bad = world:begin(P "bad" { A "ask" {} })
    local good = world:begin(P "good" { A "ask" {} })
    assert(world.store:delete("definitions", world:row(bad.id).version))
    world.engine.versions = {} -- as in a process that has not seen it
    for _, id in ipairs { bad.id, good.id } do assert(world:decide(world:questions(id)[1].id, {})) end
    await(good.id, "finished")
    await(bad.id, "quarantined")
    assert.same({ [bad.id] = "not_found" }, refused)
  end)
end)

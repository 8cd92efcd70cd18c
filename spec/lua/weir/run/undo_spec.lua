local support = dofile "spec/lua/weir/run/support.lua"
local native = require "weir.native.scheduler"
local weir = require "weir"

local P, G, S, A = weir.pipeline, weir.group, weir.step, weir.approval

local UNDO = { agent = "undo" }

describe("what a run did", function()
  local world, undone
  local agents = {
    ok = function(_, given) return given.value or 1 end,
    slow = function(ctx, given) ctx:sleep(given.seconds or 1) return given.value or 1 end,
    fail = function() error { code = "denied", message = "no" } end,
    flaky = function(ctx) if ctx.attempt < 2 then error "again" end return ctx.attempt end,
    undo = function(ctx, given)
      ctx:sleep(1)
      undone[#undone + 1] = ctx.idempotency_key:match "/undo/(.*)"
      if given.fails then error "it cannot be undone" end
      return given
    end,
  }
  before_each(function() undone = {} end)
  after_each(function()
    local left = world:left()
    world:close()
    assert.same({}, left)
  end)

  local function ended(fields, answers)
    world = support.world(agents)
    local run = world:begin(P "spec" (fields))
    world:settle(run.id, support.actor(answers))
    return world:ending(run.id), run
  end

  it("is undone in reverse order of its outcomes, once, when it fails", function()
    local ending = ended { S "a" { agent = "ok", undo = UNDO }, G "g" { S "late" { agent = "slow", undo = UNDO, input = { seconds = 2 } },
      S "soon" { agent = "ok", undo = UNDO } }, S "none" { agent = "ok" }, S "bad" { agent = "fail", undo = UNDO } }
    assert.same({ "failed", "denied", { "g/late", "g/soon", "a" } }, { ending.status, ending.value.code, undone })
  end)

  it("is kept when it finishes", function()
    ended { S "a" { agent = "ok", undo = UNDO }, S "bad" { agent = "fail", optional = true } }
    assert.same({}, undone)
  end)

  it("is undone when it is cancelled, at work or parked", function()
    world = support.world(agents)
    local run = world:begin(P "spec" { S "a" { agent = "ok", undo = UNDO }, A "ask" {} })
    world.engine:cancel(run.id, "enough")
    assert.same({ "cancelled", { "a" } }, { world:ending(run.id).status, undone })
    undone = {}
    local live = world.engine:start(world:define(P "spec" { S "a" { agent = "ok", undo = UNDO }, S "b" { agent = "slow", undo = UNDO } }), {})
    native.sleep(0.5)
    live:cancel "enough"
    live:wait()
    assert.same({ "cancelled", { "a" } }, { world:ending(live.id).status, undone })
  end)

  it("is undone with the input that was asked for, or with input and output", function()
    local ending = ended { S "a" { agent = "ok", input = { value = 7 }, undo = UNDO },
      S "b" { agent = "ok", undo = { agent = "undo", input = { made = "$.b", before = "$.a" } } }, S "bad" { agent = "fail" } }
    local given = {}
    for _, entry in ipairs(ending.entries) do
      if entry[1] == "step" and entry[2]:find "^undo/" then given[entry[2]] = entry[8] end
    end
    assert.same({ ["undo/a"] = { input = { value = 7 }, output = 7 }, ["undo/b"] = { made = 1, before = 7 } }, given)
  end)

  it("is undone as far as it can be: one that fails is told of, and the others are undone", function()
    local ending = ended { S "a" { agent = "ok", undo = UNDO }, S "b" { agent = "ok", undo = { agent = "undo", input = { fails = true } } }, S "bad" { agent = "fail" } }
    assert.same({ "denied", { "b", "a" } }, { ending.value.code, undone })
    assert.matches("no; undoing failed in 'undo/b': .*it cannot be undone", ending.value.message)
  end)

  it("is undone in maps, bodies and attempts that failed after it", function()
    local ending = ended { weir.map "m" { over = weir.list { 1, 2, 3 }, concurrency = 1, S "one" { agent = "ok", undo = UNDO } },
      S "body" { S "x" { agent = "ok", undo = UNDO }, S "y" { agent = "flaky" }, retry = { attempts = 2, backoff = 0 } }, S "bad" { agent = "fail" } }
    assert.equal("failed", ending.status)
    assert.same({ "body/x", "body/x#2", "m[2]/one", "m[1]/one", "m[0]/one" }, undone)
  end)

  it("is undone though the budget is used up", function()
    local ending = ended { budget = { steps = 2 }, S "a" { agent = "ok", undo = UNDO }, S "b" { agent = "ok", undo = UNDO }, S "c" { agent = "ok" } }
    assert.same({ "limit", { "b", "a" } }, { ending.value.code, undone })
  end)

  it("is undone before a person's refusal ends the run", function()
    local ending = ended({ S "a" { agent = "ok", undo = UNDO }, A "ask" {}, S "b" { agent = "ok", undo = UNDO } }, { ask = "reject" })
    assert.same({ "rejected", { "a" } }, { ending.value.code, undone })
  end)

  it("is undone to the end by the next life, when the host stops meanwhile", function()
    world = support.world(agents)
    local fields = {}
    for n = 1, 4 do fields[n] = S("s" .. n) { agent = "ok", undo = UNDO } end
    fields[5] = S "bad" { agent = "fail" }
    local run = world.engine:start(world:define(P "spec" (fields)), {})
    native.sleep(1.5) -- the first is undone, the second under way
    world.engine:stop "SIGTERM"
    run:await_left()
    assert.same({ "running", "running", { "s4" } }, { run.status, world:row(run.id).status, undone })
    world:life()
    world:settle(run.id)
    assert.same({ "failed", "denied", { "s4", "s3", "s2", "s1" } }, { world:ending(run.id).status, world:ending(run.id).value.code, undone })
  end)

  it("is undone once, from every write on", function()
    local fields = { S "a" { agent = "ok", undo = UNDO }, G "g" { S "b" { agent = "ok", undo = UNDO }, S "c" { agent = "slow", undo = UNDO } },
      S "d" { agent = "ok", undo = { agent = "undo", input = { fails = true } } }, S "bad" { agent = "fail" } }
    local whole = ended(fields).value.message
    for writes = 1, 100 do
      world:close()
      world, undone = support.world(agents), {}
      world:life(writes)
      world:begin(P "spec" (fields))
      local is_over, first = world.mortal.is_over, world.store:runs({})[1]
      if first and is_over then
        local recorded = {}
        for _, entry in ipairs(world.store:load(first.id)) do
          if entry[1] == "step" then recorded[entry[2]] = true end
        end
        undone = {}
        world:life()
        world:settle(first.id)
        assert.equal(whole, world:ending(first.id).value.message)
        for _, key in ipairs(undone) do assert.is_nil(recorded["undo/" .. key], key) end
        local count = {}
        for _, entry in ipairs(world:ending(first.id).entries) do
          if entry[1] == "step" and entry[2]:find "^undo/" then count[entry[2]] = (count[entry[2]] or 0) + 1 end
        end
        assert.same({ ["undo/a"] = 1, ["undo/g/b"] = 1, ["undo/g/c"] = 1, ["undo/d"] = 1 }, count)
      end
      if not is_over then return assert.is_true(writes > 8, writes) end
    end
    error "it has no end"
  end)
end)

local approval = require "weir.approval"
local native = require "weir.native.scheduler"
local question = require "weir.run.question"
local support = require "spec.lua.weir.run.support"
local task = require "weir.task"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

-- A run whose first step uses up its budget, so that the three steps beside one another after it all have to ask.
local function started(budget)
  budget.otherwise = "ask"
  local world = support.world({ ok = function() return 1 end, spend = function(ctx)
    ctx:metric("tokens", 100, { model = "m" })
    return 1
  end }, { patience = 600 })
  local run = world.engine:start(world:define(P "p" { budget = budget, S "first" { agent = "spend" },
    G "rest" { S "a" { agent = "ok" }, S "b" { agent = "ok" }, S "c" { agent = "ok" } } }), {})
  native.sleep(1)
  return world, run
end

describe("steps that cross a limit side by side", function()
  for _, budget in ipairs { { tokens = 60 }, { steps = 2 } } do
    it(("ask once, and all go on with the answer (%s)"):format(next(budget)), function()
      local world, run = started(budget)
      local asked = approval.pending(world.store, { run = run.id })
      assert.equal(1, #asked)
      assert(world:decide(asked[1].id, {}))
      assert.same({ "finished", { a = 1, b = 1, c = 1 } }, { run:wait().status, run.output })
      assert.same({}, world:left())
      world:close()
    end)
  end

  it("ask on when one of them does not want to know any more", function()
    local function ask(ctx)
      return question.ask(ctx._frame, "budget#1", { kind = "approval", waits_as = ctx._key .. "/budget", title = "more?", show = {} })
    end
    local world = support.world({
      a = function(ctx) return task.within({ timeout = 1 }, function() ask(ctx) end) and "answered" or "gave up" end,
      b = function(ctx) return ask(ctx).decision end,
    }, { patience = 600 })
    local run = world.engine:start(world:define(P "p" { G "both" { S "a" { agent = "a" }, S "b" { agent = "b" } } }), {})
    native.sleep(5)
    local asked = approval.pending(world.store, { run = run.id })
    assert.equal(1, #asked)
    assert(world:decide(asked[1].id, {}))
    assert.same({ a = "gave up", b = "approve" }, run:wait().output)
    world:close()
  end)
end)

local controls = require "weir.healing.controls"
local incident_of = require "weir.healing.incident"
local monitor = require "weir.healing.monitor"
local support = require "spec.lua.weir.run.support"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

describe("a monitor", function()
  it("speaks once when its threshold is crossed, and again only after the figure was within it", function()
    local one = monitor.new { name = "x", on = "log", level = "error", within = 10, above = 2 }
    local spoke = {}
    local function hear(at, level) if one:hear({ kind = "log", level = level or "error", text = "t" }, at) then spoke[#spoke + 1] = at end end
    for at = 1, 5 do hear(at) end
    hear(6, "info")
    assert.same({ 3 }, spoke)
    hear(30)
    for at = 31, 33 do hear(at) end
    assert.same({ 3, 32 }, spoke)
  end)

  it("looks at metrics, log lines, outcomes of steps and failed attempts, each by its own fields", function()
    local function figure(spec, event)
      spec.name, spec.within, spec.above = "x", 10, spec.above or 0
      return monitor.new(spec):hear(event, 1)
    end
    assert.equal(7, figure({ on = "metric", metric = "tokens", measure = "sum" }, { kind = "metric", name = "tokens", value = 7 }))
    assert.is_nil(figure({ on = "metric", metric = "tokens" }, { kind = "metric", name = "usd", value = 7 }))
    assert.equal(1, figure({ on = "log", text = "out of" }, { kind = "log", level = "warn", text = "disk out of space" }))
    assert.is_nil(figure({ on = "log", text = "out of" }, { kind = "log", level = "warn", text = "fine" }))
    assert.equal(3, figure({ on = "step", status = "finished", measure = "p95" }, { kind = "step", status = "finished", seconds = 3 }))
    assert.is_nil(figure({ on = "step", status = "failed" }, { kind = "step", status = "finished", seconds = 3 }))
    assert.is_nil(figure({ on = "step" }, { kind = "step", status = "running" }))
    assert.equal(1, figure({ on = "attempt", step = "work" }, { kind = "retry", step = "all[3]/work" }))
    assert.is_nil(figure({ on = "attempt", step = "work" }, { kind = "retry", step = "all[3]/other" }))
  end)

  it("says nothing before it has seen its minimum, and can watch for too little", function()
    local one = monitor.new { name = "x", on = "metric", metric = "rows", within = 100, measure = "mean", below = 10, minimum = 3 }
    local spoke = 0
    for at = 1, 3 do spoke = spoke + (one:hear({ kind = "metric", name = "rows", value = 1 }, at) and 1 or 0) end
    assert.equal(1, spoke)
  end)

  it("becomes an incident, about which the supervisor's rules decide", function()
    local world = support.world { work = function(ctx, input) ctx:metric("rows", input.rows) return input.rows end }
    local what = P "watched" { input = { rows = "integer" },
      supervise = { { use = "thresholds", options = {
        monitors = { { name = "few", on = "metric", metric = "rows", within = "1h", measure = "mean", below = 10, minimum = 3 } },
        rules = { { when = { monitor = "few" }, remedy = "pause_pipeline", args = { ["for"] = "10m" } } } } } },
      S "work" { agent = "work", input = { rows = "$.input.rows" } } }
    for _, rows in ipairs { 100, 3, 2 } do assert.equal("finished", world:begin(what, { rows = rows }).status) end
    assert.same({}, incident_of.since(world.store))
    for _ = 1, 30 do
      if #incident_of.since(world.store) > 0 then break end
      world:begin(what, { rows = 1 })
      require("weir.task").yield()
    end
    local one = incident_of.since(world.store)[1]
    assert.same({ "monitor", "remedied", "pause_pipeline", "few", "watched" }, { one.kind, one.state, one.remedy.name, one.monitor, one.pipeline })
    assert.is_truthy(controls.paused(world.store, "watched"))
    world:close()
  end)
end)

describe("a run that fails over what is no step's", function()
  it("is an incident that is kept with its end", function()
    local world = support.world { work = function(ctx) ctx:sleep(100) end }
    local run = world:begin(P "watched" { budget = { seconds = 5 }, supervise = { { use = "thresholds", options = { rules = {
      { when = { kind = "run", code = "limit" }, remedy = "pause_pipeline" } } } } }, S "work" { agent = "work" } })
    assert.equal("failed", run.status)
    local list = incident_of.since(world.store)
    assert.same({ 1, "run", "limit", "remedied", run.id }, { #list, list[1].kind, list[1].code, list[1].state, list[1].run })
    assert.is_truthy(controls.paused(world.store, "watched"))
    world:close()
  end)

  it("goes to a person when a supervisor would treat it as a step", function()
    local world = support.world { work = function(ctx) ctx:sleep(100) end }
    world:begin(P "watched" { budget = { seconds = 5 }, supervise = { { use = "thresholds", options = { rules = { { remedy = "retry" } } } } },
      S "work" { agent = "work" } })
    assert.same({ "escalated", "retry is for steps" }, { incident_of.open(world.store)[1].state, incident_of.open(world.store)[1].reason })
    world:close()
  end)
end)

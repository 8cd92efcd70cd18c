local clock = require "weir.port.clock"
local incident_of = require "weir.healing.incident"
local rehearse = require "weir.healing.rehearse"
local supervision = require "weir.healing.supervision"
local support = require "spec.lua.weir.run.support"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

-- A week in which a step failed in so many runs, and was retried each time.
local function week()
  local world = support.world { work = function(ctx) error { code = "unavailable", message = "run " .. ctx.run.id .. " has no answer" } end }
  local what = P "week" { supervise = { { use = "thresholds", options = { attempts = 1, ask = false, rules = { { remedy = "retry" } } } } },
    S "work" { agent = "work" } }
  for _ = 1, 4 do
    world:begin(what)
    clock.sleep(3600)
  end
  return world
end

local function would(world, options)
  local list = rehearse.run(incident_of.since(world.store), { supervision.named(world.engine, "thresholds", options) })
  local names = {}
  for index, one in ipairs(list) do names[index] = one.decision.remedy and one.decision.remedy.name or one.decision.state end
  return names, list
end

describe("a rehearsal", function()
  it("says what a supervisor would have done about recorded incidents, in their order, with the limits that hold", function()
    local world = week()
    local names, list = would(world, { attempts = 1, rules = { { remedy = "parameter", args = { options = { a = 1 } } } } })
    assert.same({ "parameter", "escalate", "parameter", "escalate", "parameter", "escalate", "parameter", "escalate" }, names)
    for index, one in ipairs(list) do assert.equal(index % 2 == 1, one.is_other) end
    world:close()
  end)

  it("counts the incidents that came before, as the rules ask", function()
    local world = week()
    assert.same({ "passed", "passed", "passed", "passed", "pause_pipeline", "pause_pipeline", "pause_pipeline", "pause_pipeline" },
      (would(world, { attempts = 9, rules = { { count = 5, remedy = "pause_pipeline" } } })))
    assert.same({ "passed", "pause", "passed", "pause", "passed", "pause", "passed", "pause" },
      (would(world, { attempts = 9, rules = { { count = 2, within = "10m", remedy = "pause" } } })))
    world:close()
  end)

  it("leaves out what no supervisor is asked about, tells of a supervisor that fails, and changes nothing", function()
    local world = week()
    local before = support.text(incident_of.since(world.store))
    local broken = { name = "x", module = { on = function() error "boom" end }, options = {}, limits = require("weir.healing.limits").of {} }
    local list = rehearse.run(incident_of.since(world.store), { broken })
    assert.same({ 8, "escalated", "boom" }, { #list, list[1].decision.state, list[1].faults[1].message:match "boom" })
    local one = incident_of.since(world.store)[1]
    one.kind = "supervisor"
    assert.same({}, rehearse.run({ one }, { broken }))
    assert.equal(before, support.text(incident_of.since(world.store)))
    world:close()
  end)
end)

local support = dofile "spec/lua/weir/run/support.lua"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local function kill(_, _, here)
  if not here.mortal then return "done" end
  here.mortal.writes = 0
  error "the process has ended"
end

describe("a step that may be started only once", function()
  local world
  after_each(function()
    assert.same({}, world:left())
    world:close()
  end)

  -- The process ends inside of the step; the next one asks.
  local function in_doubt(fields)
    world = support.world { pay = kill, pass = function(_, given) return given end }
    world:life(1000)
    world:begin(P "spec" { S "pay" (fields), S "after" { agent = "pass", input = { paid = "$.pay" } } })
    world:life()
    world.done = {}
    world:go_on()
    local id = world.store:runs({})[1].id
    assert.same({ "in_doubt", {} }, { world:row(id).status, world.done })
    return id, world:questions(id)[1]
  end

  local function once(more)
    local fields = { agent = "pay", once = true, input = { amount = 5 } }
    for name, value in pairs(more or {}) do fields[name] = value end
    return fields
  end

  it("is not started again by itself: a person is asked, and sees what it was about", function()
    local id, record = in_doubt(once())
    assert.same({ "in_doubt", "pay", { amount = 5 }, id .. "/pay" }, { record.kind, record.show.agent, record.show.input, record.show.idempotency_key })
    world:life()
    world:go_on()
    assert.same({ "in_doubt", 1 }, { world:row(id).status, #world:questions(id) })
    assert(world:decide(record.id, {}))
    world:settle(id)
    assert.same({ { paid = true }, nil }, { world:ending(id).value, world.done.pay })
  end)

  it("is done when they say so, with what they say that came of it", function()
    local id, record = in_doubt(once())
    assert(world:decide(record.id, { decision = "edit", answer = { receipt = 7 } }))
    world:settle(id)
    assert.same({ { paid = { receipt = 7 } }, nil }, { world:ending(id).value, world.done.pay })
  end)

  it("is started again when they say that it was not done, and asked about anew if that ends the process too", function()
    local id, record = in_doubt(once())
    world:life(1000)
    assert(world:decide(record.id, { decision = "reject" }))
    world:go_on()
    world:life()
    world:go_on()
    local again = world:questions(id)
    assert.same({ "in_doubt", 1, 1 }, { world:row(id).status, #again, world.done.pay })
    assert.not_equal(record.id, again[1].id)
    assert(world:decide(again[1].id, { decision = "reject" }))
    world:settle(id)
    assert.same({ paid = "done" }, world:ending(id).value)
  end)

  it("fails at once when it fails: that is no doubt", function()
    world = support.world { pay = function() error { code = "denied", message = "no" } end }
    local run = world:begin(P "spec" { S "pay" (once()) })
    assert.same({ "failed", "denied" }, { run.status, run.error.code })
  end)

  it("has its question taken back when the run is cancelled, and nothing of it is undone", function()
    local id, record = in_doubt(once { undo = { agent = "pass" } })
    world.engine:cancel(id, "enough")
    assert.same({ "cancelled", nil }, { world:row(id).status, world.done["undo/pay"] })
    assert.equal("conflict", select(3, world:decide(record.id, {})))
  end)
end)

local worlds = require "spec.lua.weir.trigger.world"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "orders" { input = { n = "integer" }, on = { event = { type = "order.*" } },
  weir.step "note" { agent = "notes", input = { n = "$.input.n", type = "$.event.type" } }, output = "$.note" }
]]

describe("events that start pipelines", function()
  local world
  after_each(function() world:close() end)

  it("start a run with their data as its input, and stand in its StepData", function()
    world = worlds.new { ["pipelines/orders.lua"] = PIPELINE }
    world:send("order.paid", { n = 7 })
    world:send("other", { n = 8 })
    local runs = world:ended("orders", 1)
    assert.same({ "finished", { n = 7, type = "order.paid" } }, { runs[1].status, runs[1].output })
    assert.equal(1, #runs)
    assert.matches("^on/orders/event/q_", runs[1].key)
  end)
end)

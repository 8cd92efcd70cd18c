-- Schedules as a living host tends them.
local clock = require "weir.port.clock"
local support = dofile "spec/lua/weir/schedule/support.lua"

describe("a host with schedules", function()
  local world
  before_each(function() world = support.world "2026-03-02T06:59:30Z" end)
  after_each(function() world:close() end)

  it("starts a pipeline at each of its times, and keeps a history", function()
    world:write("pipelines/tick.lua", support.pipeline("tick", '{ cron = "0 * * * *" }'))
    world:start()
    world:pass(3 * 3600)
    assert.same({ "2026-03-02T07:00:00.000Z", "2026-03-02T08:00:00.000Z", "2026-03-02T09:00:00.000Z" }, world:started "tick")
    local rows = world:history "tick"
    assert.equal("finished", rows[1].status)
    assert.same({ started = 3, finished = 3 }, world:state("tick").totals)
    assert.equal(3, #world:runs "tick")
    assert.is_true(rows[3].lag_ms < 1000)
    assert.equal("schedule tick", world.host.engine.store:load(rows[1].run)[1][2].by)
    assert.is_true(clock.wall_ms() > rows[1].ended_ms)
  end)
end)

local allowance = require "weir.run.allowance"
local keeping = require "weir.run.keeping"
local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local support = require "spec.lua.weir.run.support"
local waking = require "weir.run.waking"
local weir = require "weir"

local WAITS = weir.pipeline "waits" { weir.step "paid" { wait = { signal = "paid" } }, weir.step "more" { wait = { signal = "more" } } }

-- What people say of a run while it is being woken, or is being parked.
describe("a run that is neither at work nor at rest", function()
  local world, run
  local function open()
    world = support.world {}
    run = world:begin(WAITS)
  end
  after_each(function()
    assert.is_nil((next(world.engine.opening)))
    world:close()
  end)

  local function at_once(first, second)
    local one = native.spawn(first)
    native.yield()
    local other = native.spawn(second)
    local ok, result = other:join(60)
    assert.is_true(ok, not ok and tostring(result))
    ok, result = one:join(60)
    assert.is_true(ok, not ok and tostring(result))
  end

  local function wake() return recovery.go_on(world.engine, run.id) end
  local function cancel() return world.engine:cancel(run.id, "not wanted") end
  local function pause() return waking.pause(world.engine, run.id) end

  it("is cancelled while it is being woken", function()
    open()
    at_once(wake, cancel)
    assert.equal("cancelled", world:row(run.id).status)
    assert.same({}, world:left())
  end)

  it("is cancelled while it is being parked", function()
    world = support.world({}, { patience = 1 })
    run = world.engine:start(world:define(WAITS), {})
    local park, is_parking = keeping.park, native.waiter()
    keeping.park = function(...) -- luacheck: ignore 122
      keeping.park = park -- luacheck: ignore 122
      is_parking:wake()
      native.sleep(1)
      return park(...)
    end
    is_parking:wait "the run that is about to be parked"
    assert.is_truthy(world.engine.live[run.id])
    assert.equal("cancelled", cancel().status)
    assert.equal("cancelled", world:row(run.id).status)
  end)

  it("is paused while it is being woken, and then stays paused", function()
    open()
    at_once(wake, pause)
    assert.is_true(world:row(run.id).is_paused)
    assert.is_nil(world.engine.live[run.id])
  end)

  it("is not woken while it is being paused", function()
    open()
    at_once(pause, wake)
    assert.is_true(world:row(run.id).is_paused)
    assert.equal("waiting", recovery.open(world.engine, run.id):execute().status) -- by hand it is
    assert.is_not_true(world:row(run.id).is_paused)
  end)

  it("is not waited for any more once it could not be gone on with", function()
    open()
    local resumed = allowance.resumed
    allowance.resumed = function() -- luacheck: ignore 122
      native.sleep(1)
      error { code = "full", message = "the disk is full" }
    end
    local opening = native.spawn(function() return (pcall(recovery.open, world.engine, run.id)) end)
    while not world.engine.live[run.id] do native.yield() end
    local waiting = native.spawn(wake)
    local _, is_open = opening:join(60)
    local has_ended = waiting:join(60)
    allowance.resumed = resumed -- luacheck: ignore 122
    assert.same({ false, true }, { is_open, has_ended })
  end)
end)

local audit = require "weir.audit"
local controls = require "weir.healing.controls"
local incident_of = require "weir.healing.incident"
local native = require "weir.native.scheduler"
local operations = require "weir.healing.operations"
local support = require "spec.lua.weir.run.support"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

-- A run whose only step fails, with an incident that is for people.
local function failed()
  local world = support.world { work = function() error { code = "failed", message = "it broke" } end }
  local run = world:begin(P "heal" { supervise = { { use = "thresholds", options = { ask = false, rules = { { remedy = "escalate" } } } } },
    S "work" { agent = "work" } })
  assert.equal("failed", run.status)
  return world, incident_of.open(world.store)[1]
end

-- What becomes of it when so many do the same at once: true, or the code of the refusal; whoever comes first.
local function at_once(count, body)
  local said = {}
  for n = 1, count do
    said[n] = native.spawn(function()
      local ok, err = pcall(body)
      return ok or err.code
    end)
  end
  for n, one in ipairs(said) do said[n] = select(2, one:join()) end
  table.sort(said, function(a, b) return tostring(a) < tostring(b) end)
  return said
end

describe("what people do about incidents", function()
  local world
  after_each(function() world:close() end)

  it("closes one once, whoever says so at the same time", function()
    local incident
    world, incident = failed()
    assert.same({ "conflict", "conflict", true }, at_once(3, function() operations.close(world.engine, incident.id, { by = "ada" }) end))
    local count = 0
    for _, record in ipairs(audit.list(world.store)) do count = count + (record.value.action == "incident-close" and 1 or 0) end
    assert.equal(1, count)
    local ok, err = pcall(operations.close, world.engine, incident.id)
    assert.same({ false, "conflict" }, { ok, err.code })
  end)

  it("tries its run again once, whoever says so at the same time", function()
    local incident
    world, incident = failed()
    assert.same({ "conflict", "conflict", true }, at_once(3, function() operations.replay(world.engine, incident.id, { by = "ada" }) end))
    assert.equal(2, #world.store:runs {})
  end)

  for _, is_at_once in ipairs { false, true } do
    it("stays known when the step heals " .. (is_at_once and "at that moment" or "afterwards"), function()
      local go = native.waiter()
      world = support.world({ work = function(_, _, own)
        if own.done.work == 1 then error { code = "failed", message = "it broke" } end
        go:wait "the spec"
        return 1
      end }, { patience = 600, near = 600 })
      local run = world.engine:start(world:define(P "heal" {
        supervise = { { use = "thresholds", options = { rules = { { remedy = "retry" } } } } }, S "work" { agent = "work" } }), {})
      native.sleep(1)
      local incident = incident_of.since(world.store)[1]
      assert.equal("remedied", incident.state)
      local closing = native.spawn(operations.close, world.engine, incident.id, { by = "ada", note = "seen" })
      if not is_at_once then assert(closing:join()) end
      native.yield() -- it is about to be written
      go:wake()
      assert.equal("finished", run:wait().status)
      assert(closing:join())
      local known = incident_of.get(world.store, incident.id)
      assert.same({ "closed", "ada", "seen", "healed" }, { known.state, known.closed_by, known.note, known.outcome })
    end)
  end

  it("takes back what its own remedy holds, and not what another one comes to hold at that moment", function()
    world = support.world {}
    local store, remedy = world.store, { name = "pause_pipeline", args = {} }
    local function incident(id) return { id = id, pipeline = "p", at_ms = 1, remedy = remedy } end
    local function apply(id)
      local operation, committed = controls.apply(store, remedy, incident(id))
      assert(store:batch { operation })
      committed()
    end
    apply "i_first"
    local reverting = controls.revert(store, incident "i_first")
    apply "i_second" -- before that is written
    local done, _, code = store:batch { reverting }
    assert.same({ nil, "conflict" }, { done, code })
    assert.equal("i_second", controls.paused(store, "p").incident)
    assert.equal("i_second", store:get("controls", "pipeline/p/pause").incident)
  end)
end)

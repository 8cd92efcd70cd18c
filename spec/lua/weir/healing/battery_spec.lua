-- Test 133 of the battery: five hundred incidents, some of them in the supervisors themselves, with lives that end at drawn writes.

local incident_of = require "weir.healing.incident"
local support = require "spec.lua.weir.run.support"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local INCIDENTS, ITEMS = 500, 40

local function drawing(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
    return (state >> 20) % n
  end
end

-- One run over items that fail so often, each under a supervisor that sometimes fails itself.
local function world_of(draw)
  local failures, failed = {}, {}
  for item = 1, ITEMS do failures[item] = draw(7) end
  local world = support.world { work = function(ctx, input)
    local item = input.item
    if failed[item] == nil then failed[item] = 0 end
    if failed[item] < failures[item] then
      failed[item] = failed[item] + 1
      error { code = item % 2 == 0 and "failed" or "unavailable", message = ("item %d broke for the %d. time"):format(item, ctx.attempt) }
    end
    return item
  end }
  world.failed, world.asked = failed, 0
  world.here.registry:put { kind = "supervisor", name = "shaky", api = 1, options = { type = "object" }, on = function(_, incident)
    world.asked = world.asked + 1
    world.was_asked_wrongly = world.was_asked_wrongly or incident.kind == "supervisor" or incident.caused_by ~= nil
    local chance = draw(10)
    if chance == 0 then error "the supervisor broke" end
    if chance == 1 then return { remedy = "levitate" } end
    return { remedy = "retry" }
  end }
  return world
end

local WHAT = { supervise = { { use = "shaky", options = { attempts = 3, ask = false, cap = 100000 } } } }

local function definition()
  local items = {}
  for item = 1, ITEMS do items[item] = item end
  return P "battery" { supervise = WHAT.supervise,
    weir.map "all" { over = items, concurrency = 5, tolerate = ITEMS, S "work" { agent = "work", input = { item = "$.item" } } } }
end

local function check(world, list)
  local by_id, of_step, faults, remedied = {}, {}, 0, 0
  for _, one in ipairs(list) do by_id[one.id] = one end
  for _, one in ipairs(list) do
    if one.kind == "supervisor" then
      faults = faults + 1
      assert.same({ "escalated", "step", nil }, { one.state, by_id[one.caused_by].kind, one.remedy })
    else
      assert.not_equal("passed", one.state)
      of_step[one.step] = of_step[one.step] or { remedied = 0, escalated = 0, all = 0 }
      local counts = of_step[one.step]
      counts[one.state], counts.all = counts[one.state] + 1, counts.all + 1
      if one.state == "remedied" then
        remedied = remedied + 1
        assert.equal("retry", one.remedy.name)
        assert.equal(0, counts.escalated) -- nothing is mended any more once a person was called
      end
    end
  end
  for _, counts in pairs(of_step) do
    assert.is_true(counts.remedied <= 3 and counts.escalated <= 1)
  end
  assert.is_false(world.was_asked_wrongly or false)
  return of_step, faults, remedied
end

describe("five hundred incidents", function()
  it("have one remedy each, go to a person after three, none is lost, and no supervisor mends a supervisor or a remedy", function()
    local total, faults, escalated = 0, 0, 0
    for seed = 1, 100 do
      local draw = drawing(seed)
      local world = world_of(draw)
      local run = world:begin(definition())
      assert.is_true(run.ended_ms ~= nil)
      local list = incident_of.since(world.store)
      local of_step, broken = check(world, list)
      for item, count in pairs(world.failed) do -- every failure is an incident, and only failures are
        local counts = of_step[("all[%d]/work"):format(item - 1)]
        assert.equal(count, counts and counts.all or 0)
      end
      for _, counts in pairs(of_step) do escalated = escalated + counts.escalated end
      total, faults = total + #list, faults + broken
      world:close()
      if total >= INCIDENTS and seed >= 5 then break end
    end
    assert.is_true(total >= INCIDENTS and faults >= 30 and escalated >= 30, ("%d %d %d"):format(total, faults, escalated))
  end)

  it("hold to that when the process ends at any moment: what is known of them is whole, and what was mended is not mended again", function()
    local total = 0
    for seed = 1, 60 do
      local draw = drawing(1000 + seed)
      local world = world_of(draw)
      world:life(1 + draw(150))
      local run = world:begin(definition())
      if run then
        while world.mortal and world.mortal.is_over do
          world:life(draw(3) > 0 and 1 + draw(150) or nil)
          world:go_on()
        end
        assert.equal("finished", world:row(run.id).status)
        local list = incident_of.since(world.store)
        check(world, list)
        for _, one in ipairs(incident_of.of_run(world.store, run.id)) do assert.is_truthy(incident_of.get(world.store, one.id)) end
        assert.equal(#list, #incident_of.of_run(world.store, run.id))
        total = total + #list
      end
      world:close()
      if total >= INCIDENTS then break end
    end
    assert.is_true(total >= INCIDENTS, total)
  end)
end)

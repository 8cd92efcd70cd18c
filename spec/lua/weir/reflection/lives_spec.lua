local candidates = require "weir.candidate"
local json = require "weir.native.json"
local reflection = dofile "spec/lua/weir/reflection/support.lua"
local support = dofile "spec/lua/weir/run/support.lua"

local AUTO = 'approve = "auto", examples = { { base = 10 }, { base = 20 }, { base = 30 } }, holdout = 0.5,'
local MODES = { auto = AUTO, human = (AUTO:gsub('"auto"', '"human"')) }

-- A world over the project of a place, with as many writes in its first life as given.
local function world_of(place, writes)
  local world = support.world({}, { project = place.project })
  world:life(writes)
  return world
end

local function cycle_of(world)
  for _, found in ipairs(assert(world.store:runs { limit = 100 })) do
    if found.row.pipeline == "p-reflection" then return found.id end
  end
end

-- What is left at the end, without ids and times.
local function outcome(world, place)
  local list = {}
  for index, one in ipairs(candidates.list(world.store, { pipeline = "p" })) do
    list[index] = { one.state, one.round, one.version, one.parent, one.code or "", one.by or "",
      one.tuning and one.tuning.after or 0, one.holdout and one.holdout.after or 0, one.cost and one.cost.steps or 0 }
  end
  local id = cycle_of(world)
  return json.encode({ list, id and world:ending(id).value or json.null, (place:serving()) }, { canonical = true })
end

-- A run and what follows it, killed after some writes, to its end. Gives how it ended, and whether it was killed.
local function through(mode, writes)
  local place = reflection.place(reflection.pipeline(MODES[mode]), reflection.sizes(2, -5, 4))
  place.store:close()
  local world = world_of(place, writes)
  local definition = assert(place.project:pipeline "p")
  world:begin(definition, { base = 40 })
  local act = support.actor { approval = "approve" }
  local function finish()
    world:go_on()
    local id = cycle_of(world)
    if id then world:settle(id, act) end
  end
  if writes then
    if not world.mortal.is_over then pcall(finish) end
    require("weir.native.scheduler").recover()
  end
  local was_killed = writes and world.mortal.is_over
  world:life()
  if not cycle_of(world) then
    world:go_on()
    if not cycle_of(world) then world:begin(definition, { base = 40 }) end -- nothing of the run was there yet
  end
  finish()
  local ended = outcome(world, place)
  world:close()
  place.store = { close = function() end }
  place:close()
  return ended, was_killed
end

describe("a reflection cycle that is killed", function()
  for _, mode in ipairs { "auto", "human" } do
    it(("at any of its writes comes to the same end in another life (%s)"):format(mode), function()
      local reference = through(mode)
      assert.is_truthy(reference:find '"kept"')
      local killed = 0
      for writes = 1, 400 do
        local ended, was_killed = through(mode, writes)
        if not was_killed then break end
        killed = killed + 1
        assert.equal(reference, ended, ("killed after %d writes"):format(writes))
      end
      assert.is_true(killed > 40 and killed < 400, killed)
    end)
  end
end)

--- Policies over many calls, with statistics, breakers and fallbacks at work: test 132 of the battery, and bandits.

local route = require "weir.model.route"
local support = dofile "spec/lua/weir/model/support.lua"
local task = require "weir.task"

-- A world of models, each with how good its answers are, how long it takes and how often it fails; a call every `pause` seconds.
local function new_world(policy, models, fields)
  local draw = support.draws(fields and fields.seed or 1)
  local world = { models = models, draw = draw, calls = 0, asked = {}, changes = {}, pause = fields and fields.pause or 2 }
  local scripts, names = {}, {}
  for index, name in ipairs(fields.names) do
    names[index] = name
    scripts[name] = function(...)
      local model = models[name]
      world.asked[name] = (world.asked[name] or 0) + 1
      if draw() < (model.fails or 0) then return support.refuses("server", nil, model.seconds)(...) end
      return support.answers(name, model.seconds)(...)
    end
  end
  world.call = support.models(scripts)
  world.choice = support.choice(names, { router = route.new(nil, { draw = draw }), label = "task", policy = support.policy(policy, fields.options) })
  return world
end

local function note_change(world, name)
  if world.chosen and world.chosen ~= name then world.changes[#world.changes + 1] = task.now() end
  world.chosen = name
end

-- One call; who was asked first is who was chosen.
local function call(world)
  assert(route.call(world.choice, {}, world.call))
  local decision = world.choice.decisions[#world.choice.decisions]
  local first = decision.attempts[1].model
  note_change(world, first)
  local quality = world.models[decision.model].quality
  if quality then
    local score = quality + (world.draw() - 0.5) * 0.2
    world.choice.router.statistics:score(decision.model, "task", score, "critic")
  end
  task.sleep(world.pause)
  return first
end

-- So many calls; how many chose a model, and the last call that did.
local function calls(world, count, name)
  local chosen, last = 0, 0
  for n = 1, count do
    if call(world) == name then chosen, last = chosen + 1, n end
  end
  return chosen, last
end

-- Calls until a model is chosen ten times in a row.
local function until_back(world, name, most)
  local row = 0
  for n = 1, most do
    row = call(world) == name and row + 1 or 0
    if row == 10 then return n end
  end
  return math.huge
end

local function check_changes(world)
  for index = 3, #world.changes do
    local seconds = world.changes[index] - world.changes[index - 2]
    assert.is_true(seconds >= 60, ("three changes in %.0f s"):format(seconds))
  end
end

describe("a primary model that fails half of its calls", function()
  for _, seed in ipairs { 1, 2, 3, 4, 5 } do
    it("is left within 20 calls by a bandit, and chosen again once it has healed, seed " .. seed, function()
      support.virtually(function()
        local models = { primary = { seconds = 1, quality = 0.9 }, other = { seconds = 1, quality = 0.75 } }
        local world = new_world("bandit", models, { names = { "primary", "other" }, seed = seed })
        calls(world, 60, "primary")
        assert.is_true((calls(world, 100, "primary")) >= 95)
        models.primary.fails = 0.5
        calls(world, 20)
        assert.is_true((calls(world, 40, "primary")) <= 4)
        models.primary.fails = 0
        assert.is_true(until_back(world, "primary", 2000) < 2000)
        check_changes(world)
      end)
    end)
  end

  it("is left alone by the breaker under an order, and probed at most once a minute", function()
    support.virtually(function()
      local models = { primary = { seconds = 1 }, other = { seconds = 1 } }
      local world = new_world("ordered", models, { names = { "primary", "other" } })
      calls(world, 30, "primary")
      models.primary.fails = 1
      local _, last = calls(world, 20, "primary")
      assert.is_true(last < 20)
      models.primary.fails = 0.5
      calls(world, 400)
      check_changes(world)
      models.primary.fails = 0
      assert.is_true(until_back(world, "primary", 500) < 500)
    end)
  end)
end)

describe("a primary model that becomes ten times slower", function()
  for _, policy in ipairs { "bandit", "fastest" } do
    it("is left within 20 calls by " .. policy .. ", and chosen again once it has healed", function()
      support.virtually(function()
        local models = { primary = { seconds = 1 }, other = { seconds = 2 } }
        local world = new_world(policy, models, { names = { "primary", "other" } })
        calls(world, 60, "primary")
        assert.is_true((calls(world, 100, "primary")) >= 94)
        models.primary.seconds = 10
        calls(world, 20)
        assert.is_true((calls(world, 40, "primary")) <= 3)
        models.primary.seconds = 1
        assert.is_true(until_back(world, "primary", 2000) < 2000)
        if policy == "bandit" then check_changes(world) end
      end)
    end)
  end
end)

describe("a bandit over three models of different quality", function()
  for _, seed in ipairs { 1, 2, 3, 4, 5, 6 } do
    it("finds the best by the critic's score, leaves it within 20 calls when it degrades, and comes back, seed " .. seed, function()
      support.virtually(function()
        local models = { poor = { quality = 0.5, seconds = 0.5 }, fair = { quality = 0.7, seconds = 0.5 }, good = { quality = 0.9, seconds = 0.5 } }
        local world = new_world("bandit", models, { names = { "poor", "fair", "good" }, seed = seed, pause = 3 })
        calls(world, 60, "good")
        assert.is_true((calls(world, 100, "good")) >= 96)
        models.good.quality = 0.3
        local _, last = calls(world, 60, "good")
        assert.is_true(last <= 20, last)
        local again = calls(world, 60, "good")
        assert.is_true(again <= 10, again .. " calls went to it while it was bad") -- now and then it is tried
        models.good.quality = 0.9
        assert.is_true(until_back(world, "good", 2000) < 2000)
        check_changes(world)
      end)
    end)
  end

  it("weighs time and money as its options say", function()
    support.virtually(function()
      local models = { dear = { quality = 0.9, seconds = 3 }, cheap = { quality = 0.8, seconds = 1 } }
      for options, best in pairs { [{ latency = 0, cost = 0 }] = "dear", [{ latency = 1 }] = "cheap" } do
        local world = new_world("bandit", models, { names = { "dear", "cheap" }, options = options })
        calls(world, 60)
        assert.is_true((calls(world, 60, best)) >= 57, best)
      end
    end)
  end)

  it("keeps what it has learnt over a reload, since that stands in the statistics", function()
    support.virtually(function()
      local models = { poor = { quality = 0.4, seconds = 1 }, good = { quality = 0.9, seconds = 1 } }
      local world = new_world("bandit", models, { names = { "poor", "good" } })
      calls(world, 60)
      world.choice.policy = support.policy "bandit"
      assert.is_true((calls(world, 40, "good")) >= 39)
    end)
  end)
end)

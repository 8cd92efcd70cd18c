local memory = require "weir.planning.memory"
local patches = require "weir.planning.patch"
local plans = dofile "spec/lua/weir/planning/support.lua"
local support = dofile "spec/lua/weir/run/support.lua"
local weir = require "weir"

local FOLDER = {
  find = { { folder = "string" }, { csv_files = "string[]", page_files = "string[]" }, function()
    return { csv_files = { "a.csv", "b.csv" }, page_files = { "c.md" } }
  end },
  read = { { csv_file = "string" }, { table = "object" }, function(_, input) return { table = { name = input.csv_file } } end },
  draw = { { table = "object" }, { drawing = "string" }, function(_, input) return { drawing = "<" .. input.table.name .. ">" } end },
  outline = { { page_file = "string" }, { section = "string" }, function(_, input) return { section = "#" .. input.page_file } end },
  join = { { drawings = "array", sections = "array" }, { report = "string" }, function(_, input)
    return { report = table.concat(input.drawings, " ") .. " " .. table.concat(input.sections, " ") }
  end },
}
local ALL = { "find", "read", "draw", "outline", "join" }
local GOAL = { text = "turn this folder into one report", want = "report" }
local REPORT = "<a.csv> <b.csv> #c.md"

-- Two ways to a cake, the cheaper one of which goes wrong; both need flour.
local function bakery(quick, slow)
  return {
    mill = { { grain = "string" }, { flour = "string" }, function(_, input) return { flour = input.grain .. " flour" } end },
    quick = { { flour = "string" }, { cake = "string" }, quick or function() error "it burns" end },
    slow = { { flour = "string" }, { cake = "string" }, cost = 5,
      slow or function(_, input) return { cake = "cake of " .. input.flour } end },
  }
end
local BAKERS = { "mill", "quick", "slow" }
local CAKE = { want = "cake" }

local function goals(world)
  local list = {}
  for found in memory.newest(world.store) do list[#list + 1] = found.value end
  return list
end

local function run_of(world, plan, input, more)
  return world:begin(plans.pipeline(plan, more), input or {})
end

local function keys_done(world)
  local list = {}
  for key in pairs(world.done) do list[#list + 1] = key end
  table.sort(list)
  return list
end

describe("a step that plans", function()
  local world
  after_each(function()
    if world then world:close() end
    world = nil
  end)

  it("takes a goal and gives what a checked plan gives: goal in, plan out", function()
    world = plans.world(FOLDER)
    local run = run_of(world, { goal = GOAL, agents = ALL }, { folder = "docs" })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ report = REPORT }, run.output)
    assert.same({ "work/plan/find", "work/plan/join", "work/plan/part_2/each_csv_file[0]/one_csv_file/draw",
      "work/plan/part_2/each_csv_file[0]/one_csv_file/read", "work/plan/part_2/each_csv_file[1]/one_csv_file/draw",
      "work/plan/part_2/each_csv_file[1]/one_csv_file/read", "work/plan/part_2/each_page_file[0]/outline" }, keys_done(world))
    assert.same({}, world:left())
  end)

  it("may be asked for in a flow", function()
    world = plans.world(FOLDER)
    local run = world:begin(weir.flow "asks" { function(run)
      local got = run:plan "work" { goal = GOAL, agents = ALL, input = { folder = "docs" } }
      return run:step "after" { function() return got.report .. "!" end }
    end })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.equal(REPORT .. "!", run.output)
  end)

  it("may use every agent that says what it takes and has no consequences, when none are named", function()
    world = plans.world({}, { picky = function(_, _, agents)
      local names = {}
      for index, agent in ipairs(agents) do names[index] = agent.name end
      local all = table.concat(names, " ")
      assert(all:find "keywords" and all:find "summarize" and not all:find "files" and not all:find "command", all)
      return plans.plan_of({ { "say", "summarize", { text = "$.input.text" } } }, { text = "$.say.text" })
    end })
    local run = run_of(world, { goal = "say it", planner = "picky" }, { text = "The tide came in." })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ text = "The tide came in." }, run.output)
  end)

  it("says in its record which plan made which step", function()
    world = plans.world(FOLDER)
    local run = run_of(world, { goal = GOAL, agents = ALL }, { folder = "docs" })
    local record = require("weir.view.record").load(world.store, run.id)
    local version = goals(world)[1].plans[1].version
    assert.equal(version, record.plans[1].version)
    assert.equal("work", record.plans[1].step)
    local agents = {}
    for _, step in ipairs(record.steps) do
      if step.plan then
        assert.equal(version, step.plan)
        agents[#agents + 1] = step.by
      end
    end
    assert.equal(11, #agents) -- seven of agents, two maps, two bodies
    assert.equal("plan", record.steps[1].by)
  end)
end)

describe("a plan that is refused before anything runs", function()
  local world
  after_each(function() world:close() end)

  local function refused(planner, plan)
    world = plans.world(FOLDER, { bad = planner })
    local fields = { goal = GOAL, agents = ALL, planner = "bad" }
    for name, value in pairs(plan or {}) do fields[name] = value end
    local run = run_of(world, fields, { folder = "docs" })
    assert.equal("failed", run.status)
    assert.same({}, keys_done(world))
    assert.equal("failed", goals(world)[1].status)
    return run.error.code, run.error.message
  end

  it("is of a planner that returns nothing", function()
    local code, message = refused(function() end)
    assert.equal("invalid", code)
    assert.match("planner 'bad' returned nothing", message)
  end)

  it("is of a planner that returns rubbish", function()
    for _, rubbish in ipairs { "do it", 7, { print }, { steps = { "a" } }, { groups = {} }, { groups = { "x" } } } do
      local code, message = refused(function() return rubbish end)
      assert.equal("invalid", code)
      assert.match("planner", message)
      world:close()
    end
    refused(function() error "out of my mind" end)
  end)

  it("names an agent that does not exist, or that it may not use", function()
    for _, name in ipairs { "finder", "echo" } do
      local code, message = refused(function() return plans.plan_of { { "a", name, { folder = "$.input.folder" } } } end)
      assert.equal("not_found", code)
      assert.match("agent '" .. name .. "' is unknown", message)
      world:close()
    end
    local _, message = refused(function() return plans.plan_of { { "a", "fnd", { folder = "$.input.folder" } } } end)
    assert.match("did you mean 'find'", message)
  end)

  it("goes round in a circle", function()
    local code, message = refused(function()
      return plans.plan_of({ { "a", "draw", { table = "$.b.table" } }, { "b", "read", { csv_file = "$.a.drawing" } } })
    end)
    assert.equal("invalid", code)
    assert.match("path '%$.b.table' needs 'b', which does not run before it", message)
    world:close()
    code, message = refused(function()
      local plan = plans.plan_of { { "a", "find", { folder = "$.input.folder" } } }
      plan.groups[1].branch = { default = "a" }
      return plan
    end)
    assert.equal("invalid", code)
    assert.match("group 'a' has 'branch', which is nothing that a plan may say", message)
  end)

  it("gives an agent what it does not take: typed inputs and outputs", function()
    local code, message = refused(function()
      return plans.plan_of({ { "a", "find", { folder = "$.input.folder" } }, { "b", "read", { csv_file = "$.a.csv_files", sort = 1 } },
        { "c", "draw", {} } }, { report = "$.b.table" })
    end)
    assert.equal("invalid", code)
    assert.match("input 'csv_file' is list of string, and agent 'read' takes string", message)
    assert.match("agent 'read' takes no 'sort'", message)
    assert.match("agent 'draw' needs 'table'", message)
  end)

  it("does not give what is wanted", function()
    local _, message = refused(function()
      return plans.plan_of({ { "a", "find", { folder = "$.input.folder" } } }, { found = "$.a" })
    end)
    assert.match("the plan's output has no 'report', which is wanted", message)
  end)

  it("says what is no plan's affair", function()
    local _, message = refused(function()
      local plan = plans.plan_of { { "a", "find", { folder = "$.input.folder" } } }
      plan.groups[1].steps[1].options, plan.groups[1].steps[1].tools = { roots = { "/" } }, { "command" }
      plan.budget = { usd = 1000 }
      return plan
    end)
    assert.match("step 'a' has 'options'", message)
    assert.match("the plan has 'budget'", message)
  end)

  it("has more steps, or more in a row, than are allowed: limits of steps and depth", function()
    local function three() return plans.plan_of({ { "a", "find", { folder = "$.input.folder" } },
      { "b", "find", { folder = "$.input.folder" } }, { "c", "find", { folder = "$.input.folder" } } }, { report = "$.c.csv_files[0]" }) end
    local code, message = refused(three, { limits = { steps = 2 } })
    assert.same({ "limit", true }, { code, message:find("3 steps, and 2 are allowed", 1, true) ~= nil })
    world:close()
    code, message = refused(three, { limits = { depth = 2 } })
    assert.same({ "limit", true }, { code, message:find("3 steps one after the other, and 2", 1, true) ~= nil })
  end)

  it("is of a goal that no plan reaches: what is missing is said", function()
    world = plans.world(FOLDER)
    local run = run_of(world, { goal = GOAL, agents = { "find", "draw", "outline", "join" } }, { folder = "docs" })
    assert.same({ "failed", "not_found" }, { run.status, run.error.code })
    assert.match("no plan gives 'report': nothing gives 'table', which agent 'draw' needs", run.error.message)
    assert.same({}, keys_done(world))
  end)

  it("is of a goal that says nothing, or in a way that nobody reads", function()
    for goal, message in pairs { [""] = "a goal says something", [7] = "a goal is a text" } do
      world = plans.world(FOLDER)
      local run = run_of(world, { goal = goal, agents = ALL }, { folder = "docs" })
      assert.same({ "failed", "invalid" }, { run.status, run.error.code })
      assert.match(message, run.error.message)
      world:close()
    end
    world = plans.world(FOLDER)
    local run = run_of(world, { goal = "a text alone", agents = ALL }, { folder = "docs" })
    assert.match("planner 'rules' needs to know what is wanted by name", run.error.message)
  end)

  it("comes from a planner whose first answer cannot be used: it is told why, and asked once more", function()
    local told = {}
    world = plans.world(FOLDER, { second = function(ctx)
      told[#told + 1] = ctx.problems or false
      if not ctx.problems then return plans.plan_of { { "a", "finder", {} } } end
      return plans.plan_of({ { "a", "outline", { page_file = "$.input.folder" } } }, { report = "$.a.section" })
    end })
    local run = run_of(world, { goal = GOAL, agents = ALL, planner = "second" }, { folder = "docs" })
    assert.same({ "finished", { report = "#docs" } }, { run.status, run.output })
    assert.is_false(told[1])
    assert.match("agent 'finder' is unknown", told[2][1])
  end)
end)

describe("a plan that fails", function()
  local world
  after_each(function() world:close() end)

  it("is replaced by another one, and what has finished is not done again: partial replanning", function()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = BAKERS, replan = 1 }, { grain = "rye" })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ cake = "cake of rye flour" }, run.output)
    assert.same({ "work/plan#2/slow", "work/plan/mill", "work/plan/quick" }, keys_done(world))
    local goal = goals(world)[1]
    assert.same({ "finished", "failed", "finished" }, { goal.status, goal.plans[1].status, goal.plans[2].status })
    assert.equal("quick", goal.plans[1].error.agent)
  end)

  it("is replaced as a patch, which makes the new plan of the old one", function()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = BAKERS, replan = 1 }, { grain = "rye" })
    local record, goal = require("weir.view.record").load(world.store, run.id), goals(world)[1]
    local patch = record.plans[2].patch
    assert.is_true(#patch > 0)
    assert.same(goal.plans[2].normal, (patches.apply(goal.plans[1].normal, patch)))
    local reused
    for _, step in ipairs(record.steps) do reused = reused or step.reused end
    assert.equal("work/plan/mill", reused)
  end)

  it("ends the step when nothing else is to be tried", function()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = BAKERS }, { grain = "rye" })
    assert.same({ "failed", "failed", "work/plan/quick" }, { run.status, run.error.code, run.error.step })
    assert.match("it burns", run.error.message)
    world:close()
    world = plans.world(bakery())
    run = run_of(world, { goal = CAKE, agents = { "mill", "quick" }, replan = 3 }, { grain = "rye" })
    assert.match("it burns; and there is no other plan: no plan gives 'cake' without quick, which failed", run.error.message)
  end)

  it("is not carried out twice: a planner that repeats itself is stopped", function()
    local asked = 0
    local function same()
      asked = asked + 1
      return plans.plan_of({ { "a", "mill", { grain = "$.input.grain" } }, { "b", "quick", { flour = "$.a.flour" } } }, { cake = "$.b.cake" })
    end
    world = plans.world(bakery(), { stubborn = same })
    local run = run_of(world, { goal = CAKE, agents = BAKERS, planner = "stubborn", replan = 5 }, { grain = "rye" })
    assert.same({ "failed", 3 }, { run.status, asked })
    assert.match("it burns.*there is no other plan.*the plan failed before", run.error.message)
    assert.equal(1, world.done["work/plan/b"])
  end)

  it("is given up when the next one gets no further: stall", function()
    local number = 0
    local function new()
      number = number + 1
      local name = "try" .. number
      return plans.plan_of({ { "a", "mill", { grain = "$.input.grain" } }, { name, "quick", { flour = "$.a.flour" } } },
        { cake = ("$.%s.cake"):format(name) })
    end
    world = plans.world(bakery(), { restless = new })
    local run = run_of(world, { goal = CAKE, agents = BAKERS, planner = "restless", replan = 50 }, { grain = "rye" })
    assert.same({ "failed", 2 }, { run.status, number })
    assert.match("plan 2 got no further than plan 1", run.error.message)
  end)

  it("may go round through its own agents only so deep: a plan that plans itself", function()
    local function again(ctx, input)
      return { cake = ctx:plan "again" { goal = CAKE, agents = { "oracle" }, input = { grain = input.grain } }.cake }
    end
    world = plans.world { oracle = { { grain = "string" }, { cake = "string" }, again } }
    local run = run_of(world, { goal = CAKE, agents = { "oracle" } }, { grain = "rye" })
    assert.same({ "failed", "limit" }, { run.status, run.error.code })
    assert.match("more than 4 plans deep", run.error.message)
  end)

  it("fails when an agent gives what it did not say", function()
    world = plans.world(bakery(function() return { cake = 7 } end))
    local run = run_of(world, { goal = CAKE, agents = BAKERS }, { grain = "rye" })
    assert.same({ "failed", "invalid" }, { run.status, run.error.code })
    assert.match("agent 'quick' of a plan: output.cake must be string, got integer 7", run.error.message)
  end)

  it("stops when its time or its money is used up: limits of cost", function()
    world = plans.world(bakery(function(ctx) ctx:sleep(100) return { cake = "late" } end))
    local run = run_of(world, { goal = CAKE, agents = BAKERS, replan = 1, limits = { seconds = 10 } }, { grain = "rye" })
    assert.same({ "failed", "limit" }, { run.status, run.error.code })
    assert.match("did not finish within 10 s", run.error.message)
    world:close()
    local agents = bakery(function() return { cake = "never" } end)
    agents.mill[3] = function(ctx, input)
      ctx:metric("usd", 0.5)
      return { flour = input.grain }
    end
    world = plans.world(agents)
    run = run_of(world, { goal = CAKE, agents = BAKERS, limits = { usd = 0.4 } }, { grain = "rye" })
    assert.same({ "failed", "limit" }, { run.status, run.error.code })
    assert.match("has used 0.5000 USD, and 0.4000 are allowed", run.error.message)
    assert.is_nil(world.done["work/plan/quick"])
    world:life()
    run = run_of(world, { goal = CAKE, agents = BAKERS, limits = { usd = 0.4 }, reuse = "never" }, { grain = "rye" })
    assert.match("the plan would cost 0.5000 USD, and 0.4000 are allowed", run.error.message)
  end)

  it("leaves the run when that is cancelled, and says so", function()
    local run
    world = plans.world(bakery(function(ctx)
      run = world.engine.live[ctx.run.id]
      run:cancel "enough"
      ctx:sleep(5)
    end))
    run_of(world, { goal = CAKE, agents = BAKERS, replan = 3 }, { grain = "rye" })
    assert.equal("cancelled", run.status)
    assert.same({}, world:left())
  end)
end)

describe("a step that plans, like any other step", function()
  local world
  after_each(function() world:close() end)

  it("may be tried again, in all its attempts the same run", function()
    local burns = true
    world = plans.world(bakery(function()
      if burns then
        burns = false
        error "it burns"
      end
      return { cake = "second" }
    end))
    local run = run_of(world, { goal = CAKE, agents = { "mill", "quick" } }, { grain = "rye" }, { retry = { attempts = 2, backoff = 1 } })
    world:settle(run.id)
    assert.same({ "finished", { cake = "second" } }, { world:ending(run.id).status, world:ending(run.id).value })
  end)

  it("may be judged: the planner is told what was wrong", function()
    local told = {}
    world = plans.world(bakery(function() return { cake = "quick" } end), { listens = function(ctx)
      told[#told + 1] = ctx.feedback and ctx.feedback.advice or false
      local agent = ctx.feedback and "slow" or "quick"
      return plans.plan_of({ { "a", "mill", { grain = "$.input.grain" } }, { agent, agent, { flour = "$.a.flour" } } },
        { cake = ("$.%s.cake"):format(agent) })
    end })
    world.here.registry:put { kind = "critic", name = "gourmet", api = 1, review = function(_, draft)
      if draft.cake == "quick" then return { verdict = "retry", score = 0.1, advice = "take your time" } end
      return { verdict = "approve", score = 0.9 }
    end }
    local run = run_of(world, { goal = CAKE, agents = BAKERS, planner = "listens" }, { grain = "rye" }, { critic = { use = "gourmet" } })
    assert.same({ "finished", { cake = "cake of rye flour" } }, { run.status, run.output }, run.error and run.error.message)
    assert.same({ false, "take your time" }, told)
    local scores = {}
    for index, goal in ipairs(goals(world)) do scores[index] = goal.status .. tostring(goal.score) end
    table.sort(scores)
    assert.same({ "finished0.9", "runningnil" }, scores)
  end)

  it("may be planned for each thing of a map", function()
    world = plans.world(bakery(function(_, input) return { cake = input.flour } end))
    local run = world:begin(weir.pipeline "many" { weir.map "cakes" { over = weir.list { "rye", "oats" },
      weir.plan "bake" { goal = CAKE, agents = BAKERS, input = { grain = "$.item" } } } }, {})
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ { cake = "rye flour" }, { cake = "oats flour" } }, { run.output[1], run.output[2] })
  end)

  it("may plan maps that are reduced", function()
    local agents = { shout = { { word = "string" }, { text = "string" }, function(_, input) return { text = input.word:upper() } end },
      glue = { { items = "array", acc = "any?" }, { text = "string" }, function(_, input)
        local texts = {}
        for index, item in ipairs(input.items) do texts[index] = item.text end
        return { text = table.concat(texts, "-") }
      end } }
    local function made(reduce)
      return function()
        return { groups = weir.list { { name = "m", steps = weir.list { { name = "m", map = { over = "$.input.words", reduce = { agent = reduce },
          each = { name = "one", agent = "shout", input = { word = "$.item" } } } } } } }, output = { text = "$.m.text" } }
      end
    end
    world = plans.world(agents, { maps = made "glue", wrong = made "shout" })
    local fields = { goal = { text = "shout", want = { text = "string" } }, planner = "maps", agents = { "shout", "glue" }, reuse = "never" }
    local run = run_of(world, fields, { words = weir.list { "a", "b", "c" } })
    assert.same({ "finished", { text = "A-B-C" } }, { run.status, run.output }, run.error and run.error.message)
    fields.planner = "wrong"
    run = run_of(world, fields, { words = weir.list { "a" } })
    assert.match("agent 'shout' takes no 'items'", run.error.message)
  end)

  it("says when an agent that it may use does not say what it takes", function()
    world = plans.world(bakery())
    world.here.registry:put { kind = "agent", name = "silent", api = 1, execute = function() end }
    local run = run_of(world, { goal = CAKE, agents = { "mill", "silent" } }, { grain = "rye" })
    assert.same({ "failed", "invalid" }, { run.status, run.error.code })
    assert.match("agent 'silent' does not say what it needs and gives", run.error.message)
    assert.same({}, world:left())
  end)

  it("works in a run of which nothing is kept", function()
    world = plans.world(bakery())
    local engine = require("weir.run.engine").new(world.here, nil)
    local run = engine:run(world:define(plans.pipeline { goal = CAKE, agents = BAKERS, replan = 1 }), { grain = "rye" })
    assert.same({ "finished", { cake = "cake of rye flour" } }, { run.status, run.output }, run.error and run.error.message)
  end)

  it("goes with its run into a file and into another store", function()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = BAKERS, replan = 1 }, { grain = "rye" })
    local transfer, pieces = require "weir.run.transfer", {}
    transfer.export(world.store, run.id, function(bytes) pieces[#pieces + 1] = bytes end)
    local other, whole = assert(require("weir.port.store").open ":memory:"), table.concat(pieces)
    transfer.import(other, function()
      local at = 0
      return { size = #whole, read = function(count)
        local piece = whole:sub(at + 1, at + count)
        at = at + #piece
        return piece
      end }
    end)
    local record = require("weir.view.record").load(other, run.id)
    assert.equal("slow", record.plans[2].normal.groups[2].name)
    other:close()
  end)
end)

describe("plans and what was planned before", function()
  local world
  after_each(function() world:close() end)

  local function never() error "nobody is to be asked" end

  it("plan, outcome and score are stored", function()
    world = plans.world(FOLDER)
    world.here.registry:put { kind = "critic", name = "fair", api = 1, review = function() return { verdict = "approve", score = 0.75 } end }
    run_of(world, { goal = GOAL, agents = ALL }, { folder = "docs" }, { critic = { use = "fair" } })
    local goal = goals(world)[1]
    assert.same({ "finished", 0.75, GOAL.text, "planned" }, { goal.status, goal.score, goal.text, goal.pipeline })
    assert.equal("find", goal.plans[1].normal.groups[1].name)
    assert.is_table(goal.plans[1].estimate)
  end)

  it("a plan that reached a goal is used again for the same goal", function()
    world = plans.world(FOLDER, { once = function(ctx, goal, agents)
      return require("weir.testing").module("planners/rules").plan({ options = { per_second = 0, per_usd = 0, concurrency = 2 },
        tried = ctx.tried }, goal, agents)
    end })
    run_of(world, { goal = GOAL, agents = ALL, planner = "once" }, { folder = "docs" })
    plans.put_planner(world.here, "once", never)
    local run = run_of(world, { goal = GOAL, agents = ALL, planner = "once" }, { folder = "other" })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.equal(goals(world)[1].plans[1].version, goals(world)[2].plans[1].version)
    assert.match("^g_", goals(world)[1].plans[1].reused)
  end)

  it("a plan is used again for a goal that says nearly the same, and not for one that says something else", function()
    local asked = 0
    world = plans.world(FOLDER, { count = function()
      asked = asked + 1
      return plans.plan_of({ { "a", "outline", { page_file = "in plain words" } } }, { report = "$.a.section" })
    end })
    local function ask(text, more)
      local fields = { goal = { text = text, want = "report" }, agents = ALL, planner = "count" }
      for name, value in pairs(more or {}) do fields[name] = value end
      assert.equal("finished", run_of(world, fields, { folder = "docs" }).status)
      return asked
    end
    assert.equal(1, ask "turn all the files of this folder into one report in plain words")
    assert.equal(1, ask "turn all the files of the folder into one report, in plain words")
    assert.equal(2, ask "turn all the files of this folder into one report in few words")
    assert.equal(3, ask("turn the files of this folder into one report in plain words", { reuse = "same" }))
    assert.equal(4, ask("turn the files of this folder into one report in plain words", { reuse = "never" }))
    assert.equal(5, ask "send flowers")
  end)

  it("a plan is not used again when its agents have gone", function()
    world = plans.world(FOLDER)
    run_of(world, { goal = GOAL, agents = ALL }, { folder = "docs" })
    local run = run_of(world, { goal = GOAL, agents = { "find", "read", "draw", "join" } }, { folder = "docs" })
    assert.same({ "failed", "not_found" }, { run.status, run.error.code })
  end)

  it("a plan that failed is not tried again for a time", function()
    local burns = true
    world = plans.world(bakery(function() if burns then error "it burns" end return { cake = "quick cake" } end))
    local fields = { goal = CAKE, agents = { "mill", "quick" } }
    run_of(world, fields, { grain = "rye" })
    local run = run_of(world, fields, { grain = "rye" })
    assert.match("without quick, which failed", run.error.message)
    assert.equal(1, world.done["work/plan/quick"])
    run = run_of(world, fields, { grain = "oats" }) -- another thing
    assert.match("it burns", run.error.message)
    burns = false
    require("weir.port.clock").sleep(3601)
    assert.equal("finished", run_of(world, fields, { grain = "rye" }).status)
  end)

  it("a plan that failed because something could not be reached is tried again at once", function()
    local is_there = false
    world = plans.world(bakery(function()
      if not is_there then return nil, "the oven is cold", "unavailable" end
      return { cake = "warm" }
    end))
    local fields = { goal = CAKE, agents = { "mill", "quick" } }
    assert.equal("unavailable", run_of(world, fields, { grain = "rye" }).error.code)
    is_there = true
    assert.equal("finished", run_of(world, fields, { grain = "rye" }).status)
  end)

  it("a plan that failed is tried again by a retry of its run, which keeps what finished", function()
    local burns = true
    world = plans.world(bakery(function() if burns then error "it burns" end return { cake = "at last" } end))
    local run = run_of(world, { goal = CAKE, agents = { "mill", "quick" } }, { grain = "rye" })
    burns = false
    local id = require("weir.run.fork").retry(world.engine, run.id):make()
    local again = world.engine:reopen(id):execute()
    assert.same({ "finished", { cake = "at last" } }, { again.status, again.output }, again.error and again.error.message)
    assert.same({ 1, 2 }, { world.done["work/plan/mill"], world.done["work/plan/quick"] })
  end)
end)

describe("a plan that somebody signs off", function()
  local world
  after_each(function() world:close() end)

  local function asked(fields, input)
    local plan = { goal = CAKE, agents = BAKERS, sign_off = true }
    for name, value in pairs(fields or {}) do plan[name] = value end
    local run = run_of(world, plan, input or { grain = "rye" })
    assert.equal("waiting", run.status, run.error and run.error.message)
    return run.id, world:questions(run.id)[1]
  end

  it("is shown with its steps and what it will take, before anything runs: review", function()
    world = plans.world(bakery())
    local _, question = asked()
    assert.equal("Carry out this plan for 'work'?", question.title)
    assert.same({ "mill: mill(grain = $.input.grain)", "quick: quick(flour = $.mill.flour)" }, { table.unpack(question.show.plan) })
    assert.match("not known how long; no record yet of: mill, quick", question.show.estimate)
    assert.same({}, keys_done(world))
  end)

  it("is carried out when it is approved", function()
    world = plans.world(bakery(function() return { cake = "signed" } end))
    local id, question = asked { sign_off = { title = "Bake it?", who = { "ada" } } }
    assert.equal("Bake it?", question.title)
    assert.same({ nil, "denied" }, { (function() local _, _, code = world:decide(question.id, { by = "bob" }) return nil, code end)() })
    world:decide(question.id, { decision = "approve" })
    world:settle(id)
    assert.same({ "finished", { cake = "signed" } }, { world:ending(id).status, world:ending(id).value })
    assert.same({}, world:left())
  end)

  it("is not carried out when it is rejected", function()
    world = plans.world(bakery())
    local id, question = asked { replan = 3 }
    world:decide(question.id, { decision = "reject", comment = "too risky" })
    world:settle(id)
    assert.same({ "failed", "rejected" }, { world:ending(id).status, world:ending(id).value.code })
    assert.same({ "rejected", {} }, { goals(world)[1].status, keys_done(world) })
  end)

  it("may be edited: another plan, which is checked as well", function()
    world = plans.world(bakery())
    local id, question = asked()
    local other = plans.plan_of({ { "a", "mill", { grain = "$.input.grain" } }, { "b", "slow", { flour = "$.a.flour" } } }, { cake = "$.b.cake" })
    world:decide(question.id, { decision = "edit", answer = plans.plan_of { { "a", "oven", {} } } })
    world:go_on()
    question = world:questions(id)[1]
    assert.match("the plan that ada gave cannot be carried out %(not_found%): .*agent 'oven' is unknown", question.show.problem)
    world:decide(question.id, { decision = "edit", answer = other })
    world:settle(id)
    assert.same({ cake = "cake of rye flour" }, world:ending(id).value)
    local record = require("weir.view.record").load(world.store, id)
    assert.equal("ada", record.plans[1].edited_by)
  end)

  it("is shown as what it changes when it replaces one that failed", function()
    world = plans.world(bakery())
    local id, question = asked { replan = 1 }
    world:decide(question.id, {})
    world:go_on()
    question = world:questions(id)[1]
    assert.is_true(#question.show.changes > 0)
    assert.match("quick", table.concat(question.show.changes, "\n"))
    world:decide(question.id, {})
    world:settle(id)
    assert.same({ cake = "cake of rye flour" }, world:ending(id).value)
  end)

  it("says what it will take from what was recorded", function()
    world = plans.world(bakery(function(ctx) ctx:sleep(30) ctx:metric("usd", 0.02) return { cake = "x" } end))
    assert.equal("finished", run_of(world, { goal = CAKE, agents = BAKERS }, { grain = "rye" }).status)
    local _, question = asked()
    assert.match("about 30 s, 0.0200 USD$", question.show.estimate)
    assert.match("^g_", question.show.used_before)
  end)
end)

describe("a plan in the record", function()
  local world
  after_each(function() world:close() end)

  -- A run whose first plan has failed and whose second one waits to be signed off.
  local function half_done()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = BAKERS, replan = 1, sign_off = true }, { grain = "rye" })
    world:decide(world:questions(run.id)[1].id, {})
    world:go_on()
    assert.equal("waiting", world:row(run.id).status)
    return run.id
  end

  it("is kept as long as a run goes on with it", function()
    local id = half_done()
    local kept = require("weir.run.keeping").kept_of(world.store)
    kept:turn()
    kept:turn()
    require("weir.upkeep").prune(world.engine, { older = 0, young = 0, pause = 0 })
    world:life()
    world:decide(world:questions(id)[1].id, {})
    world:settle(id)
    assert.same({ cake = "cake of rye flour" }, world:ending(id).value)
  end)

  it("shows what a step of it was given", function()
    local id = half_done()
    local shown = require("weir.view.step").of(world.engine, id, "work/plan/mill")
    assert.same({ grain = "rye" }, shown.input)
    shown = require("weir.view.step").of(world.engine, id, "work/plan/quick")
    assert.same({ flour = "rye flour" }, shown.input)
    assert.equal("work", require("weir.run.history").at(world.engine, id, "work/plan/mill").data.input and "work")
  end)

  it("goes with a fork behind one of its steps", function()
    world = plans.world(FOLDER)
    local run = run_of(world, { goal = GOAL, agents = ALL }, { folder = "docs" })
    world.done = {}
    local made = require("weir.run.fork").fork(world.engine, run.id, "work/plan/find")
    local again = world.engine:reopen(made:make()):execute()
    assert.same({ "finished", { report = REPORT } }, { again.status, again.output }, again.error and again.error.message)
    assert.is_nil(world.done["work/plan/find"])
    assert.equal(1, world.done["work/plan/join"])
  end)

  it("answers another version of the pipeline that asks the same, and not one that wants something else", function()
    local id = half_done()
    local function to(goal)
      local other = world:define(weir.pipeline "planned" { doc = "another one", input = { type = "object" },
        weir.plan "work" { goal = goal, agents = BAKERS, replan = 1, sign_off = true, input = "$.input" } })
      world.here.registry.definitions.planned = other
      return pcall(require("weir.run.migrate").run, world.engine, id, "latest", {})
    end
    local ok, err = to { want = "flour" }
    assert.same({ false, "conflict" }, { ok, err.code })
    ok, err = to(CAKE)
    assert.is_true(ok, err.message)
    world:settle(id, support.actor { sign_off = "approve", ["sign_off#2"] = "approve" })
    assert.same({ cake = "cake of rye flour" }, world:ending(id).value)
    assert.equal(1, world.done["work/plan/mill"])
  end)

  it("is planned anew by a retry on the latest version", function()
    world = plans.world(bakery())
    local run = run_of(world, { goal = CAKE, agents = { "mill", "quick" } }, { grain = "rye" })
    assert.equal("failed", run.status)
    world.here.registry.definitions.planned = nil
    local fork = require "weir.run.fork"
    local latest = world:define(plans.pipeline { goal = CAKE, agents = BAKERS, replan = 1 })
    world.here.load = function() return latest end
    world.here.pipeline_file = function() return "planned.lua" end
    local again = world.engine:reopen(fork.retry(world.engine, run.id, { latest = true }):make()):execute()
    assert.same({ "finished", { cake = "cake of rye flour" } }, { again.status, again.output }, again.error and again.error.message)
  end)
end)

describe("a plan and the end of the process", function()
  local world

  -- A run whose process ends after so many writes, again and again. Gives how it ended, and what was done.
  local function with_crash(writes, agents, plan, input, answers)
    world = plans.world(agents)
    local definition = world:define(plans.pipeline(plan))
    world:life(writes)
    local run = world:begin(definition, input)
    if run and not world.mortal.is_over then pcall(world.settle, world, run.id, support.actor(answers)) end
    local was_cut = world.mortal.is_over
    world:life()
    local id = run and run.id or (world.store:runs { limit = 1 }[1] or {}).id
    if not id then
      world:close()
      return nil, was_cut
    end
    world:settle(id, support.actor(answers))
    local ending = world:ending(id)
    local text = support.text { ending.status, ending.value.cake or ending.value.report or ending.value.code }
    local most, statuses = 0, {}
    for _, count in pairs(world.done) do most = math.max(most, count) end
    for _, goal in ipairs(goals(world)) do statuses[#statuses + 1] = goal.status .. #goal.plans end
    assert.same({}, world:left())
    world:close()
    return ("%s %s"):format(text, table.concat(statuses, ",")), was_cut, most
  end

  local function everywhere(agents, plan, input, expected, answers)
    local cut = 0
    for writes = 1, 200 do
      local result, was_cut, most = with_crash(writes, agents, plan, input, answers)
      if result then assert.equal(expected, result, ("after %d writes"):format(writes)) end
      assert.is_true((most or 0) <= 2)
      if not was_cut then break end
      cut = cut + 1
    end
    assert.is_true(cut > 10 and cut < 199, tostring(cut))
  end

  it("goes on wherever it was: a plan that finishes", function()
    everywhere(FOLDER, { goal = GOAL, agents = ALL }, { folder = "docs" }, ('["finished","%s"] finished1'):format(REPORT))
  end)

  it("goes on wherever it was: a plan that is replaced", function()
    everywhere(bakery(), { goal = CAKE, agents = BAKERS, replan = 1 }, { grain = "rye" },
      '["finished","cake of rye flour"] finished2')
  end)

  it("goes on wherever it was: a plan that fails", function()
    everywhere(bakery(), { goal = CAKE, agents = BAKERS }, { grain = "rye" }, '["failed","failed"] failed1')
  end)

  it("goes on wherever it was: a plan that is signed off", function()
    everywhere(bakery(function() return { cake = "signed" } end), { goal = CAKE, agents = BAKERS, sign_off = true }, { grain = "rye" },
      '["finished","signed"] finished1', { sign_off = "approve" })
  end)
end)


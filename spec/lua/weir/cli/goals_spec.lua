-- Plans on the command line: goals, and what run --dry-run, show and graph say of them.
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local AGENT = [[
return { kind = "agent", name = "%s", api = 1, doc = "%s", needs = { %s = "string" }, gives = { %s = "string" }, cost = %d,
  execute = function(_, input) %s end }
]]
local BAKE = [[
local weir = require "weir"
return weir.pipeline "bake" {
  input = { grain = "string = rye" },
  weir.plan "cake" { goal = { text = "a cake", want = "cake" }, agents = { "mill", "quick", "slow" }, replan = 1, input = "$.input" },
  output = "$.cake.cake",
}
]]

describe("plans on the command line", function()
  local folder, store

  before_each(function()
    folder = support.folder()
    store = folder .. "/store"
    support.write(folder, "pipelines/bake.lua", BAKE)
    support.write(folder, "modules/agents/mill.lua", AGENT:format("mill", "mills", "grain", "flour", 1, "return { flour = input.grain }"))
    support.write(folder, "modules/agents/quick.lua", AGENT:format("quick", "bakes", "flour", "cake", 1, "error('it burns, ' .. input.flour)"))
    support.write(folder, "modules/agents/slow.lua", AGENT:format("slow", "bakes", "flour", "cake", 5, "return { cake = input.flour }"))
  end)
  after_each(function() support.remove(folder) end)

  local function weir(...)
    local arguments = { ... }
    arguments[#arguments + 1] = "--store"
    arguments[#arguments + 1] = store
    local status, out, err = support.run(arguments)
    return status, out, err
  end

  local function run_it(...)
    return weir("run", folder .. "/pipelines/bake.lua", "-q", ...)
  end

  it("are shown by --dry-run with what they will take, and nothing is run", function()
    local status, out = weir("run", folder .. "/pipelines/bake.lua", "--dry-run")
    assert.equal(0, status)
    assert.match("cake  plan  %x+\n    mill\n    quick\n", out)
    assert.match("estimate: not known how long; no record yet of: mill, quick", out)
    assert.equal(6, (weir("goals")))
    assert.equal(0, (run_it()))
    status, out = weir("run", folder .. "/pipelines/bake.lua", "--dry-run", "--json")
    local line = json.decode(out)
    assert.same({ 0, "cake", "slow" }, { status, line.steps[1].step, line.steps[3].agent })
    assert.match("^%x+$", line.steps[1].plan)
    assert.same({}, { table.unpack(line.estimate.unknown) })
  end)

  it("say in --dry-run when there is none, and when it is known only then", function()
    support.write(folder, "pipelines/bake.lua", (BAKE:gsub('"mill", ', "")))
    local _, out = weir("run", folder .. "/pipelines/bake.lua", "--dry-run")
    assert.match("cake  plan  no plan gives 'cake': nothing gives 'flour'", out)
    support.write(folder, "pipelines/bake.lua", (BAKE:gsub("replan = 1", 'planner = "model"')))
    _, out = weir("run", folder .. "/pipelines/bake.lua", "--dry-run")
    assert.match("planner 'model' is asked when the run is there", out)
  end)

  it("are listed with what came of them, shown, and forgotten: transparency", function()
    assert.equal(0, (run_it()))
    local status, out = weir "goals"
    assert.equal(0, status)
    assert.match("g_%w+%s+✓ finished%s+bake%s+2%s+.-a cake\n", out)
    local id = out:match "g_%w+"
    status, out = weir("goals", id:sub(1, 12))
    assert.equal(0, status)
    assert.match("✗ plan 1  %x+  failed", out)
    assert.match("quick: quick%(flour = %$.mill.flour%)", out)
    assert.match("it burns, rye %(failed%)", out)
    assert.match("✓ plan 2  %x+  finished", out)
    local line = json.decode((select(2, weir("goals", "last", "--json"))))
    assert.same({ id, "finished", 2, "failed", "rules" }, { line.goal, line.status, #line.plans, line.plans[1].status, line.planner })
    assert.equal(0, (weir("goals", "forget", id)))
    assert.match("no goal was planned for", (select(3, weir "goals")))
  end)

  it("are refused when they are asked for in a way that nobody reads", function()
    run_it()
    assert.equal(6, (weir("goals", "g_nothing")))
    assert.equal(2, (weir("goals", "forget")))
    assert.equal(2, (weir("goals", "last", "more")))
  end)

  it("stand in `weir show`: which plan, its estimate, what replaced it, what was not done again", function()
    run_it()
    local _, out = weir("show", "last")
    assert.match("✓ cake .- plan\n", out)
    assert.match("✗ plan ", out)
    assert.match("mill .- done before by cake/plan/mill", out)
    assert.match("plan of cake/plan  %x+  planner rules", out)
    assert.match("failed: .*it burns", out)
    assert.match("plan of cake/plan#2  %x+", out)
    assert.match("%+ /groups/1", out)
    local line = json.decode((select(2, weir("show", "last", "--json"))))
    assert.same({ "cake/plan/", "cake/plan#2/" }, { line.plans[1].prefix, line.plans[2].prefix })
    local by_key = {}
    for _, step in ipairs(line.steps) do by_key[step.key] = step end
    assert.equal(line.plans[2].version, by_key["cake/plan#2/slow"].plan)
    assert.equal("cake/plan/mill", by_key["cake/plan#2/mill"].reused)
    assert.equal(json.null, by_key.cake.plan)
  end)

  it("stand in `weir graph` of a run, one after the other", function()
    run_it()
    local _, out = weir("graph", "last")
    assert.match('subgraph n%d+%["plan %x+"%]', out)
    assert.match('%-%.%->|"replaced"|', out)
    local failed, finished = out:match "class ([%w,]+) failed", out:match "class ([%w,]+) finished"
    assert.is_string(failed)
    assert.is_string(finished)
  end)

  it("are seen as they are made", function()
    local _, _, err = weir("run", folder .. "/pipelines/bake.lua")
    assert.match("cake  planned %x+ by rules", err)
    assert.match("cake  the plan failed %x+: .*it burns", err)
    local _, _, again = weir("run", folder .. "/pipelines/bake.lua", "--set", "grain=oats")
    assert.match("cake  planned %x+ as for g_", again)
  end)
end)

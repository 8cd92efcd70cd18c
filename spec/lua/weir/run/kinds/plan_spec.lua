local memory = require "weir.planning.memory"
local plans = require "spec.lua.weir.planning.support"

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

local function goals(world)
  local list = {}
  for found in memory.newest(world.store) do list[#list + 1] = found.value end
  return list
end

describe("a step that plans", function()
  it("carries out the plan that its planner finds, and gives its output", function()
    local world = plans.world(FOLDER)
    local run = world:begin(plans.pipeline { goal = GOAL, agents = ALL }, { folder = "docs" })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ report = "<a.csv> <b.csv> #c.md" }, run.output)
    local goal = goals(world)[1]
    assert.same({ "finished", "work", "rules", "finished" }, { goal.status, goal.step, goal.planner, goal.plans[1].status })
    assert.same({}, world:left())
    world:close()
  end)
end)


-- What an agent drew moved the generator of the flow on, and in a replay it did not: behind such a step the flow drew
-- other numbers after a crash, and failed with `conflict`.

local crash = require "weir.testing.crash"
local files = require "weir.port.files"
local process = require "weir.port.process"
local system = require "weir.port.system"

local DRAWS = [[
return { kind = "agent", name = "draws", api = 1, execute = function(ctx) return { drawn = ctx:random(1000000) } end }
]]

local CHANCE = [[
local weir = require "weir"
return weir.flow "chance" { function(run)
  run:step "first" { agent = "draws" }
  local inner = run:step "inner" { function(step) return step:random(1000000) end }
  run:step "use" { agent = "echo", input = { inner = inner, drawn = run:random(1000000), also = math.random(1000000) } }
  return "done"
end }
]]

describe("a flow whose agents draw numbers too", function()
  it("draws the same after a crash", function()
    local folder = system.temporary_folder "weir-spec"
    assert(files.write(folder .. "/weir.lua", "return {}\n"))
    assert(files.write(folder .. "/modules/agents/draws.lua", DRAWS, { folders = true }))
    assert(files.write(folder .. "/pipelines/chance.lua", CHANCE, { folders = true }))
    local ok, summary = crash.everywhere(folder .. "/pipelines/chance.lua", {})
    process.run { "rm", "-rf", "--", folder }
    assert.same({}, summary.problems)
    assert.is_true(ok)
  end)
end)

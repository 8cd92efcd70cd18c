local worlds = require "spec.lua.weir.trigger.world"

local function pipeline(options)
  return ([[
local weir = require "weir"
return weir.pipeline "lines" { input = { line = "string?", n = "integer?" }, on = { command = { %s } }, queue = { limit = 1000 },
  weir.step "note" { agent = "notes", input = "$.input" }, output = "$.note" }
]]):format(options)
end

describe("watcher command", function()
  local world
  after_each(function() world:close() end)

  local function open(options) world = worlds.new { ["pipelines/lines.lua"] = pipeline(options) } end

  local function lines(count)
    local list = {}
    for index, run in ipairs(world:ended("lines", count)) do list[index] = run.output.line or run.output.n end
    table.sort(list)
    return list
  end

  it("gives each line that the program writes, and starts it once where it is told so", function()
    open [[args = { "sh", "-c", "for n in 1 2 3; do echo line $n; done; printf last" }, restart = 0]]
    assert.same({ "last", "line 1", "line 2", "line 3" }, lines(4))
    world:eventually(function() return world.host.triggers:list()[1].status == "ended" end)
  end)

  it("reads JSON, and leaves out what is none", function()
    open [[args = { "sh", "-c", "echo '{\"n\": 7}'; echo nothing; echo '{\"n\": 8}'" }, format = "json", restart = 0]]
    assert.same({ 7, 8 }, lines(2))
  end)

  it("starts a program again that has ended, and says so", function()
    open [[args = { "sh", "-c", "echo again" }, restart = 0.05]]
    lines(3)
    world:eventually(function() return (world.host.triggers:list()[1].trouble or ""):find "ended with status 0" end)
  end)

  it("says when the program cannot be started, and tries again", function()
    open [[args = { "there-is-no-such-program" }]]
    local source = world:eventually(function()
      local one = world.host.triggers:list()[1]
      return one.status == "failing" and one
    end)
    assert.matches("there%-is%-no%-such%-program", source.trouble)
  end)
end)

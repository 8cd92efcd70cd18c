local rehearse = require "weir.trigger.rehearse"
local worlds = require "spec.lua.weir.trigger.world"

local function pipeline(on, steps)
  return ([[
local weir = require "weir"
return weir.pipeline "orders" { input = { n = "integer" }, on = { %s },
  weir.step "note" { agent = "notes", input = { n = "$.input.n" } }, %s }
]]):format(on, steps or 'output = "$.note.n"')
end

local ON = 'event = { type = "order.*" }'

describe("yesterday's events against another definition", function()
  local world
  before_each(function()
    world = worlds.new { ["pipelines/orders.lua"] = pipeline(ON) }
    world:eventually(function() return world.host.triggers.sources["orders/event"].status == "running" end)
    for n = 1, 3 do world:send("order.paid", { n = n }) end
    world:send("other", { n = 4 })
    world:ended("orders", 3)
    local line = world.host.triggers.sources["orders/event"].line
    world:eventually(function() -- what ends an item is written after its run
      local counts = line:counts()
      return counts.depth == 0 and counts.active == 0
    end)
  end)
  after_each(function() world:close() end)

  local function compare(text, query)
    world:write("other.lua", text)
    local new = assert(world.host.project:load(world.folder .. "/other.lua"))
    local before = world.host.store:lsn()
    local list = rehearse.compare(world.host.engine, assert(world.host.project:pipeline "orders"), new, query)
    assert.equal(before, world.host.store:lsn()) -- nothing was written
    assert.equal(3, #world:runs "orders")
    local changes = {}
    for index, one in ipairs(list) do changes[index] = one.change end
    return changes, list
  end

  it("are the same under the same one", function()
    assert.same({ "same", "same", "same" }, (compare(pipeline(ON))))
  end)

  it("tell which would start no run any more, and which would start one", function()
    assert.same({ "same", "stays_away", "same" }, (compare(pipeline('{ event = { type = "order.*" }, filter = "$.event.data.n != 2" }'))))
    assert.same({ "same", "same", "same", "starts" }, (compare(pipeline 'event = { type = "*" }')))
  end)

  it("tell with which other input, and which would be refused", function()
    local changes, list = compare(pipeline('{ event = { type = "order.*" }, input = { n = "$.event.data.m" } }'))
    assert.same({ "refused", "refused", "refused" }, changes)
    assert.matches("finds nothing", list[1].message)
    changes, list = compare(pipeline('{ event = { type = "order.*" }, input = { n = 5 } }'))
    assert.same({ "input", "input", "input" }, changes)
    assert.same({ { n = 1 }, { n = 5 } }, { list[1].was, list[1].would })
  end)

  it("replay the runs that they started: how they would end, and where they would go another way", function()
    local changes, list = compare(pipeline(ON, 'output = { twice = "$.note.n" }'))
    assert.same({ "output", "output", "output" }, changes)
    assert.same({ 1, { twice = 1 } }, { list[1].was, list[1].would })
    changes, list = compare((pipeline(ON):gsub('input = { n = "$.input.n" } }', 'input = { n = 9 } }', 1)))
    assert.same({ "diverges", "diverges", "diverges" }, changes)
    assert.matches("step 'note'", list[1].message)
    assert.matches("^r_", list[1].run)
  end)
end)

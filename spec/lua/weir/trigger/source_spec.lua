local gate = require "weir.gate"
local native = require "weir.native.scheduler"
local worlds = require "spec.lua.weir.trigger.world"

local function pipeline(type)
  return ([[
local weir = require "weir"
return weir.pipeline "orders" { on = { event = { type = "%s" } }, weir.step "note" { agent = "notes", input = { n = "$.event.data.n" } } }
]]):format(type)
end

local PATH, ID = "pipelines/orders.lua", "orders/event"

describe("a source of events", function()
  local world, triggers
  before_each(function()
    world = worlds.new { [PATH] = pipeline "order" }
    triggers = world.host.triggers
    world:eventually(function() return triggers.sources[ID].status == "running" end)
  end)
  after_each(function() world:close() end)

  -- Has something happen while the triggers wait for the store to do what is named.
  local function meanwhile(name, body)
    local store = world.host.store
    local proxy = setmetatable({}, { __index = function(_, method)
      return function(_, ...)
        if method == name then
          triggers.host = world.host
          body()
        end
        return store[method](store, ...)
      end
    end })
    triggers.host = setmetatable({ store = proxy }, { __index = world.host })
  end

  local function replace()
    world:write(PATH, pipeline "order.*")
    world:reload(PATH)
  end

  it("stays paused that a reload replaces while it is being paused", function()
    local before = triggers.sources[ID]
    meanwhile("put", replace)
    triggers:pause(ID, "ada")
    local source = triggers.sources[ID]
    assert.not_equal(before, source)
    assert.same({ "paused", "nil" }, { source.status, type(source.task) })
  end)

  it("goes on that a reload replaces while it is being resumed, and the one before does not", function()
    triggers:pause(ID, "ada")
    local before = triggers.sources[ID]
    meanwhile("delete", replace)
    triggers:resume(ID)
    local source = triggers.sources[ID]
    assert.not_equal(before, source)
    assert.is_nil(before.task)
    world:eventually(function() return source.status == "running" end)
  end)

  it("is at work as it was said last, also when it is resumed while it stops", function()
    local source = triggers.sources[ID]
    local stop = source.stop
    source.stop = function(self)
      source.stop = nil
      triggers:resume(ID)
      stop(self)
    end
    triggers:pause(ID, "ada")
    assert.is_nil((world.host.store:get("trigger.paused", ID)))
    world:eventually(function() return source.task and source.status == "running" end, 5)
  end)

  it("is awaited by any number of tasks, each until what it has written is at work", function()
    local project, entered, go_on = world.host.project, gate.new(), gate.new()
    triggers.host = setmetatable({ project = setmetatable({ pipeline_names = function()
      local names = project:pipeline_names()
      triggers.host = world.host
      entered:open()
      go_on:wait "the spec"
      return names
    end }, { __index = project }) }, { __index = world.host })
    triggers:nudge()
    entered:wait "a round"
    world:write("pipelines/other.lua", (pipeline("order"):gsub("orders", "other"))) -- the round does not know of it
    local settled = {}
    for n = 1, 2 do settled[n] = native.spawn(function() return triggers:settle(5) and triggers.sources["other/event"] ~= nil end) end
    native.yield()
    go_on:open()
    for n, one in ipairs(settled) do settled[n] = select(2, one:join()) end
    assert.same({ true, true }, settled)
  end)
end)

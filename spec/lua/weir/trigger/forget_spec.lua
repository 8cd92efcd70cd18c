local admission = require "weir.trigger.admission"
local clock = require "weir.port.clock"
local context = require "weir.trigger.context"
local forget = require "weir.trigger.forget"
local store_port = require "weir.port.store"
local worlds = require "spec.lua.weir.trigger.world"

local DAY = 86400000

describe("what is kept of a source that no pipeline has any more", function()
  local store, triggers
  before_each(function()
    store = assert(store_port.open ":memory:")
    triggers = { rounds = 1, sources = { ["mail/inbox"] = {} }, broken = {} }
    local operations = { { op = "put", space = "trigger.paused", key = "old/files", value = { by = "ada" } } }
    for _, id in ipairs { "mail/inbox", "old/files", "older/files" } do
      operations[#operations + 1] = { op = "put", space = context.MEMORY, key = id, value = { memory = { at = 7 }, offset = "e_1" } }
      for n = 1, 1100 do
        operations[#operations + 1] = { op = "put", space = context.MARKS, key = ("%s\n%04d.txt"):format(id, n), value = n }
      end
    end
    assert(store:batch(operations))
  end)
  after_each(function() store:close() end)

  local function marks(id)
    local count = 0
    for _ in require("weir.pages").rows(store, context.MARKS, { prefix = id .. "\n" }) do count = count + 1 end
    return count
  end

  it("goes after thirty days, whatever it has marked, and nothing of others goes with it", function()
    assert.equal(0, forget.sweep(store, triggers, 0))
    assert.equal(0, forget.sweep(store, triggers, 29 * DAY))
    assert.equal(1100, marks "old/files")
    assert.equal(2, forget.sweep(store, triggers, 30 * DAY))
    assert.same({ 0, 0, 1100 }, { marks "old/files", marks "older/files", marks "mail/inbox" })
    assert.same({}, store:scan "trigger.paused")
    assert.same({ memory = { at = 7 }, offset = "e_1" }, store:get(context.MEMORY, "mail/inbox"))
    assert.equal(1, #store:scan(context.MEMORY))
  end)

  it("stays when the source comes back, and its days are counted anew when it goes again", function()
    forget.sweep(store, triggers, 0)
    triggers.sources["old/files"] = {}
    forget.sweep(store, triggers, 29 * DAY)
    assert.same({ memory = { at = 7 }, offset = "e_1" }, store:get(context.MEMORY, "old/files"))
    triggers.sources["old/files"] = nil
    assert.equal(1, forget.sweep(store, triggers, 31 * DAY)) -- the other one
    assert.equal(1100, marks "old/files")
  end)

  it("stays while its pipeline cannot be loaded, and before all pipelines were looked at", function()
    triggers.broken.old = "line 3: unexpected symbol"
    triggers.sources["older/files"] = {}
    for _, days in ipairs { 0, 40 } do assert.equal(0, forget.sweep(store, triggers, days * DAY)) end
    triggers.broken, triggers.sources, triggers.rounds = {}, {}, 0
    for _, days in ipairs { 40, 80 } do assert.equal(0, forget.sweep(store, triggers, days * DAY)) end
    assert.equal(1100, marks "old/files")
  end)
end)

describe("what a trigger notes of the keys of events", function()
  local world
  after_each(function() world:close() end)

  local function count(space) return #world.host.store:scan(space, { limit = 1000 }) end

  it("goes once it changes nothing any more, and stays as long as it does", function()
    world = worlds.new { ["pipelines/slow.lua"] = [[
      local weir = require "weir"
      return weir.pipeline "slow" { on = {
          { name = "limited", event = { type = "a" }, throttle = { limit = 2, per = "1h", key = "$.event.data.id" } },
          { name = "held", event = { type = "b" }, batch = { size = 2, ["for"] = "1h", key = "$.event.data.id" } },
          { name = "quiet", event = { type = "c" }, debounce = { ["for"] = 0.05, key = "$.event.data.id" } } },
        weir.step "note" { agent = "notes", input = 1 } }]] }
    world:eventually(function()
      local running = 0
      for _, source in pairs(world.host.triggers.sources) do running = running + (source.status == "running" and 1 or 0) end
      return running == 3
    end)
    for id = 1, 5 do
      for _, type in ipairs { "a", "b", "c" } do world:send(type, { id = id }) end
    end
    local store = world.host.store
    world:eventually(function() -- only those that are held still wait
      return count(admission.RATE) == 5 and count(admission.HELD) == 10 and world.host.triggers.lines.slow.queue:depth() == 5
    end)
    local now_ms = clock.wall_ms()
    assert.equal(5, forget.keys(store, now_ms)) -- those that were quiet
    assert.same({ 5, 5 }, { count(admission.RATE), count(admission.HELD) })
    assert.equal(0, forget.keys(store, now_ms + 1700000))
    assert.equal(5, forget.keys(store, now_ms + 3600000))
    assert.same({ 0, 5 }, { count(admission.RATE), count(admission.HELD) })
    for id = 1, 5 do world:send("b", { id = id }) end
    world:eventually(function() return world.host.triggers.lines.slow.queue:depth() == 0 end)
    forget.keys(store, now_ms + 2 * 3600000)
    assert.equal(0, count(admission.HELD))
  end)
end)

local event_log = require "weir.event.log"
local scheduler = require "weir.native.scheduler"
local sse = require "weir.http.sse"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"

describe("the events of the HTTP door", function()
  local world, wires

  before_each(function()
    world = worlds.new()
    wires = {}
  end)
  after_each(function()
    for _, one in ipairs(wires) do one:close() end
    world:close()
  end)

  local function event(id, more)
    local of = { specversion = "1.0", id = id, source = "/spec", type = "spec.done", data = { n = 1 } }
    for name, value in pairs(more or {}) do of[name] = value end
    return of
  end

  local function send(body, kind, headers)
    headers = headers or {}
    headers["Content-Type"] = kind or STRUCTURED
    return world:ask("POST", "/api/events", body, headers)
  end

  local function items() return event_log.page(world.host.store, {}) end

  it("takes an event in that stands in the body, in a batch, or whose attributes stand in headers", function()
    assert.equal(202, send(event "e1").status)
    assert.equal(2, #send({ event "e2", event "e3" }, BATCH).value.items)
    local binary = send('{"n":1}', "application/json", { ["ce-specversion"] = "1.0", ["ce-id"] = "e4", ["ce-source"] = "/spec",
      ["ce-type"] = "spec.done", ["ce-subject"] = "a%20b" })
    assert.equal(202, binary.status)
    local found = items()
    assert.equal(4, #found)
    assert.same({ n = 1 }, found[4].event.data)
    assert.equal("a b", found[4].event.subject)
  end)

  it("takes an event in once, by its source and id", function()
    local first, again = send(event "e1"), send(event("e1", { data = { n = 2 } }))
    assert.same({ first.value.id, true }, { again.value.id, again.value.duplicate })
    assert.is_false(send(event("e1", { source = "/other" })).value.duplicate)
    assert.is_false(send(event("ec1", { source = "/sp" })).value.duplicate)
    assert.equal(3, #items())
  end)

  it("refuses what is no CloudEvent, and takes nothing of a batch with one in it", function()
    assert.equal(422, send(event("e1", { specversion = "0.3" })).status)
    assert.equal(422, send(event("", {})).status)
    assert.equal(422, send({ id = "e1" }).status)
    assert.equal(422, send({ event "e1", { id = "e2" } }, BATCH).status)
    assert.equal(422, send("[]", BATCH).status)
    assert.equal(400, send("not json").status)
    assert.equal(415, send(event "e1", "application/xml").status)
    assert.equal(422, send("{}", "application/json").status)
    assert.equal(0, #items())
  end)

  it("refuses attributes that are no UTF-8, in headers and encoded in them, so that the log can be read", function()
    for _, bad in ipairs { { ["ce-id"] = "%ff" }, { ["ce-id"] = "\255" }, { ["ce-subject"] = "%ed%a0%80" }, { ["ce-ext"] = "a\254" } } do
      local headers = { ["ce-specversion"] = "1.0", ["ce-id"] = "e1", ["ce-source"] = "/spec", ["ce-type"] = "t" }
      for name, text in pairs(bad) do headers[name] = text end
      local answer = send('{"n":1}', "application/json", headers)
      assert.same({ 422, "invalid" }, { answer.status, answer.value.code })
      assert.matches("^event%.%l+: byte %d+ of it is not UTF%-8$", answer.value.detail)
    end
    assert.same({ 200, 0 }, { world:ask("GET", "/api/events/log").status, #items() })
  end)

  local function listen(path, headers)
    local one = wire.connect(world.door.tcp)
    wires[#wires + 1] = one
    local all = { Host = "localhost:" .. world.door.tcp.port, Authorization = "Bearer " .. world.door.token }
    for name, value in pairs(headers or {}) do all[name] = value end
    one:send(wire.request("GET", path, all))
    one:until_(function(bytes) return bytes:find ": weir\n\n" end)
    return one
  end

  local function heard(one, text) return one:until_(function(bytes) return bytes:find(text, 1, true) end):find(text, 1, true) end

  it("tells what happens, with ids, kinds and data, to everybody who listens", function()
    local one, two = listen "/api/events", listen "/api/events?kinds=b,c"
    world.host.feed:publish("a", { n = 1 })
    world.host.feed:publish("b", { text = "line\nbreak" })
    assert.truthy(heard(one, 'id: t-1\nevent: a\ndata: {"n":1}\n\n'))
    assert.truthy(heard(two, 'id: t-2\nevent: b\ndata: {"text":"line\\nbreak"}\n\n'))
    assert.is_nil(two.bytes:find "event: a")
  end)

  it("goes on behind the last event that a client has seen, and tells of a gap", function()
    for n = 1, 5 do world.host.feed:publish("a", { n = n }) end
    local one = listen("/api/events", { ["Last-Event-ID"] = "t-3" })
    assert.truthy(heard(one, 'id: t-5\nevent: a\ndata: {"n":5}\n\n'))
    assert.truthy(one.bytes:find("id: t-4", 1, true))
    assert.is_nil(one.bytes:find("id: t-3", 1, true))
    for n = 6, 200 do world.host.feed:publish("a", { n = n }) end
    local two = listen "/api/events?after=t-5"
    assert.truthy(heard(two, 'id: t-136\nevent: gap\ndata: {"after":"t-136"}\n\n'))
    assert.truthy(heard(two, 'id: t-200'))
  end)

  it("tells a client that is too slow what it has missed, and holds no more than a part for it", function()
    local one = listen "/api/events"
    one:stop()
    local text = ("x"):rep(30000)
    local before = scheduler.stats().memory_bytes
    for n = 1, 1000 do
      world.host.feed:publish("big", { n = n, text = text })
      if n % 20 == 0 then scheduler.yield() end
    end
    collectgarbage()
    assert.is_true(scheduler.stats().memory_bytes - before < 8 << 20)
    assert.truthy(heard(one, "event: gap"))
    assert.truthy(heard(one, '"n":1000'))
    local last = 0
    for n in one.bytes:gmatch 'data: {"n":(%d+)' do
      assert.is_true(tonumber(n) > last)
      last = tonumber(n)
    end
  end)

  it("sends a comment line when nothing happens", function()
    local beats, open = {}, true
    local request = { write = function(_, text)
      beats[#beats + 1] = text
      open = #beats < 3
      return open or nil
    end, close = function() end }
    sse.follow({ request = request, streams = {} }, world.host.feed:follow {}, { beat = 0.01 })
    assert.same({ ": still here\n\n", ": still here\n\n", ": still here\n\n" }, beats)
  end)

  it("ends its streams when it is closed", function()
    local one = listen "/api/events"
    world.door:close(5)
    assert.is_true(one:closed())
    assert.matches("0\r\n\r\n$", one.bytes)
  end)

  it("forgets a client that goes away", function()
    local one = listen "/api/events"
    one:close()
    assert.is_true(wire.eventually(function() return next(world.door.streams) == nil end))
  end)
end)

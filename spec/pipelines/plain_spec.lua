local json = require "weir.json"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"
local testing = require "weir.testing"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local FIRST = { "We ", "utilize ", "the ", "darn ", "sluice ", "to ", "commence ", "the ", "flood. " }
local SECOND = { "We ", "utilize ", "the ", "darn ", "weir ", "to ", "ter", "minate it." }
local SAID = "We use the *** weir to end it."

-- What a browser would have on its page after these events.
local function shown(body, step)
  local items, counts = {}, {}
  for kind, text in body:gmatch "event: (%a+)\ndata: ([^\n]*)\n" do
    local data = assert(json.decode(text))
    if data.step == step then
      counts[kind] = (counts[kind] or 0) + 1
      local from = kind == "items" and data.from or kind == "rewind" and data.items + 1
      if from then
        assert.is_true(from <= #items + 1, "something is missing before item " .. from)
        for index = #items, from, -1 do items[index] = nil end
      end
      if kind == "item" then
        assert.equal(#items + 1, data.n) -- nothing is missing, nothing is there twice
        items[data.n] = data.item
      end
      for _, item in ipairs(kind == "items" and data.items or {}) do items[#items + 1] = item end
    end
  end
  return table.concat(items), counts
end

describe("pipeline plain", function()
  it("says in plain words and moderates while the draft is written", function()
    local of = testing.run("pipelines/plain.lua", { input = { text = "x" }, models = { m = function(ctx)
      for _, piece in ipairs(SECOND) do
        ctx:emit { text = piece }
        scheduler.sleep(1)
      end
      return { message = { role = "assistant", content = table.concat(SECOND) }, finish = "stop" }
    end } })
    assert.same({ "finished", SAID }, { of.status, of.output })
    local order = {}
    for index, event in ipairs(of.events) do
      if event.kind == "item" then order[event.step .. event.n] = index end
    end
    assert.is_true(order["live/moderated1"] < order["live/draft3"], "the last step waits for the draft")
  end)

  it("needs no model that has to be set up", function()
    local of = testing.run("pipelines/plain.lua", { input = { text = "We utilize numerous boats in the harbour. They commence at dawn each day, darn it." } })
    assert.same({ "finished", "We use many boats in the harbour. They begin at dawn each day, *** it." }, { of.status, of.output })
  end)

  it("goes on from the words that hold when the model says something else, and whenever the host is lost", function()
    for seed = 1, 25 do
      local asked = 0
      local of = testing.run("pipelines/plain.lua", { input = { text = "x" }, seed = seed, crashes = seed % 4, models = { m = function(ctx)
        asked = asked + 1
        local pieces = asked == 1 and FIRST or SECOND
        for _, piece in ipairs(pieces) do
          ctx:emit { text = piece }
          scheduler.sleep(0.1)
        end
        if asked == 1 then return nil, "the connection ended", "unavailable", { class = "cut" } end
        return { message = { role = "assistant", content = table.concat(pieces) }, finish = "stop" }
      end } })
      assert.same({ "finished", SAID }, { of.status, of.output }, ("seed %d"):format(seed))
    end
  end)

  describe("to a browser and to curl", function()
    local world, gate, pieces, is_cut, was_stopped
    before_each(function()
      world = worlds.new()
      gate, pieces, is_cut, was_stopped = 0, { FIRST, SECOND }, true, false
      local asked = 0
      world.host.project.registry:put { kind = "model", name = "m", api = 1, options = { type = "object" }, chat = function(ctx)
        asked = asked + 1
        local _ <close> = setmetatable({}, { __close = function() was_stopped = scheduler.cancelled() ~= nil end })
        local own = pieces[asked]
        for index, piece in ipairs(own) do
          while (asked - 1) * 100 + index > gate do scheduler.sleep(0.002) end
          ctx:emit { text = piece }
          if not is_cut then scheduler.sleep(0.003) end
        end
        if asked == 1 and is_cut then return nil, "the connection ended", "unavailable", { class = "cut" } end
        return { message = { role = "assistant", content = table.concat(own) }, finish = "stop" }
      end }
      world.host.project.settings.model = "m"
    end)
    after_each(function()
      do local _ <close> = world.host.engine end
      world:close()
    end)

    local function start()
      return world:ask("POST", "/api/runs", { pipeline = "plain", input = { text = "x" } }).value.run
    end

    local function look(id, query)
      local one = wire.connect(world.door.tcp)
      one:send(wire.request("GET", ("/api/runs/%s/stream%s"):format(id, query or ""), { Host = "localhost:" .. world.door.tcp.port,
        Authorization = "Bearer " .. world.door.token }))
      one:until_(function(bytes) return bytes:find "event: now" end)
      return one
    end

    local function ended(one)
      local answer = one:answer()
      one:close()
      return answer.body
    end

    it("shows who comes late what was said before, and takes back what does not hold, with nothing twice", function()
      local id = start()
      local early = look(id)
      gate = 9
      early:until_(function(bytes) return bytes:find "begin" end)
      local late = look(id)
      gate = 104
      local later = look(id)
      gate = math.huge
      for place, one in ipairs { early, late, later } do
        local body = ended(one)
        local text, counts = shown(body, "live/moderated")
        assert.equal(SAID, text)
        assert.equal(place > 1 and 1 or nil, counts.items)
        if place < 3 then assert.equal(1, counts.rewind) end
        assert.equal(table.concat(SECOND), (shown(body, "live/draft")))
      end
      assert.equal(SAID, world:ask("GET", "/api/runs/" .. id).value.output)
    end)

    it("goes on where a client left, without a gap", function()
      local id = start()
      local one = look(id)
      gate = 4
      one:until_(function(bytes) return bytes:find "live/moderated" end)
      local seen
      one:until_(function(bytes)
        for found in bytes:gmatch "id: ([%w%-]+)\n" do seen = found end
        return seen ~= nil
      end)
      one:close()
      gate = 7
      scheduler.sleep(0.05) -- nobody looks meanwhile
      local again = wire.connect(world.door.tcp)
      again:send(wire.request("GET", ("/api/runs/%s/stream"):format(id), { Host = "localhost:" .. world.door.tcp.port,
        Authorization = "Bearer " .. world.door.token, ["Last-Event-ID"] = seen }))
      again:until_(function(bytes) return bytes:find "event: items" end)
      gate = math.huge
      assert.equal(SAID, (shown(ended(again), "live/moderated")))
    end)

    it("keeps to the rate of each client, and loses nothing by it", function()
      is_cut, pieces = false, { {} }
      for n = 1, 200 do pieces[1][n] = ("word%d "):format(n) end
      local id = start()
      local fast, slow = look(id), look(id, "?rate=4")
      gate = math.huge
      local all, counts = shown(ended(fast), "live/moderated")
      local same, few = shown(ended(slow), "live/moderated")
      assert.equal(table.concat(pieces[1]), all)
      assert.equal(all, same)
      assert.is_true(counts.item >= 150, counts.item)
      assert.is_true((few.item or 0) + (few.items or 0) <= 20)
      assert.equal(422, world:ask("GET", ("/api/runs/%s/stream?rate=0"):format(id)).status)
    end)

    it("stops the model when a client cancels", function()
      local id = start()
      local one = look(id)
      gate = 3
      one:until_(function(bytes) return bytes:find "live/plain" end)
      assert.equal("cancelled", world:ask("POST", ("/api/runs/%s/cancel"):format(id), {}).value.status)
      assert.is_true(was_stopped)
      assert.matches('event: run\ndata: [^\n]*"cancelled"', ended(one))
    end)

    it("tells a program made for OpenAI that the text does not hold, as it cannot be taken back there", function()
      local file = assert(io.open(world.folder .. "/pipelines/chat.lua", "wb"))
      file:write [[
local weir = require "weir"
return weir.pipeline "chat" { input = { messages = "array" },
  weir.step "draft" { agent = "ask", stream = true, input = { messages = "$.input.messages" } }, output = "$.draft.text" }
]]
      file:close()
      gate = math.huge
      local ok, answer = task.within({ timeout = 20 }, function()
        return world:ask("POST", "/v1/chat/completions", { model = "weir/chat", stream = true,
          messages = { { role = "user", content = "x" } } })
      end)
      assert.is_true(ok)
      assert.matches('"code":"conflict"', answer.body)
      assert.is_nil(answer.body:find("[DONE]", 1, true))
    end)
  end)
end)

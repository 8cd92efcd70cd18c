-- What a host does beside its runs.
local clock = require "weir.port.clock"
local house = require "weir.serve.house"
local json = require "weir.native.json"
local log_of = require "weir.log"
local native = require "weir.native.scheduler"
local queue = require "weir.queue"
local spaces = require("weir.queue.place").spaces
local serve = require "weir.serve"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local upkeep = dofile "spec/lua/weir/upkeep/support.lua"
local uv = require "luv"

local TELLS = [[
return { kind = "agent", name = "tells", api = 1, execute = function(ctx, input)
  ctx:publish { type = "told", data = { n = input.n } }
  return input.n
end }
]]
local TELL = [[
local weir = require "weir"
return weir.pipeline "tell" { input = { n = "integer" }, weir.step "one" { agent = "tells", input = { n = "$.input.n" } } }
]]

-- A server of one answer a connection; keeps the requests.
local function listen(answers)
  local server, requests = assert(uv.new_tcp()), {}
  assert(server:bind("127.0.0.1", 0))
  assert(server:listen(16, function()
    local client, text = uv.new_tcp(), ""
    server:accept(client)
    client:read_start(function(_, piece)
      if not piece then return client:close() end
      text = text .. piece
      local size = tonumber(text:lower():match "content%-length: (%d+)")
      local body = text:match "\r\n\r\n(.*)$"
      if not body or #body < size then return end
      requests[#requests + 1] = { head = text:match "^(.-)\r\n\r\n", event = json.decode(body) }
      local status = table.remove(answers, 1) or 200
      client:write(("HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):format(status), function() client:close() end)
    end)
  end))
  return server, requests, ("http://127.0.0.1:%d/events"):format(server:getsockname().port)
end

describe("the outbox of a host", function()
  it("sends what steps publish until it is confirmed, and tells the feed", function()
    local folder = support.folder()
    support.write(folder, "modules/agents/tells.lua", TELLS)
    support.write(folder, "pipelines/tell.lua", TELL)
    local server, requests, url = listen { 500, 200 }
    support.write(folder, "weir.lua", ("return { events = %q }"):format(url))
    local host = serve.start { folder = folder, http = false, env = function() end, logger = log_of.new { write = function() end } }
    local follower = host.feed:follow { kinds = { "event" } }
    host.engine:start(assert(host.project:load(folder .. "/pipelines/tell.lua")), { n = 7 }):wait()
    local told = assert(follower:next(60))
    assert.equal("told", told.data.event.type)
    assert.equal(2, told.data.attempt)
    assert.equal(2, #requests)
    assert.matches("^POST /events", requests[1].head)
    assert.matches("application/cloudevents%+json", requests[1].head)
    assert.equal(requests[1].event.id, requests[2].event.id)
    assert.equal(7, requests[2].event.data.n)
    host:stop "the spec is over"
    server:close()
    support.remove(folder)
  end)
end)

describe("the house of a host", function()
  it("removes what is over", function()
    local folder = support.folder()
    local host = serve.start { folder = folder, store = folder .. "/store", http = false, env = function() end,
      logger = log_of.new { write = function() end } }
    local line = queue.open(host.store, "work", {})
    assert(line:enqueue({ n = 1 }, { dedupe = "a", dedupe_s = 0.001 }))
    assert.equal(1, #host.store:scan(spaces.forgets, {}))
    host:stop "the next one tidies at its start"
    task.sleep(0.005)
    host = serve.start { folder = folder, store = folder .. "/store", http = false, env = function() end,
      logger = log_of.new { write = function() end } }
    for _ = 1, 1000 do
      if #host.store:scan(spaces.forgets, {}) == 0 then break end
      task.sleep(0.005)
    end
    assert.same({}, host.store:scan(spaces.forgets, {}))
    host:stop "the spec is over"
    support.remove(folder)
  end)
end)

describe("the house of a host, over time", function()
  local store, logged, open

  local function begin(settings)
    local own = upkeep.engine(store, settings)
    local log = {}
    for _, level in ipairs { "debug", "info", "warn", "error" } do
      log[level] = function(_, message, fields) logged[#logged + 1] = { level = level, message = message, fields = fields } end
    end
    open = house.start { engine = own, store = store, log = log, settings = {}, feed = {} }
    return own
  end

  before_each(function()
    native.use_virtual_clock(1)
    store, logged = assert(store_port.open ":memory:"), {}
  end)
  after_each(function()
    open:close()
    store:close()
    native.use_real_clock()
  end)

  local function has(run) return store:row(run.id) ~= nil end

  it("removes runs whose time is over within a quarter of an hour, with what nothing refers to then, and says so", function()
    local own = begin { retention = "1h" }
    local old, waits = upkeep.run(own, "large", { text = ("x"):rep(5000) }), upkeep.run(own, "asks")
    clock.sleep(3000)
    local young = upkeep.run(own, "plain", { text = "young" })
    assert.is_true(has(old))
    clock.sleep(600 + 900)
    assert.same({ false, true, true }, { has(old), has(waits), has(young) })
    assert.same({ "info", "pruned", 1 }, { logged[1].level, logged[1].message, logged[1].fields.runs })
    clock.sleep(86400)
    assert.same({ false, true }, { has(young), has(waits) })
    assert.equal(1, #store:scan "definitions") -- of the one that waits
    local sums = { runs = 0, definitions = 0, blobs = 0 } -- what is large is a blob: the input and the output
    for _, entry in ipairs(logged) do
      assert.equal("pruned", entry.message)
      for name in pairs(sums) do sums[name] = sums[name] + entry.fields[name] end
    end
    assert.same({ runs = 2, definitions = 2, blobs = 2 }, sums)
    assert.same({}, (select(2, store:verify())))
  end)

  it("removes what is over of every other kind when one cannot be read, and says which that is", function()
    local expire = queue.expire
    queue.expire = function() return nil, "a row is damaged", "corrupt" end
    local _ <close> = setmetatable({}, { __close = function() queue.expire = expire end })
    begin {}
    local workspace = require "weir.workspace"
    local view = workspace.view(store, {})
    view:post("short", "x", { scope = "project", ttl = 1 })
    workspace.commit(view)
    assert.is_table(store:scan("workspace.expiry", { limit = 1 })[1])
    clock.sleep(120)
    assert.is_nil(store:scan("workspace.expiry", { limit = 1 })[1])
    assert.equal("keys of deliveries that are over could not be removed", logged[1].message)
    assert.matches("damaged", logged[1].fields.error)
  end)

  it("removes many in small batches, and serves others between them", function()
    local own = begin { retention = 1 }
    for n = 1, 400 do upkeep.run(own, "plain", { text = "n" .. n }) end
    local turns = 0
    clock.sleep(59)
    while #store:runs { limit = 1 } > 0 do
      clock.sleep(0.01)
      if #store:runs { limit = 1000 } < 400 then turns = turns + 1 end
    end
    assert.is_true(turns >= 4, turns)
  end)

  it("keeps everything where nobody says how long, and says nothing", function()
    local run = upkeep.run(begin(), "plain", { text = "x" })
    clock.sleep(10 * 86400)
    assert.same({ true, 0 }, { has(run), #logged })
  end)

  it("forgets within a minute all that is over, however much that is", function()
    begin()
    clock.sleep(30)
    for first = 1, 5500, 500 do
      local operations = {}
      for n = first, first + 499 do
        if n <= 1500 then
          operations[#operations + 1] = { op = "put", space = spaces.forgets, key = ("%013d/q/%05d"):format(1, n), value = true }
        end
        operations[#operations + 1] = { op = "put", space = "events", key = ("e_%020d"):format(n), value = { at_ms = 1 } }
      end
      assert(store:batch(operations))
    end
    clock.sleep(60)
    assert.same({}, store:scan(spaces.forgets, { limit = 1 }))
    assert.same({}, store:scan("events", { limit = 1 }))
  end)

  it("stops in the middle when the host stops", function()
    local own = begin { retention = 1 }
    for n = 1, 400 do upkeep.run(own, "plain", { text = "n" .. n }) end
    clock.sleep(59)
    while #store:runs { limit = 1000 } == 400 do clock.sleep(0.01) end
    own.is_stopping = true
    open:close()
    assert.is_true(#store:runs { limit = 1 } > 0)
    assert.same({}, (select(2, store:verify())))
  end)
end)

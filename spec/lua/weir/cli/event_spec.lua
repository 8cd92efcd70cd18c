local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local WAITS = [[
local weir = require "weir"
return weir.pipeline "waits" { input = { id = "integer" },
  weir.wait "paid" { event = "order.paid", match = "$.event.data.id == $.input.id" }, output = "$.paid" }
]]
local ORDERS = [[
local weir = require "weir"
return weir.pipeline "orders" { input = { id = "integer" }, on = { event = { type = "order.*" } },
  weir.step "note" { agent = "echo", input = { id = "$.input.id" } }, output = "$.note.id" }
]]

describe("weir event", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "pipelines/waits.lua", WAITS)
    support.write(folder, "pipelines/orders.lua", ORDERS)
  end)
  after_each(function() support.remove(folder) end)

  local function weir(...)
    return support.host({ ... }, { cwd = folder })
  end

  local function lines(result) return support.lines(result.stdout) end

  it("sends an event into the log without a host, and the run that waits for it goes on", function()
    local first = weir("run", "waits", "--set", "id=7", "--json")
    assert.equal(3, first.status)
    local wait = lines(first)[1].waiting[1]
    assert.same({ "event", "order.paid" }, { wait.kind, wait.name })
    assert.equal(0, weir("event", "send", "order.paid", '{"id": 8}').status)
    local sent = weir("event", "send", "order.paid", '{"id": 7, "sum": 5}', "--json")
    assert.same({ 0, "finished", { id = 7, sum = 5 } }, { sent.status, lines(sent)[1].status, lines(sent)[1].output })
    local log = lines(weir("event", "log", "--json"))
    assert.same({ 7, 8 }, { log[1].event.data.id, log[2].event.data.id })
    assert.equal(1, #lines(weir("event", "log", "--json", "--limit", "1")))
    assert.equal(7, lines(weir("event", "log", "--after", log[2].offset, "--json"))[1].event.data.id)
    assert.matches("order.paid", weir("event", "log", "--type", "order.*").stdout)
  end)

  it("takes an event of one id once", function()
    assert.is_false(lines(weir("event", "send", "a", "--id", "x", "--json"))[1].duplicate)
    assert.is_true(lines(weir("event", "send", "a", "--id", "x", "--json"))[1].duplicate)
  end)

  it("takes no event whose attributes are empty or no UTF-8, and looks for no pipeline that cannot be", function()
    for _, given in ipairs { { "" }, { "a\255" }, { "a", "--id", "" }, { "a", "--id", "\255" }, { "a", "--source", "" },
      { "a", "--subject", "\255" }, { ("a"):rep(513) } } do
      local refused = weir("event", "send", "--json", table.unpack(given))
      assert.same({ 2, "invalid" }, { refused.status, lines(refused)[1].error.code })
    end
    assert.equal("", weir("event", "log", "--json").stdout)
    assert.equal(2, weir("event", "dead", "no name").status)
  end)

  it("gives an event of the log once more, with an id of its own", function()
    local sent = lines(weir("event", "send", "a", '{"n": 1}', "--json"))[1]
    assert.equal(0, weir("event", "replay", sent.offset).status)
    local log = lines(weir("event", "log", "--json"))
    assert.same({ 2, sent.id, { n = 1 } }, { #log, log[1].event.weirreplayof, log[1].event.data })
    assert.equal(6, weir("event", "replay", "e_nothing").status)
    assert.equal(6, weir("event", "replay", "q_nothing").status)
  end)

  it("needs a host to capture and to steer sources, and says so with status 7", function()
    weir("event", "send", "a")
    for _, arguments in ipairs { { "capture" }, { "sources" }, { "pause", "orders/event" } } do
      local result = weir("event", table.unpack(arguments))
      assert.equal(7, result.status)
      assert.matches("no host serves this project", result.stderr)
    end
  end)

  it("captures the next event of a type, and starts nothing", function()
    support.write(folder, "weir.lua", "return { listen = false }")
    local host = support.start({ "serve" }, { cwd = folder })
    assert(support.read_until(host.stdout, "repl"))
    local capture = support.start({ "event", "capture", "--type", "parcel.*" }, { cwd = folder })
    assert(support.read_until(capture.stderr, "waiting for the next event"))
    weir("event", "send", "letter.sent", '{"n": 1}')
    weir("event", "send", "parcel.sent", '{"n": 2}')
    local event = assert(json.decode((assert(support.read_until(capture.stdout, "\n}\n")))))
    assert.same({ "parcel.sent", { n = 2 } }, { event.type, event.data })
    assert.equal("", weir("runs", "--json").stdout)
    host:kill "sigterm"
    host:wait(20)
  end)

  it("refuses what it does not understand", function()
    assert.equal(2, weir("event", "send").status)
    assert.equal(2, weir("event", "log", "x", "y").status)
    assert.equal(2, weir("event", "send", "a", "{not json").status)
    assert.equal(6, weir("event", "rehearse", "nobody").status)
  end)

  it("compares what events did with what they would do, with status 1 when something differs", function()
    weir("event", "send", "order.paid", '{"id": 1}')
    assert.equal(0, weir("event", "rehearse", "orders").status)
    support.write(folder, "other.lua", (ORDERS:gsub('type = "order%.%*"', 'type = "none"')))
    local result = weir("event", "rehearse", "orders", "--file", "other.lua", "--json")
    assert.same({ 1, "stays_away" }, { result.status, lines(result)[1].change })
    assert.equal("order.paid", json.decode(result.stdout).event.type)
  end)
end)

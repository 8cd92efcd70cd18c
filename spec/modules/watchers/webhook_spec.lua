local clock = require "weir.port.clock"
local digest = require "weir.native.digest"
local json = require "weir.native.json"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.trigger.world"

local KEY = "0123456789abcdef0123456789abcdef"

local function pipeline(on, more)
  return ([[
local weir = require "weir"
return weir.pipeline "shop" { input = { n = "integer" }, on = { %s }, %s
  weir.step "held" { wait = { signal = "go" } }, output = "$.input.n" }
]]):format(on, more or "")
end

describe("watcher webhook", function()
  local world
  after_each(function()
    if world then world:close() end
    world = nil
  end)

  local function open(on, more, files)
    files = files or {}
    files["pipelines/shop.lua"] = pipeline(on, more)
    world = worlds.new(files, { http = true, listen = "127.0.0.1:0" })
    world:eventually(function() return world.host.triggers.sources["shop/webhook"].status ~= "starting" end)
  end

  local function deliver(id, n, path)
    local body, at = json.encode { n = n }, math.floor(clock.wall())
    local mark = digest.to_base64(digest.hmac_sha256(KEY, ("%s.%d.%s"):format(id, at, body), "raw"))
    local tcp = world.host.http.tcp
    local answer = wire.ask(tcp, "POST", "/hooks/" .. (path or "shop"), { Host = "localhost:" .. tcp.port, ["webhook-id"] = id,
      ["webhook-timestamp"] = tostring(at), ["webhook-signature"] = "v1," .. mark, ["Content-Type"] = "application/json" }, body)
    answer.value = json.decode(answer.body)
    return answer
  end

  local SIGNED = ('webhook = { path = "shop", scheme = "standard", secret = "whsec_%s" }'):format(digest.to_base64(KEY))

  it("starts a run for each signed delivery, once", function()
    open(SIGNED)
    assert.equal(202, deliver("m1", 7).status)
    assert.is_true(deliver("m1", 7).value.duplicate)
    local runs = world:eventually(function()
      local list = world:runs "shop"
      return #list > 0 and list
    end)
    assert.same({ 1, 7, "/hooks/shop" }, { #runs, runs[1].input.n, runs[1].event.source })
    assert.equal(404, deliver("m2", 8, "other").status)
  end)

  it("takes hooks that weir.lua names, and refuses to name one twice", function()
    local settings = ('return { hooks = { shop = { scheme = "standard", secret = "whsec_%s" } } }'):format(digest.to_base64(KEY))
    open('webhook = { path = "shop" }', nil, { ["weir.lua"] = settings })
    assert.equal(202, deliver("m1", 7).status)
    world:eventually(function() return #world:runs "shop" == 1 end)
    world:close()
    open(SIGNED, nil, { ["weir.lua"] = settings })
    local source = world.host.triggers:list()[1]
    assert.same({ "failing", true }, { source.status, source.trouble:find "names the hook 'shop' already" ~= nil })
  end)

  it("answers 429 when the pipeline's queue is full, and says when to come again from the rate at which it drains", function()
    open(SIGNED, 'queue = { limit = 2, concurrency = 1, overflow = "reject" },')
    assert.equal(202, deliver("a", 1).status)
    assert.equal(202, deliver("b", 2).status)
    local answer = deliver("c", 3)
    assert.same({ 429, "full", "60" }, { answer.status, answer.value.code, answer.headers["retry-after"] })
    assert.equal(202, deliver("a", 1).status) -- that one is there already
    local line = world.host.triggers.lines.shop
    line.drain.at, line.drain.left = clock.now() - 100, 5 -- one in twenty seconds, and a little
    assert.matches("^2[01]$", deliver("c", 3).headers["retry-after"])
    local first = world:eventually(function() return world:runs("shop")[1] end)
    require("weir.run.waking").signal(world.host.engine, first.id, "go", true)
    world:eventually(function() return deliver("c", 3).status == 202 end)
  end)

  it("has what was acknowledged in the queue already, whatever happens to the host", function()
    open(SIGNED, "queue = { concurrency = 1 },")
    for n = 1, 20 do assert.equal(202, deliver("m" .. n, n).status) end
    world.host.triggers:close() -- as if it had died: nothing more is started
    local before = #world:runs "shop"
    assert.is_true(before < 20)
    world:again()
    world.host.triggers.lines.shop.settings.concurrency = 100
    world.host.triggers.lines.shop.queue:committed()
    if world.host.triggers.lines.shop.turn then world.host.triggers.lines.shop.turn:wake() end
    local runs = world:eventually(function()
      local list = world:runs "shop"
      return #list == 20 and list
    end)
    local seen = {}
    for _, run in ipairs(runs) do seen[run.input.n] = true end
    for n = 1, 20 do assert.is_true(seen[n]) end
  end)
end)

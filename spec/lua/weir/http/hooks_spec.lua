local clock = require "weir.port.clock"
local digest = require "weir.native.digest"
local event_log = require "weir.event.log"
local json = require "weir.native.json"
local scheduler = require "weir.native.scheduler"
local system = require "weir.port.system"
local task = require "weir.task"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local KEY = "0123456789abcdef0123456789abcdef"
local MUTATIONS = 1000 -- of test 81
local CLIENTS = 10 -- at once; an address may have 32 connections, those that close just now among them
local TIMES = { 1, 2, 3, 7, 20, 50 } -- that a delivery comes, of test 83

describe("the hooks of the HTTP door", function()
  local world

  local function open(options)
    options = options or {}
    options.settings = { hooks = { shop = { scheme = "standard", secret = "whsec_" .. digest.to_base64(KEY) },
      code = { scheme = "github", secret = "s" } } }
    world = worlds.new(options)
  end

  after_each(function() world:close() end)

  local function deliver(id, at, body, key)
    local mark = digest.to_base64(digest.hmac_sha256(key or KEY, ("%s.%d.%s"):format(id, at, body), "raw"))
    local headers = { ["webhook-id"] = id, ["webhook-timestamp"] = tostring(at), ["webhook-signature"] = "v1," .. mark, Authorization = false }
    return world:ask("POST", "/hooks/shop", body, headers)
  end

  local function now() return math.floor(clock.wall()) end
  local function events() return event_log.page(world.host.store, {}) end
  local function depth() return #events() end

  it("takes a signed delivery into the log, as an event with its data", function()
    open()
    local answer = deliver("msg_1", now(), '{"order":7}')
    assert.equal(202, answer.status)
    local entry = events()[1]
    assert.equal(answer.value.id, entry.offset)
    assert.same({ order = 7 }, entry.event.data)
    assert.same({ "1.0", "msg_1", "/hooks/shop", "webhook" }, { entry.event.specversion, entry.event.id, entry.event.source, entry.event.type })
  end)

  it("takes text and bytes as they are, and says in the type what the sender said", function()
    open()
    local body = "\255\254 bytes"
    local headers = { ["X-Hub-Signature-256"] = "sha256=" .. digest.hmac_sha256("s", body), ["X-GitHub-Delivery"] = "d1",
      ["X-GitHub-Event"] = "push", ["Content-Type"] = "application/octet-stream" }
    assert.equal(202, world:ask("POST", "/hooks/code", body, headers).status)
    local event = events()[1].event
    assert.same({ "webhook.push", digest.to_base64(body) }, { event.type, event.data_base64 })
  end)

  local function of_code(body, id, more)
    local headers = { ["X-Hub-Signature-256"] = "sha256=" .. digest.hmac_sha256("s", body), ["X-GitHub-Delivery"] = id,
      ["Content-Type"] = "application/json" }
    for name, text in pairs(more or {}) do headers[name] = text end
    return world:ask("POST", "/hooks/code", body, headers)
  end

  it("takes any JSON as what it is, false and null too", function()
    open()
    for place, body in ipairs { "false", "null", "0", "[]", "{}", '""' } do
      assert.equal(202, of_code(body, "d" .. place).status)
      assert.equal(body, json.encode(events()[place].event.data))
    end
  end)

  it("takes no delivery whose id is empty, or whose headers are no UTF-8", function()
    open()
    assert.equal(401, of_code("{}", "").status)
    assert.equal(422, of_code("{}", "\255").status)
    assert.equal(422, of_code("{}", "d1", { ["X-GitHub-Event"] = "\255" }).status)
    assert.equal(0, depth())
  end)

  -- The ids that deliver() was answered with, `count` times, as many at once as one address may have connections.
  local function deliver_at_once(count, id, at)
    local ids = {}
    local ok, err = task.within({}, function()
      for place = 1, math.min(count, CLIENTS) do
        scheduler.spawn(function()
          for n = place, count, CLIENTS do
            local answer = deliver(id, at, "{}")
            assert(answer and answer.status == 202, answer and answer.body or "no answer")
            ids[n] = answer.value.id
          end
        end)
      end
    end)
    assert.is_true(ok, err and (err.message or tostring(err)))
    assert.equal(count, #ids)
    return ids
  end

  it("takes a delivery once, however often and at how many places at once it comes", function()
    open()
    local at = now()
    for number, count in ipairs(TIMES) do
      local name = "msg_2_" .. count
      local ids = deliver_at_once(count, name, at)
      for _, id in ipairs(ids) do assert.equal(ids[1], id) end
      assert.equal(number, depth())
      local again = deliver(name, at, "{}").value
      assert.same({ ids[1], true }, { again.id, again.duplicate })
    end
  end)

  it("knows a delivery again in another life of the host", function()
    local folder = system.temporary_folder "weir-hooks"
    open { store = folder .. "/store" }
    local first = deliver("msg_3", now(), "{}").value.id
    for _ = 1, 3 do
      world:close()
      open { store = folder .. "/store" }
      for _, id in ipairs(deliver_at_once(8, "msg_3", now())) do assert.equal(first, id) end
      assert.equal(1, depth())
    end
    world:close()
    open { store = folder .. "/store" }
    assert.equal(first, deliver("msg_3", now(), "{}").value.id)
    assert.equal(1, depth())
    for _, name in ipairs(system.file_names(folder .. "/store")) do os.remove(folder .. "/store/" .. name) end
    uv.fs_rmdir(folder .. "/store")
    uv.fs_rmdir(folder)
  end)

  it("refuses what is not signed, signed by another, too old or too new, and keeps nothing of it", function()
    open()
    local bytes = world.host.store:stats().bytes
    assert.equal(401, world:ask("POST", "/hooks/shop", "{}", { Authorization = false }).status)
    assert.equal(401, deliver("msg_4", now(), "{}", "another key").status)
    assert.equal(401, deliver("msg_4", now() - 310, "{}").status)
    assert.equal(401, deliver("msg_4", now() + 310, "{}").status)
    assert.equal(202, deliver("msg_4", now() - 280, "{}").status)
    assert.equal(404, world:ask("POST", "/hooks/nothing", "{}").status)
    assert.equal(404, world:ask("GET", "/api/hooks/shop").status)
    assert.equal(405, world:ask("GET", "/hooks/shop").status)
    assert.is_true(world.host.store:stats().bytes > bytes)
    assert.equal(1, depth())
    for _, entry in ipairs(world.logged) do assert.is_nil(json.encode(entry):find(KEY, 1, true)) end
  end)

  it("takes a delivery up to 300 s before or after it was signed", function()
    open()
    local at, wall = now(), clock.wall
    clock.wall = function() return at end
    finally(function() clock.wall = wall end)
    local taken = 0
    for seconds, status in pairs { [299] = 202, [-299] = 202, [301] = 401, [-301] = 401 } do
      assert.equal(status, deliver("msg_6_" .. seconds, at + seconds, "{}").status, tostring(seconds))
      if status == 202 then taken = taken + 1 end
      assert.equal(taken, depth())
    end
  end)

  -- A text with one byte changed, left out, doubled or put in.
  local function mutated(text)
    local at, kind = math.random(#text), math.random(4)
    local before, char, after = text:sub(1, at - 1), text:sub(at, at), text:sub(at + 1)
    local other = string.char(33 + (char:byte() - 33 + math.random(93)) % 94)
    return before .. ({ other, "", char .. char, other .. char })[kind] .. after
  end

  it("answers 401 to a thousand deliveries with one byte changed, and reads none of them", function()
    open()
    local decode, read = json.decode, 0
    local body, at = '{"order":7}', now()
    local signed = { ["webhook-id"] = "msg_7", ["webhook-timestamp"] = tostring(at),
      ["webhook-signature"] = "v1," .. digest.to_base64(digest.hmac_sha256(KEY, ("msg_7.%d.%s"):format(at, body), "raw")) }
    local names = { "webhook-id", "webhook-signature", "webhook-timestamp" }
    local own = wire.connect(world.door.tcp)
    local function status_of(headers, text)
      local all = { Host = "localhost:" .. world.door.tcp.port, ["Content-Type"] = "application/json" }
      for name, value in pairs(headers) do all[name] = value end
      own:send(wire.request("POST", "/hooks/shop", all, text))
      return own:answer().status
    end
    json.decode = function(...) -- luacheck: ignore 122
      read = read + 1
      return decode(...)
    end
    finally(function()
      json.decode = decode -- luacheck: ignore 122
      own:close()
    end)
    for _ = 1, MUTATIONS do
      local which = math.random(0, #names)
      local headers, text = {}, body
      for name, value in pairs(signed) do headers[name] = value end
      if which == 0 then text = mutated(body) else headers[names[which]] = mutated(signed[names[which]]) end
      if text ~= body or headers[names[which]] ~= signed[names[which]] then assert.equal(401, status_of(headers, text)) end
    end
    assert.same({ 0, 0 }, { read, depth() })
    assert.equal(202, status_of(signed, body)) -- the control
    assert.same({ true, 1 }, { read > 0, depth() })
  end)

  it("does not read a body whose signature is wrong", function()
    open()
    local read = 0
    local decode = json.decode
    json.decode = function(...) -- luacheck: ignore 122
      read = read + 1
      return decode(...)
    end
    local headers = { ["webhook-id"] = "msg_5", ["webhook-timestamp"] = tostring(now()), ["webhook-signature"] = "v1,AAAA",
      ["Content-Type"] = "application/json" }
    local text = wire.request("POST", "/hooks/shop", { Host = "localhost:" .. world.door.tcp.port, ["webhook-id"] = headers["webhook-id"],
      ["webhook-timestamp"] = headers["webhook-timestamp"], ["webhook-signature"] = headers["webhook-signature"],
      ["Content-Type"] = "application/json" }, '{"a":1}')
    local one = wire.connect(world.door.tcp)
    one:send(text)
    local answer = one:answer()
    json.decode = decode -- luacheck: ignore 122
    one:close()
    assert.same({ 401, 0 }, { answer.status, read })
  end)
end)

-- One-time links: a page that decides nothing by being looked at, and decides once when it is sent.

local approval = require "weir.approval"
local audit = require "weir.audit"
local link_of = require "weir.approval.link"
local system = require "weir.port.system"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local FORM = "application/x-www-form-urlencoded"

describe("a one-time link", function()
  local world
  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)

  local function ask(...) return world:ask(...) end

  local function waiting(text)
    local run = ask("POST", "/api/runs", { pipeline = "ask", input = { text = text } }).value.run
    local found
    assert.is_true(wire.eventually(function()
      found = ask("GET", "/api/approvals?run=" .. run).value.items[1]
      return found
    end))
    return found, run
  end

  -- As a browser does: over TCP, without a token.
  local function browse(method, target, body, origin)
    local host = "127.0.0.1:" .. world.door.tcp.port
    return wire.ask(world.door.tcp, method, target, { Host = host, Origin = origin or body and "http://" .. host or nil,
      ["Content-Type"] = body and FORM or nil }, body)
  end

  local function link_for(asked, name, more)
    local body = { ["for"] = name or "ada" }
    for field, value in pairs(more or {}) do body[field] = value end
    local made = ask("POST", "/api/approvals/" .. asked.id .. "/links", body)
    assert.equal(201, made.status, made.value and made.value.detail)
    return made.value.url:match "(/decide/.*)$", made.value
  end

  local function kept(id) return (approval.get(world.host.store, id)) end

  it("shows what is asked to whoever has it, without a token, and lets nothing of that act", function()
    local asked = waiting "<script>alert(1)</script>"
    local path, made = link_for(asked)
    assert.same({ "ada" }, { made["for"] })
    local answer = browse("GET", path)
    assert.equal(200, answer.status)
    assert.matches("&lt;script&gt;", answer.body)
    assert.is_nil(answer.body:find("<script", 1, true))
    assert.matches("hash +" .. asked.hash, answer.body)
    assert.matches("default%-src 'none'", answer.headers["content-security-policy"])
    assert.equal("no-store", answer.headers["cache-control"])
    assert.equal("same-origin", answer.headers["referrer-policy"])
  end)

  it("decides nothing when it is looked at, however often and with whatever is said in the query", function()
    local asked = waiting "look"
    local path = link_for(asked)
    for _, method in ipairs { "GET", "HEAD", "GET" } do assert.equal(200, browse(method, path).status) end
    assert.equal(422, browse("GET", path .. "?decision=approve").status)
    assert.is_nil(kept(asked.id).decision)
  end)

  it("decides once when it is sent, under the name that it was made for, and has the run go on", function()
    local asked, run = waiting "send"
    local path = link_for(asked, "ada")
    local answer = browse("POST", path, "decision=approve&comment=reads+well%21")
    assert.equal(200, answer.status)
    assert.matches("Approved", answer.body)
    local record = kept(asked.id)
    assert.same({ "approve", "ada", "reads well!", "link" }, { record.decision, record.by, record.comment, record.given[1].via })
    assert.is_true(wire.eventually(function() return ask("GET", "/api/runs/" .. run).value.status == "finished" end))
    assert.equal(410, browse("POST", path, "decision=reject").status)
    assert.equal(410, browse("GET", path).status)
  end)

  it("is spent by the first of many who send it at once", function()
    local asked = waiting "race"
    local path, statuses, senders = link_for(asked), {}, {}
    for index = 1, 8 do
      senders[index] = require("weir.task").spawn(function()
        statuses[index] = browse("POST", path, index % 2 == 0 and "decision=approve" or "decision=reject").status
      end)
    end
    for _, sender in ipairs(senders) do assert(sender:join()) end
    table.sort(statuses)
    assert.same({ 200, 410, 410, 410, 410, 410, 410, 410 }, statuses)
    assert.equal(1, #kept(asked.id).given)
  end)

  it("answers what is wrong, used and expired with one page, which says which only to who had a right one", function()
    local asked = waiting "wrong"
    local path = link_for(asked)
    local used = link_for(waiting "used")
    browse("POST", used, "decision=approve")
    local expired = link_of.make(world.host.store, asked.id, { by = "ada", expires = 1, made_by = "ada", via = "cli" }, { now_ms = 1000 }).token
    local last = path:sub(-1) == "0" and "1" or "0"
    local bodies = {}
    for target, status in pairs { [path:sub(1, -2) .. last] = 404, ["/decide/nobody"] = 404, [path:sub(1, -2)] = 404,
      ["/decide/k_00000000000000000000." .. ("0"):rep(64)] = 404, [path .. "0"] = 404, [used] = 410, ["/decide/" .. expired] = 410 } do
      local answer = browse("GET", target)
      assert.equal(status, answer.status, target)
      bodies[answer.body] = true
      assert.equal(status, browse("POST", target, "decision=approve").status)
    end
    assert.is_nil(next(bodies, (next(bodies))))
    assert.is_nil(kept(asked.id).decision)
  end)

  it("is bound to its question, person, action and time: none of them can be changed in the store without breaking it", function()
    local asked, other = waiting "bound", waiting "other"
    for field, value in pairs { approval = other.id, by = "mallory", hash = ("0"):rep(64), expires_ms = math.maxinteger >> 8 } do
      local path = link_for(asked)
      local id = path:match "/(k_%w+)"
      local link, version = world.host.store:get("approvals.links", id)
      link[field] = value
      assert(world.host.store:cas("approvals.links", id, version, link))
      assert.equal(404, browse("GET", path).status, field)
      assert.equal(404, browse("POST", path, "decision=approve").status, field)
    end
    assert.is_nil(kept(asked.id).decision)
  end)

  it("opens nothing once its question is decided otherwise", function()
    local asked = waiting "otherwise"
    local path = link_for(asked)
    ask("POST", "/api/approvals/" .. asked.id, { decision = "reject" })
    assert.same({ 410, 410 }, { browse("GET", path).status, browse("POST", path, "decision=approve").status })
    assert.equal("reject", kept(asked.id).decision)
  end)

  it("stays as it is when what is sent cannot be read, and takes no other type of body and no other origin", function()
    local asked = waiting "unread"
    local path = link_for(asked)
    for _, body in ipairs { "decision=maybe", "comment=x", "decision=approve&decision=reject", "decision=approve&comment=%ff", "decision=approve&answer=%7B" } do
      assert.equal(422, browse("POST", path, body).status, body)
    end
    assert.equal(403, browse("POST", path, "decision=approve", "http://evil.example").status)
    local host = "127.0.0.1:" .. world.door.tcp.port
    assert.equal(415, wire.ask(world.door.tcp, "POST", path, { Host = host, ["Content-Type"] = "text/plain" }, "decision=approve").status)
    assert.is_nil(kept(asked.id).decision)
    assert.equal(200, browse("POST", path, "decision=reject").status)
  end)

  it("is made only for who may decide, for another one only by the owner, and stands in the audit trail", function()
    local asked = waiting "made"
    link_for(asked, "ada")
    assert.equal(422, ask("POST", "/api/approvals/" .. asked.id .. "/links", { expires = 31 * 86400 }).status)
    assert.equal(404, ask("POST", "/api/approvals/a_00000000000000000000/links", {}).status)
    local actions = {}
    for _, row in ipairs(audit.list(world.host.store)) do
      if row.value.what == asked.id then actions[#actions + 1] = row.value.action .. " " .. tostring(row.value.to) end
    end
    assert.same({ "link ada" }, actions)
    browse("POST", (link_for(asked, "ada")), "decision=approve")
    local last = audit.list(world.host.store, { reverse = true, limit = 1 })[1].value
    assert.same({ "ada", "link", "approve", asked.id }, { last.by, last.via, last.action, last.what })
    assert.equal(409, ask("POST", "/api/approvals/" .. asked.id .. "/links", { ["for"] = "ada" }).status)
  end)

  it("has its key in a file that only the owner of the store reads, and refuses one that others may read", function()
    local uv = require "luv"
    local folder = system.temporary_folder "weir-links"
    local store = assert(require("weir.port.store").open(folder .. "/store", {}))
    local action, hash = approval.action { pipeline = "p", version = "v", run = "r_1", step = "ask" }
    local id = approval.id("r_1", "ask", 1, hash)
    assert(store:batch(approval.ask { id = id, action = action, asked_ms = 1000 }))
    local made = link_of.make(store, id, { by = "ada", made_by = "ada", via = "cli" })
    local key = folder .. "/store/links.key"
    assert.equal(tonumber("600", 8), uv.fs_stat(key).mode & tonumber("777", 8))
    store:close()
    store = assert(require("weir.port.store").open(folder .. "/store", {}))
    assert.equal(id, link_of.open(store, made.token).approval)
    store:close()
    uv.fs_chmod(key, tonumber("644", 8))
    store = assert(require("weir.port.store").open(folder .. "/store", {}))
    local ok, err = pcall(link_of.open, store, made.token)
    assert.same({ false, "denied" }, { ok, err.code })
    store:close()
    require("weir.port.process").run { "rm", "-rf", "--", folder }
  end)
end)

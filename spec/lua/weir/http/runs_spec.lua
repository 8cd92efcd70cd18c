local json = require "weir.native.json"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

describe("the runs of the HTTP door", function()
  local world

  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)

  local function ask(...) return world:ask(...) end

  local function until_status(id, status)
    local answer
    assert.is_true(wire.eventually(function()
      answer = ask("GET", "/api/runs/" .. id)
      return answer.value.status == status
    end), "the run did not become " .. status)
    return answer.value
  end

  it("starts a run, says where it is, and shows what became of it", function()
    local answer = ask("POST", "/api/runs", { pipeline = "hello", input = { name = "Ada" } })
    assert.equal(202, answer.status)
    assert.matches("^r_%w+$", answer.value.run)
    assert.equal("/api/runs/" .. answer.value.run, answer.headers.location)
    local run = until_status(answer.value.run, "finished")
    assert.equal("Hello, Ada!", run.output)
    assert.equal("greet", run.steps[1].step)
  end)

  it("has the start on disk before it answers", function()
    local answer = ask("POST", "/api/runs", { pipeline = "nap" })
    local entries = assert(world.host.store:load(answer.value.run))
    assert.equal("run", entries[1][1])
  end)

  it("waits for the end when it is asked to", function()
    local answer = ask("POST", "/api/runs?wait=30s", { pipeline = "hello" })
    assert.same({ 200, "Hello, World!" }, { answer.status, answer.value.output })
    assert.equal(202, ask("POST", "/api/runs?wait=0.01", { pipeline = "nap" }).status)
    assert.equal(422, ask("POST", "/api/runs?wait=10m", { pipeline = "hello" }).status)
    assert.equal(422, ask("POST", "/api/runs?wait=soon", { pipeline = "hello" }).status)
  end)

  it("gives the first run for an equal key and body, and refuses another body", function()
    local first = ask("POST", "/api/runs", { pipeline = "hello", input = { name = "Ada" } }, { ["Idempotency-Key"] = "k1" })
    assert.equal(202, first.status)
    local again = ask("POST", "/api/runs", { pipeline = "hello", input = { name = "Ada" }, key = "k1" })
    assert.same({ 200, first.value.run }, { again.status, again.value.run })
    local other = ask("POST", "/api/runs", { pipeline = "hello", input = { name = "Bob" } }, { ["Idempotency-Key"] = "k1" })
    assert.same({ 409, "conflict" }, { other.status, other.value.code })
    assert.equal(422, ask("POST", "/api/runs", { pipeline = "hello", key = "k2" }, { ["Idempotency-Key"] = "k3" }).status)
  end)

  it("takes no key that is not UTF-8", function()
    local answer = ask("POST", "/api/runs", { pipeline = "hello" }, { ["Idempotency-Key"] = "\255" })
    assert.same({ 422, "invalid" }, { answer.status, answer.value.code })
  end)

  it("gives false and null as the output that they are, to who asks again too", function()
    local file = assert(io.open(world.folder .. "/pipelines/same.lua", "wb"))
    file:write 'local weir = require "weir"\nreturn weir.pipeline "same" { input = { v = "any" }, weir.step "s" { agent = "echo", input = "$.input.v" } }\n'
    file:close()
    for place, text in ipairs { "false", "null", "[]", "{}", "0", '""' } do
      local body = ('{"pipeline":"same","key":"same %d","input":{"v":%s}}'):format(place, text)
      local line
      for _ = 1, 2 do
        line = ask("POST", "/api/runs?wait=30s", body).value
        assert.equal(text, json.encode(line.output))
      end
      local now = json.decode(ask("GET", ("/api/runs/%s/stream"):format(line.run)).body:match "event: now\ndata: ([^\n]+)")
      assert.equal(text, json.encode(now.output))
    end
  end)

  it("refuses what cannot be run, and says all that is wrong", function()
    assert.equal(404, ask("POST", "/api/runs", { pipeline = "helo" }).status)
    assert.equal(422, ask("POST", "/api/runs", { pipeline = "bad" }).status)
    local wrong = ask("POST", "/api/runs", { pipeline = "hello", input = { name = 3, nom = "x" } })
    assert.equal(422, wrong.status)
    assert.equal("application/problem+json", wrong.headers["content-type"])
    assert.equal(2, #wrong.value.errors)
    assert.equal(422, ask("POST", "/api/runs", { pipelin = "hello" }).status)
    assert.equal(422, ask("POST", "/api/runs", { pipeline = "../etc/passwd" }).status)
    assert.equal(422, ask("POST", "/api/runs", { pipeline = "pipelines/hello.lua" }).status)
  end)

  it("says what is wrong also where it quotes a text that was cut inside a character", function()
    for before = 0, 3 do
      local answer = ask("POST", "/api/runs", { pipeline = "X" .. ("a"):rep(before) .. ("😀"):rep(30) })
      assert.same({ 422, "invalid", "body.pipeline" }, { answer.status, answer.value.code, answer.value.errors[1].path })
      assert.equal(404, ask("GET", "/api/runs/x" .. ("a"):rep(before) .. ("%F0%9F%98%80"):rep(30)).status)
      assert.matches("^there is no run", ask("GET", "/api/runs/x" .. ("a"):rep(before) .. ("%F0%9F%98%80"):rep(30)).value.detail)
    end
  end)

  it("says all of a message that holds a zero byte", function()
    assert.matches("is unknown; there are", ask("POST", "/api/runs", { pipeline = "hello", model = "\0" }).value.detail)
  end)

  it("lists runs page by page, the newest first, by what their rows say", function()
    for _ = 1, 5 do ask("POST", "/api/runs?wait=30s", { pipeline = "hello" }) end
    local seen, cursor = {}, ""
    repeat
      local page = ask("GET", "/api/runs?pipeline=hello&status=finished&limit=2" .. cursor).value
      for _, run in ipairs(page.items) do
        assert.equal("hello", run.pipeline)
        assert.is_nil(seen[run.run])
        seen[run.run], seen[#seen + 1] = true, run.run
      end
      cursor = type(page.next) == "string" and "&cursor=" .. page.next or nil
    until not cursor
    assert.is_true(#seen >= 5)
    assert.equal(#seen, #ask("GET", "/api/runs?pipeline=hello&status=finished").value.items)
    assert.equal(422, ask("GET", "/api/runs?status=done").status)
    assert.equal(422, ask("GET", "/api/runs?limit=0").status)
    assert.equal(422, ask("GET", "/api/runs?statu=failed").status)
    assert.equal(400, ask("GET", "/api/runs?limit=1&limit=2").status)
  end)

  it("refuses a cursor that no page has given, and a day that there is not", function()
    for _, query in ipairs { "cursor=" .. ("x"):rep(200), "cursor=%C3%A9", "cursor=..", "since=2026-02-30" } do
      local answer = ask("GET", "/api/runs?" .. query)
      assert.same({ 422, "invalid" }, { answer.status, answer.value.code })
    end
  end)

  it("gives the journal page by page, and what was known at a step", function()
    local id = ask("POST", "/api/runs?wait=30s", { pipeline = "hello" }).value.run
    local whole = ask("GET", ("/api/runs/%s/journal"):format(id)).value.items
    local first = ask("GET", ("/api/runs/%s/journal?limit=1"):format(id)).value
    assert.same({ 1, "run", "1" }, { first.items[1].n, first.items[1].entry[1], first.next })
    local second = ask("GET", ("/api/runs/%s/journal?limit=1&after=1"):format(id)).value
    assert.same(whole[2], second.items[1])
    assert.equal("Hello, World!", ask("GET", ("/api/runs/%s/data?at=greet"):format(id)).value.data.greet.text)
    assert.equal("Hello, World!", ask("GET", ("/api/runs/%s/data"):format(id)).value.data.greet.text)
    assert.equal(404, ask("GET", ("/api/runs/%s/data?at=gret"):format(id)).status)
  end)

  it("shows a run that knows bytes which are no UTF-8", function()
    world.host.project.registry:put { kind = "agent", name = "raw", api = 1, execute = function() return { bytes = "\255", list = {} } end }
    local file = assert(io.open(world.folder .. "/pipelines/raw.lua", "wb"))
    file:write 'local weir = require "weir"\nreturn weir.pipeline "raw" { weir.step "raw" { agent = "raw" } }\n'
    file:close()
    local line = ask("POST", "/api/runs?wait=30s", { pipeline = "raw" }).value
    assert.same({ "finished", { bytes = { base64 = "/w==" }, list = {} } }, { line.status, line.output })
    for _, path in ipairs { "", "/data", "/journal" } do assert.equal(200, ask("GET", ("/api/runs/%s%s"):format(line.run, path)).status) end
    assert.same({ base64 = "/w==" }, ask("GET", "/api/runs/" .. line.run).value.output.bytes)
  end)

  it("shows all of a run whose values are as deep as may be kept", function()
    for depth = 50, 64 do
      local body = ('{"pipeline":"same","input":{"v":%s%s}}'):format(("["):rep(depth), ("]"):rep(depth))
      local answer = ask("POST", "/api/runs?wait=30s", body)
      if answer.status == 200 and answer.value.status == "finished" then
        for _, path in ipairs { "", "/data", "/journal" } do
          assert.equal(200, ask("GET", ("/api/runs/%s%s"):format(answer.value.run, path)).status, depth .. path)
        end
      else
        assert.is_true(depth > 58, tostring(depth))
      end
    end
  end)

  it("knows no run by a part of its id, and none that is not there", function()
    local id = ask("POST", "/api/runs", { pipeline = "hello" }).value.run
    assert.equal(404, ask("GET", "/api/runs/" .. id:sub(1, 10)).status)
    assert.equal(404, ask("GET", "/api/runs/r_00000000000000000000").status)
    assert.equal(404, ask("GET", "/api/runs/last").status)
    assert.equal(404, ask("POST", "/api/runs/r_00000000000000000000/cancel").status)
  end)

  it("cancels a run that waits, and refuses one that has ended", function()
    local id = ask("POST", "/api/runs", { pipeline = "nap" }).value.run
    until_status(id, "waiting")
    local answer = ask("POST", ("/api/runs/%s/cancel"):format(id), { reason = "not needed" })
    assert.same({ 200, "cancelled" }, { answer.status, answer.value.status })
    assert.equal(409, ask("POST", ("/api/runs/%s/cancel"):format(id)).status)
  end)

  it("pauses a run and goes on with it", function()
    local id = ask("POST", "/api/runs", { pipeline = "nap" }).value.run
    until_status(id, "waiting")
    assert.equal(200, ask("POST", ("/api/runs/%s/pause"):format(id)).status)
    assert.is_true(world.host.store:row(id).is_paused)
    assert.equal(202, ask("POST", ("/api/runs/%s/resume"):format(id)).status)
    assert.is_true(wire.eventually(function()
      local row = world.host.store:row(id)
      return row.status == "waiting" and not row.is_paused
    end))
    ask("POST", ("/api/runs/%s/cancel"):format(id))
    assert.equal(409, ask("POST", ("/api/runs/%s/resume"):format(id)).status)
  end)

  it("sends a signal that a run waits for", function()
    local id = ask("POST", "/api/runs", { pipeline = "call" }).value.run
    until_status(id, "waiting")
    assert.equal(202, ask("POST", ("/api/runs/%s/signal"):format(id), { name = "go", value = { n = 3 } }).status)
    assert.equal("finished", until_status(id, "finished").status)
    assert.equal(409, ask("POST", ("/api/runs/%s/signal"):format(id), { name = "go" }).status)
    assert.equal(422, ask("POST", ("/api/runs/%s/signal"):format(id), {}).status)
  end)

  it("binds a run that waits to another version, and says where the two part", function()
    local text = [[
local weir = require "weir"
return weir.pipeline "moving" { weir.step "say" { agent = "echo", input = { text = "%s" } }, weir.wait "answer" { signal = "go" },
  output = "%s" }
]]
    local function write(...)
      local file = assert(io.open(world.folder .. "/pipelines/moving.lua", "w"))
      file:write(text:format(...))
      file:close()
      ask("POST", "/api/modules/pipeline/moving/reload")
    end
    write("one", "$.say.text")
    local id = ask("POST", "/api/runs", { pipeline = "moving" }).value.run
    local before = until_status(id, "waiting").version
    write("one", "the end")
    local path = ("/api/runs/%s/migrate"):format(id)
    local tried = ask("POST", path, { to = "latest", dry_run = true })
    assert.same({ 200, before, true }, { tried.status, tried.value.from, tried.value.dry_run })
    assert.equal(before, ask("GET", "/api/runs/" .. id).value.version)
    assert.equal(200, ask("POST", path, { to = "latest" }).status)
    assert.not_equal(before, ask("GET", "/api/runs/" .. id).value.version)
    write("two", "the end")
    local refused = ask("POST", path, { to = "latest" })
    assert.same({ 409, "say" }, { refused.status, refused.value.divergence.key })
    assert.equal(422, ask("POST", path, { to = "../x" }).status)
    until_status(id, "waiting")
    ask("POST", ("/api/runs/%s/signal"):format(id), { name = "go" })
    assert.equal("the end", until_status(id, "finished").output)
  end)

  it("tries again, and forks with another value", function()
    local id = ask("POST", "/api/runs?wait=30s", { pipeline = "hello", input = { name = "Ada" } }).value.run
    local plan = ask("POST", ("/api/runs/%s/retry"):format(id), { from = "greet", dry_run = true })
    assert.same({ 200, "greet" }, { plan.status, plan.value.repeated[1].key })
    local again = ask("POST", ("/api/runs/%s/retry"):format(id), { set = { name = "Bob" } })
    assert.equal(202, again.status)
    assert.equal("Hello, Bob!", until_status(again.value.run, "finished").output)
    local forked = ask("POST", ("/api/runs/%s/fork"):format(id), { at = "greet", set = { ["greet.text"] = "Bye" } })
    assert.equal("Bye", until_status(forked.value.run, "finished").output)
    assert.equal(404, ask("POST", ("/api/runs/%s/fork"):format(id), { at = "gret" }).status)
  end)

  it("streams what happens in a run until it ends", function()
    local id = ask("POST", "/api/runs", { pipeline = "call" }).value.run
    until_status(id, "waiting")
    local one = wire.connect(world.door.tcp)
    one:send(wire.request("GET", ("/api/runs/%s/stream"):format(id), { Host = "localhost:" .. world.door.tcp.port,
      Authorization = "Bearer " .. world.door.token }))
    one:until_(function(bytes) return bytes:find "event: now" end)
    ask("POST", ("/api/runs/%s/signal"):format(id), { name = "go", value = 1 })
    local answer = one:answer()
    assert.equal("text/event-stream", answer.headers["content-type"])
    assert.matches('event: step\ndata: [^\n]*"finished"', answer.body)
    assert.matches('id: t%-%d+\nevent: run\ndata: [^\n]*"finished"', answer.body)
    one:close()
    local ended = ask("GET", ("/api/runs/%s/stream"):format(id))
    assert.matches('event: now\ndata: [^\n]*"finished"', ended.body)
  end)

  it("goes on with what it began when the client goes away", function()
    local one = wire.connect(world.door.tcp)
    local headers = { Host = "localhost:" .. world.door.tcp.port, Authorization = "Bearer " .. world.door.token,
      ["Content-Type"] = "application/json" }
    one:send(wire.request("POST", "/api/runs?wait=60s", headers, '{"pipeline":"call","key":"gone"}'))
    local id
    assert.is_true(wire.eventually(function()
      local page = ask("GET", "/api/runs?pipeline=call&status=waiting").value.items
      id = page[1] and page[1].run
      return id
    end))
    one:close()
    assert.is_true(wire.eventually(function() return select(2, world.door.tcp:stats()) == 0 end))
    ask("POST", ("/api/runs/%s/signal"):format(id), { name = "go" })
    until_status(id, "finished")
  end)
end)

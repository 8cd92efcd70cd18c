local files = require "weir.port.files"
local http = require "weir.port.http"
local json = require "weir.json"
local loopback = dofile "spec/loopback.lua"
local scheduler = require "weir.native.scheduler"
local secret = require "weir.secret"
local support = dofile "spec/lua/weir/cli/support.lua"
local tape = require "weir.port.tape"
local task = require "weir.task"
local testing = require "weir.testing"
local uv = require "luv"

local PATIENCE = 30 -- seconds

describe("a tape", function()
  local folder, path, server, asked, url

  before_each(function()
    folder, asked = support.folder(), 0
    path = folder .. "/tape.jsonl"
  end)
  after_each(function()
    if server and not server.is_closed then server:close() end
    server = nil
    support.remove(folder)
  end)

  -- `answer(send, request, number)` is called for each request, as a task of its own.
  local function serve(answer)
    server = loopback.listen(function(client)
      local text = ""
      local function send(bytes)
        if client:is_closing() then return nil end
        local waiter = scheduler.waiter()
        client:write(bytes, function(err) waiter:wake(err) end)
        return waiter:wait("a write", PATIENCE) == nil
      end
      client:read_start(function(_, bytes)
        if not bytes then return client:is_closing() or client:close() end
        text = text .. bytes
        local head, body = text:match "^(.-\r\n\r\n)(.*)$"
        local size = head and tonumber(head:match "[Cc]ontent%-[Ll]ength: (%d+)" or 0)
        if not head or #body < size then return end
        local request = text
        text, asked = "", asked + 1
        if answer(send, request, asked) == "close" and not client:is_closing() then client:close() end
      end)
    end)
    url = server.url
  end

  local function record(body)
    local own = assert(tape.recorder(path))
    local results = table.pack(tape.within(own, body))
    assert(own:close())
    return table.unpack(results, 1, results.n)
  end

  -- With the server gone, and on a virtual clock, so that the recorded times pass at once.
  local function replay(body)
    if not server.is_closed then server:close() end
    scheduler.use_virtual_clock()
    local own = assert(tape.player(path))
    local results = table.pack(pcall(tape.within, own, body))
    scheduler.use_real_clock()
    if not results[1] then error(results[2], 0) end
    return table.unpack(results, 2, results.n)
  end

  local function lines()
    local list = {}
    for line in assert(files.read(path)):gmatch "[^\n]+" do list[#list + 1] = assert(json.decode(line)) end
    return list
  end

  local function plain(status, body, headers)
    return ("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"):format(status, #body, headers or "", body)
  end

  it("answers as the server did, without a socket", function()
    serve(function(send) send(plain("201 Created", "hello", "X-One: 1\r\nX-Two: a\r\nX-Two: b\r\n")) end)
    local function ask() return http.fetch { url = url .. "/x?a=1", method = "POST", body = "what", headers = { Accept = "text/plain" } } end
    local before = record(ask)
    assert.equal(201, before.status)
    assert.same({ "a", "b" }, before.headers["x-two"])
    local after = replay(ask)
    assert.same(before, after)
    assert.equal(1, asked)
    assert.equal(tonumber("600", 8), uv.fs_stat(path).mode & 511)
  end)

  it("keeps the pieces and their times", function()
    local gates = { require("weir.gate").new(), require("weir.gate").new() }
    serve(function(send)
      send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      for index, piece in ipairs { "one", "two", "three" } do
        send(("%x\r\n%s\r\n"):format(#piece, piece))
        if gates[index] then gates[index]:wait("the reader", PATIENCE) end
      end
      send "0\r\n\r\n"
    end)
    local function pieces(on_piece)
      local response <close> = assert(http.open { url = url .. "/" })
      local list, start = {}, scheduler.now()
      for piece in function() return response:read() end do
        list[#list + 1] = piece
        on_piece(#list, scheduler.now() - start)
      end
      return list
    end
    local before = record(function()
      return pieces(function(index)
        task.sleep(0.02)
        if gates[index] then gates[index]:open() end
      end)
    end)
    assert.same({ "one", "two", "three" }, before)
    local times = {}
    assert.same(before, replay(function() return pieces(function(index, after) times[index] = after end) end))
    local body = lines()[2].body
    assert.is_true(body[3][1] - body[1][1] >= 0.04)
    assert.is_true(math.abs((times[3] - times[1]) - (body[3][1] - body[1][1])) < 0.001)
  end)

  it("gives out parts of a piece to who asks for less", function()
    serve(function(send) send(plain("200 OK", "abcdefgh")) end)
    record(function() return http.fetch { url = url .. "/" } end)
    assert.same({ "abc", "def", "gh" }, replay(function()
      local response <close> = assert(http.open { url = url .. "/" })
      local list = {}
      for piece in function() return response:read(3) end do list[#list + 1] = piece end
      return list
    end))
  end)

  it("keeps bytes that are no text, and characters that were cut", function()
    local body = "\0\255\1 \xC3"
    serve(function(send, request) send(plain("200 OK", request:match "\r\n\r\n(.*)$")) end)
    local function ask() return http.fetch({ url = url .. "/", method = "PUT", body = body }).body end
    assert.equal(body, record(ask))
    assert.equal(body, replay(ask))
  end)

  it("gives equal requests their answers in the order in which they were asked", function()
    serve(function(send, _, number) send(plain("200 OK", tostring(number))) end)
    local function ask()
      local list = {}
      for index = 1, 5 do list[index] = http.fetch({ url = url .. (index == 3 and "/other" or "/") }).body end
      return list
    end
    assert.same({ "1", "2", "3", "4", "5" }, record(ask))
    assert.same({ "1", "2", "3", "4", "5" }, replay(ask))
  end)

  it("keeps the order of those who asked side by side, whoever was answered first", function()
    local first = require("weir.gate").new()
    serve(function(send, _, number)
      if number == 1 then first:wait("the second", PATIENCE) end
      send(plain("200 OK", tostring(number)))
      if number == 2 then first:open() end
    end)
    local function ask()
      local answers, began = {}, require("weir.gate").new()
      task.within({}, function()
        scheduler.spawn(function()
          began:open()
          answers[1] = http.fetch({ url = url .. "/" }).body
        end)
        began:wait("the first", PATIENCE)
        while asked == 0 and not server.is_closed do task.sleep(0.005) end
        answers[2] = http.fetch({ url = url .. "/" }).body
      end)
      return answers
    end
    assert.same({ "1", "2" }, record(ask))
    assert.same({ 2, 1 }, { lines()[2].n, lines()[3].n })
    assert.same({ "1", "2" }, replay(ask))
  end)

  it("has fail again what failed: nobody there, a body that was cut, a limit", function()
    serve(function(send, request)
      if request:find "/cut" then
        send "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
        return "close"
      end
      send(plain("200 OK", ("x"):rep(2000)))
    end)
    local function ask()
      local said = {}
      for _, request in ipairs { { url = "http://127.0.0.1:1/none" }, { url = url .. "/cut" }, { url = url .. "/long", max_bytes = 1000 } } do
        local response, message, code = http.open(request)
        local piece
        if response then
          repeat
            piece, message, code = response:read()
            said[#said + 1] = piece
          until not piece
          response:close()
        end
        said[#said + 1] = ("%s (%s)"):format(message, code)
      end
      return said
    end
    local before = record(ask)
    assert.equal("abc", before[2])
    assert.matches("unavailable%)$", before[1])
    assert.matches("limit%)$", before[#before])
    assert.same(before, replay(ask))
  end)

  it("has stay silent what was given up, before and after its headers, until it is given up again", function()
    serve(function(send, request)
      if request:find "/silent" then return end
      send "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
    end)
    local function ask()
      local seen = {}
      for index, where in ipairs { "/silent", "/half" } do
        local ok, err = task.within({ timeout = 0.3 }, function() return http.fetch { url = url .. where } end)
        seen[index] = { ok, err.code }
      end
      return seen
    end
    local before = record(ask)
    assert.same({ { false, "timeout" }, { false, "timeout" } }, before)
    assert.same({ "closed", "closed" }, { lines()[2].finish.how, lines()[3].finish.how })
    assert.same(before, replay(ask))
    local _, message, code = replay(function() return http.fetch { url = url .. "/half", idle_timeout = 5 } end)
    assert.equal("timeout", code)
    assert.matches("GET http://127.0.0.1:%d+/half: nothing came for 5 seconds: in the recording '.*', line 3, whoever asked closed it", message)
  end)

  it("says which request it does not have, and the nearest that it has", function()
    serve(function(send) send(plain("200 OK", "")) end)
    record(function()
      http.fetch { url = url .. "/chat", method = "POST", body = '{"model":"small","text":"hello"}' }
      http.fetch { url = url .. "/list" }
    end)
    local function refusal(request)
      local answer, message, code = replay(function()
        request.url = url .. request.url
        return http.fetch(request)
      end)
      assert.is_nil(answer)
      assert.equal("conflict", code)
      return message
    end
    assert.matches("/chat: the recording '.*' does not have this request; the nearest is that of line 2: its body differs from byte 11 on: "
      .. "'{\"model\":\"small\",\"text\":\"hello\"}' was recorded, '{\"model\":\"large\",\"text\":\"hello\"}' is asked; record it again",
      refusal { url = "/chat", method = "POST", body = '{"model":"large","text":"hello"}' })
    assert.matches("GET http://127.0.0.1:%d+/lists: .* the nearest is that of line 3: it is GET http://127.0.0.1:%d+/list; record", refusal { url = "/lists" })
    assert.matches("line 2: its header accept or content%-type is another one", refusal { url = "/chat", method = "POST",
      body = '{"model":"small","text":"hello"}', headers = { Accept = "text/plain" } })
    assert.matches("has this request 1 times, and it is asked once more", select(2, replay(function()
      http.fetch { url = url .. "/list" }
      return http.fetch { url = url .. "/list", headers = { ["Idempotency-Key"] = "another" } }
    end)))
  end)

  it("writes no secret down, and needs none to answer", function()
    local value, name = require("weir.native.digest").to_hex(require("weir.native.digest").random(12)), "SPEC_TAPE_KEY"
    uv.os_setenv(name, value)
    serve(function(send, request)
      assert(request:find("Bearer " .. value, 1, true))
      send "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=kept-cookie\r\n\r\n"
      for piece in ("it is " .. value .. "."):gmatch "..?.?" do
        send(("%x\r\n%s\r\n"):format(#piece, piece))
        task.sleep(0.005)
      end
      send "0\r\n\r\n"
    end)
    local function ask()
      return http.fetch { url = url:gsub("//", "//user:kept-password@") .. "/?q=1&api_key=kept-query", body = "with " .. value, method = "POST",
        headers = { Authorization = { "Bearer ", secret.handle(name) }, ["X-Plain-Token"] = "kept-token", Accept = "a/b" } }
    end
    assert(secret.load(secret.handle(name)))
    assert.equal("it is " .. value .. ".", record(ask).body)
    local text = assert(files.read(path))
    assert.is_nil(text:find(value, 1, true))
    assert.is_nil(text:find("kept-", 1, true))
    local line = lines()[2]
    assert.equal("Bearer secret://" .. name, line.request.headers.authorization)
    assert.equal("a/b", line.request.headers.accept)
    assert.equal(("it is [secret %s]."):format(name), line.body[1][2])
    secret.forget(name)
    uv.os_unsetenv(name)
    assert.equal(("it is [secret %s]."):format(name), replay(ask).body)
  end)

  it("is one of this format, whole, or refused", function()
    local function refusal(text)
      support.write(folder, "tape.jsonl", text)
      local own, message, code = tape.player(path)
      assert.is_nil(own)
      assert.equal("invalid", code)
      return message
    end
    assert.equal("not_found", select(3, tape.player(folder .. "/none")))
    assert.matches("recording '.*', line 1: the file is empty", refusal "")
    assert.matches("line 1: this is no recording of `weir run %-%-record`", refusal '{"a":1}\n')
    assert.matches("line 1: its format is 2, known is 1", refusal '{"weir":"tape","format":2}\n')
    assert.matches("line 2: this is no whole exchange", refusal '{"weir":"tape","format":1}\n{"n":1}\n')
    assert.matches("line 2: ", refusal '{"weir":"tape","format":1}\n{"n":1,"ha')
    assert.equal("unavailable", select(3, tape.recorder(folder .. "/none/tape")))
  end)

  it("answers what a run asks in a spec, and records it there", function()
    serve(function(send, _, number) send(plain("200 OK", "answer " .. number)) end)
    local text = ([[
      local weir = require "weir"
      return weir.pipeline "asks" {
        weir.step "one" { agent = "http", input = { url = "%s/one" } },
        weir.step "two" { agent = "http", input = { url = "%s/two" } },
        output = { "$.one.body", "$.two.body" },
      }]]):format(url, url)
    local before = testing.run_text("asks.lua", text, { record = path, real_time = true })
    assert.equal("finished", before.status, before.error and before.error.message)
    server:close()
    local after = testing.run_text("asks.lua", text, { replay = path })
    assert.equal("finished", after.status, after.error and after.error.message)
    assert.same(before.output, after.output)
    local other = testing.run_text("asks.lua", (text:gsub("/two", "/three")), { replay = path })
    assert.equal("failed", other.status)
    assert.matches("/three: the recording", other.error.message)
  end)

  it("is made and read by `weir run`, which then prints the same and asks nobody", function()
    serve(function(send, _, number) send(plain("200 OK", "number " .. number)) end)
    support.write(folder, "pipelines/asks.lua", ([[
      local weir = require "weir"
      return weir.pipeline "asks" {
        weir.step "one" { agent = "http", input = { url = "%s/one" } },
        weir.step "again" { agent = "http", input = { url = "%s/one" } },
        output = { "$.one.body", "$.again.body" },
      }]]):format(url, url))
    local function run(...)
      local result = support.host({ "run", "asks", "--store", ":memory:", ... }, { cwd = folder })
      return result.status, result.stdout, result.stderr
    end
    local status, first, said = run("--record", "tape.jsonl")
    assert.equal(0, status, said)
    assert.matches("number 2", first)
    server:close()
    for _, more in ipairs { "--quiet", "--seed=1" } do
      local again, second, why = run("--replay", "tape.jsonl", more)
      assert.equal(0, again, why)
      assert.equal(first, second)
    end
    assert.equal(2, asked)
    support.write(folder, "pipelines/asks.lua", (files.read(folder .. "/pipelines/asks.lua"):gsub("again", "two"):gsub('"%$%.two%.body"', '"x"')
      :gsub('weir.step "two".-\n', "")))
    local left, _, why = run("--replay", "tape.jsonl")
    assert.equal(0, left, why)
    assert.matches("1 exchange of 2 in 'tape.jsonl' not asked for", why)
    assert.equal(2, (run("--replay", "none.jsonl")))
    assert.equal(2, (run("--replay", "tape.jsonl", "--record", "tape.jsonl")))
  end)
end)

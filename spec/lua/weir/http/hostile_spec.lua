-- Tests 88, 93 and, of 91, the paths: clients that are slow, half or hostile, and bodies and paths that are none. WEIR_HOSTILE:
-- rounds of them (default 1).

local scheduler = require "weir.native.scheduler"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local ROUNDS = math.tointeger(os.getenv "WEIR_HOSTILE") or 1
local MANY = 20 -- rounds that tell something about time and memory
local QUICK = 0.1 -- seconds within which 99 of 100 proper requests are answered meanwhile, in many rounds
local SLACK = 4 << 20 -- bytes of resident memory that the later half of many rounds may add
local AT_ONCE = ROUNDS >= MANY and 0.05 or 1 -- seconds for a refusal, the best of a few tries; the figure is for a free machine
local TRIES = 20

describe("the HTTP door and those who mean ill", function()
  local world, wires

  setup(function() world = worlds.new() end)
  teardown(function() world:close() end)
  before_each(function() wires = {} end)
  after_each(function()
    for _, one in ipairs(wires) do one:close() end
  end)

  local function headers(more)
    local all = { Host = "localhost:" .. world.door.tcp.port, Authorization = "Bearer " .. world.door.token,
      ["Content-Type"] = "application/json" }
    for name, value in pairs(more or {}) do all[name] = value end
    return all
  end

  local function connect()
    local one = wire.connect(world.door.tcp)
    wires[#wires + 1] = one
    return one
  end

  local function post(body, more)
    local one = connect()
    one:send(wire.request("POST", "/api/runs", headers(more), body))
    local answer = one:answer()
    one:close()
    return answer
  end

  local function deep(depth) return ("["):rep(depth) .. ("]"):rep(depth) end

  local function wide(count)
    local parts = {}
    for n = 1, count do parts[n] = ('"%x":1'):format(n) end
    return "{" .. table.concat(parts, ",") .. "}"
  end

  local BODIES = { -- what is in a body, what answers
    { "a key twice", '{"pipeline":"hello","pipeline":"nap"}', 400 },
    { "a byte order mark", '\239\187\191{"pipeline":"hello"}', 400 },
    { "UTF-16", ('{"pipeline":"hello"}'):gsub(".", "%0\0"), 400 },
    { "bad UTF-8", '{"pipeline":"\255\254"}', 400 },
    { "a depth of 500,000", function() return deep(500000) end, 400 },
    { "a depth of a million", function() return ("["):rep(1000000) end, 400 },
    { "a number that is none", '{"pipeline":"hello","input":{"name":NaN}}', 400 },
    { "an infinite number", '{"pipeline":"hello","input":{"name":1e999}}', 400 },
    { "a comment", '{"pipeline":"hello" /* */}', 400 },
    { "text behind it", '{"pipeline":"hello"} x', 400 },
    { "nothing", "", 400 },
    { "a list", "[1]", 422 },
    { "a text", '"hello"', 422 },
    { "null", "null", 422 },
    { "65,000 keys", function() return wide(65000) end, 422 },
    { "100,000 keys", function() return wide(100000) end, 400 },
    { "more than a mebibyte", function() return '{"pipeline":"' .. ("x"):rep(1 << 20) .. '"}' end, 413 },
    { "a form", "pipeline=hello", 415, "application/x-www-form-urlencoded" },
    { "parts", "--x\r\n\r\n{}\r\n--x--", 415, "multipart/form-data; boundary=x" },
    { "another charset", '{"pipeline":"hello"}', 415, "application/json; charset=utf-16" },
  }

  for _, case in ipairs(BODIES) do
    it(("refuses a body that is %s"):format(case[1]), function()
      local body = type(case[2]) == "function" and case[2]() or case[2]
      local expected = body == "" and 422 or case[3] -- without a body nothing is read, and the pipeline is missing
      local best, try = math.huge, 0
      repeat
        local from = scheduler.now()
        local answer = post(body, { ["Content-Type"] = case[4] })
        best, try = math.min(best, scheduler.now() - from), try + 1
        assert.equal(expected, answer.status, answer.body)
      until best <= AT_ONCE or try == TRIES
      assert.is_true(best <= AT_ONCE, ("%.0f ms"):format(1000 * best))
    end)
  end

  local PATHS = { "/api/runs/../../etc/passwd", "/api/runs/%2e%2e", "/api/runs/%2e%2e/journal", "/api/workspace/project/..", "//api/runs",
    "/api/pipelines/..%2f..%2fetc%2fpasswd", "/api/pipelines/%2fetc%2fpasswd", "/api/pipelines/hello.lua", "/api/pipelines/hello%00",
    "/api/modules/agent/..%2fx", "/api/runs/%", "/api/runs/%zz", "/api/runs/a%00b", "/api/workspace/project/a%00b", "/api/runs/\\..\\x",
    "/api/runs/%c0%ae%c0%ae", "/api/runs/.", "/hooks/..", "/api/./runs", "/api/runs/", "http://evil.example/api/runs", "*",
    "/" .. ("a/"):rep(40), "/api/pipelines/.%2e", "/console/..%2f..%2fweir.lua", "/console/../../etc/passwd", "/console/pages/..%2fmain.js", "/console/%00",
    "/console/.", "/api/runs?limit=%", "/api/runs?limit=1%00" }

  for _, path in ipairs(PATHS) do
    it(("gives nothing for the path %q"):format(path:sub(1, 60)), function()
      local one = connect()
      one:send(wire.request("GET", path, headers { ["Content-Type"] = false }))
      local answer = one:answer()
      assert.is_true(answer == nil or answer.status >= 400 and answer.status < 500, answer and answer.status)
      assert.is_nil(answer and answer.body:find "root:")
    end)
  end

  local TROUBLE = { -- what a client sends, and then leaves
    "", -- nothing: half-open
    function() return wire.request("POST", "/api/runs", headers { ["Content-Length"] = "100000" }) end, -- no body follows
    "POST /api/runs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "GET /api/runs HTTP/1.1\r\nHost: a\r\nX-Slow: ", -- goes on byte by byte
    "GET /api/runs HTTP/1.1\r\nHost: a\r\n" .. ("A: b\r\n"):rep(100000) .. "\r\n",
    function() return wire.request("GET", "/api/runs?limit=1", headers { ["Content-Type"] = false }):rep(50) end,
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /api/runs HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
  }
  local SLOW = 4

  -- So many of each, and those of them that send byte by byte.
  local function trouble(count)
    local slow = {}
    for _ = 1, count do
      for kind, bytes in ipairs(TROUBLE) do
        local one = connect()
        one:send(type(bytes) == "function" and bytes() or bytes)
        if kind == SLOW then slow[#slow + 1] = one end
      end
    end
    return slow
  end

  it("answers one who asks properly while many send slowly, half, too much or nothing", function()
    local took, memory = {}, {}
    for round = 1, ROUNDS do
      local slow = trouble(2)
      for _ = 1, 20 do
        local from = scheduler.now()
        assert.equal(200, world:ask("GET", "/api/runs?limit=1").status)
        took[#took + 1] = scheduler.now() - from
        for _, one in ipairs(slow) do one:send "c" end
      end
      for _, one in ipairs(wires) do one:close() end
      wires = {}
      assert.is_true(wire.eventually(function() return world.door.tcp:stats() == 0 end))
      collectgarbage()
      collectgarbage()
      memory[round] = uv.resident_set_memory()
    end
    if ROUNDS < MANY then return end
    table.sort(took)
    local late, more = took[#took * 99 // 100], memory[ROUNDS] - memory[ROUNDS // 2]
    print(("hostile_spec: %d requests, 99 of 100 answered within %.1f ms; %d KiB more in the later half of %d rounds"):format(#took,
      1000 * late, more // 1024, ROUNDS))
    assert.is_true(late <= QUICK)
    assert.is_true(more <= SLACK)
  end)

  it("gives back the memory of ten thousand requests that were refused", function()
    local bodies = { '{"pipeline":"hello","pipeline":"x"}', '{"pipeline":3}', "[", '{"pipelin":"hello"}' }
    local function round(count)
      local one = connect()
      for n = 1, count do
        one:send(wire.request("POST", "/api/runs", headers(), bodies[n % 4 + 1]))
        assert.is_true(one:answer().status >= 400)
      end
      one:close()
      collectgarbage()
      collectgarbage()
      return scheduler.stats().memory_bytes
    end
    round(1000)
    local before = round(1000)
    assert.is_true(round(8000) - before < 1 << 20)
  end)

  it("begins no stream for HEAD, and takes no body where none belongs", function()
    local one = connect()
    one:send(wire.request("HEAD", "/api/events", headers { ["Content-Type"] = false }))
    local answer = one:answer(true)
    assert.same({ 200, "text/event-stream" }, { answer.status, answer.headers["content-type"] })
    one:close()
    assert.is_true(wire.eventually(function() return next(world.door.streams) == nil end))
    local other = connect()
    other:send(wire.request("GET", "/api/runs", headers(), "{}"))
    assert.equal(415, other:answer().status)
    other:send(wire.request("GET", "/api/runs", headers { ["Content-Type"] = false }))
    assert.equal(200, other:answer().status)
  end)

  it("cuts nobody's requests together: each answer belongs to its question", function()
    local one = connect()
    local parts = {}
    for n = 1, 50 do parts[n] = wire.request("GET", "/api/workspace/project/n" .. n, headers { ["Content-Type"] = false }) end
    one:send(table.concat(parts))
    for n = 1, 50 do assert.matches("'n" .. n .. "'", one:answer().body) end
  end)
end)

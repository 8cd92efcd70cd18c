-- Test 85: who may use the HTTP door. WEIR_CELLS: every n-th cell of the matrix of hosts, origins, tokens, methods and paths
-- is asked for (default 37; 1 is all of them).

local access = require "weir.http.access"
local http = require "weir.http"
local matrix = require "spec.lua.weir.http.matrix"
local system = require "weir.port.system"
local tokens = require "weir.http.tokens"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local HOSTS = { -- with PORT in the place of the port
  { "127.0.0.1:PORT", true }, { "localhost:PORT", true }, { "LocalHost:PORT", true }, { "[::1]:PORT", true },
  { "weir.example:PORT", true }, -- allowed by the options
  { "127.0.0.1", false }, { "localhost", false }, { "localhost:1", false }, { "evil.example", false }, { "evil.example:PORT", false },
  { "localhost.evil.example:PORT", false }, { "127.0.0.1.nip.example:PORT", false }, { "127.0.0.2:PORT", false }, { "0.0.0.0:PORT", false },
  { "2130706433:PORT", false }, { "127.1:PORT", false }, { "localhost.:PORT", false }, { "user@localhost:PORT", false },
  { "localhost:PORT:80", false }, { "", false },
}

local ORIGINS = {
  { false, true }, { "http://localhost:PORT", true }, { "http://127.0.0.1:PORT", true }, { "https://console.example", true },
  { "null", false }, { "http://evil.example", false }, { "https://localhost:PORT", false }, { "http://localhost", false },
  { "http://localhost:PORT.evil.example", false }, { "file://", false },
}

-- What each role of a token may do, said once more in other words than the door's.
local MAY = { read = "read", run = "read run", decide = "read decide", admin = "read run decide admin" }

local METHODS = { "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE" }
local STRIDE = math.tointeger(os.getenv "WEIR_CELLS") or 37 -- a prime, so that every value of every axis has its turn

local function path_of(pattern)
  return (pattern:gsub("{id}", "r_00000000000000000000"):gsub("{scope}", "project"):gsub("{%w+}", "nobody"))
end

describe("who may use the HTTP door", function()
  local world, by_role, folder, before

  local function state_of_store()
    local entries = world.host.store:stats()
    return entries.entries + entries.bytes
  end

  setup(function()
    folder = system.temporary_folder "weir-tokens"
    local path = folder .. "/tokens"
    by_role = {}
    for _, role in ipairs { "read", "run", "decide", "admin" } do by_role[role] = tokens.add(path, role .. "er", role) end
    world = worlds.new { tokens = path, hosts = { "weir.example:0" }, origins = { "https://console.example" } }
    for name in pairs(HOSTS) do HOSTS[name][1] = HOSTS[name][1]:gsub("PORT", world.door.tcp.port) end
    for name in pairs(ORIGINS) do ORIGINS[name][1] = ORIGINS[name][1] and ORIGINS[name][1]:gsub("PORT", world.door.tcp.port) end
  end)
  teardown(function()
    world:close()
    os.remove(folder .. "/tokens")
    uv.fs_rmdir(folder)
  end)
  before_each(function() before = state_of_store() end)

  -- One connection for many requests: what is refused keeps it, but for what is no HTTP.
  local function asker()
    local one = wire.connect(world.door.tcp)
    return function(method, path, headers, body, type)
      if one.ended or one.socket:is_closing() then one = wire.connect(world.door.tcp) end
      if body then headers["Content-Type"] = type or "application/json" end
      one:send(wire.request(method, path, headers, body))
      one:until_(function(bytes) return bytes:find("\r\n\r\n", 1, true) end)
      local answer = one:answer()
      if answer and (answer.headers.connection or ""):lower() == "close" then
        one:close()
        one = wire.connect(world.door.tcp)
      end
      return answer, function() one:close() end
    end
  end

  local function host() return "localhost:" .. world.door.tcp.port end

  it("lists every route in the matrix, and nothing else", function()
    local known, open = {}, {}
    for _, row in ipairs(matrix) do known[#known + 1] = ("%s %s %s"):format(row[1], row[2], row[3]) end
    for _, route in ipairs(http.routes()) do open[#open + 1] = ("%s %s %s"):format(route.method, route.path, route.role) end
    table.sort(known)
    table.sort(open)
    assert.same(known, open)
  end)

  it("answers under the allowed hosts to the allowed origins only, on every route", function()
    local ask = asker()
    HOSTS[5][1] = "weir.example:0"
    for _, row in ipairs(matrix) do
      for _, name in ipairs(HOSTS) do
        for _, origin in ipairs(name[2] and ORIGINS or { ORIGINS[1], ORIGINS[2] }) do
          local answer = ask(row[1], path_of(row[2]), { Host = name[1], Origin = origin[1] or nil }, row.body, row.type)
          local cell = ("%s %s, Host %s, Origin %s: %s"):format(row[1], row[2], name[1], tostring(origin[1]), answer and answer.status)
          local admitted = name[2] and origin[2]
          if not name[2] then
            assert.equal(421, answer.status, cell)
          elseif not admitted then
            assert.equal(403, answer.status, cell)
          else
            assert.is_true(answer.status ~= 421 and answer.status ~= 403, cell)
          end
          assert.is_nil(answer.headers["access-control-allow-origin"], cell)
          assert.is_nil(answer.headers["set-cookie"], cell)
        end
      end
    end
    assert.equal(before, state_of_store())
  end)

  it("lets each token do what its role may, on every route, and nobody without one", function()
    local ask = asker()
    local states = { { nil, nil }, { "Bearer nonsense", nil }, { "Basic " .. by_role.admin, nil }, { by_role.admin, nil } }
    for role, token in pairs(by_role) do states[#states + 1] = { "Bearer " .. token, role } end
    for _, row in ipairs(matrix) do
      if not row.streams then
        for _, state in ipairs(states) do
          local answer = ask(row[1], path_of(row[2]), { Host = host(), Authorization = state[1] }, row.body, row.type)
          local cell = ("%s %s with %s: %d"):format(row[1], row[2], state[2] or "no token", answer.status)
          local may = row[3] == "public" or row[3] == "signed" or state[2] and MAY[state[2]]:find(row[3], 1, true) ~= nil
          if not may and not state[2] then
            assert.equal(401, answer.status, cell)
            assert.matches("Bearer", answer.headers["www-authenticate"])
          elseif not may then
            assert.equal(403, answer.status, cell)
          else
            assert.is_true(answer.status ~= 401 and answer.status ~= 403, cell)
          end
        end
      end
    end
  end)

  -- Methods and roles of each path.
  local function by_path()
    local paths, of = {}, {}
    for _, row in ipairs(matrix) do
      if not of[row[2]] then
        of[row[2]] = { path = path_of(row[2]), methods = {} }
        paths[#paths + 1] = of[row[2]]
      end
      of[row[2]].methods[row[1]] = row
    end
    return paths
  end

  -- What answers in a cell: a status, or nil where anything but a refusal of the door may.
  local function verdict(cell)
    if not cell.host[2] then return 421 end
    if not cell.origin[2] then return 403 end
    local row = cell.path.methods[cell.method]
    local role = row and row[3]
    if role == "public" or role == "signed" then return nil end
    if not cell.role then return 401 end
    if not role then return 405 end
    if not MAY[cell.role]:find(role, 1, true) then return 403 end
    return nil
  end

  local function each_cell(visit)
    local states = { { nil }, { "Bearer weir_nonsense" }, { "Bearer " .. by_role.read, "read" }, { "Bearer " .. by_role.admin, "admin" } }
    local number = 0
    for _, path in ipairs(by_path()) do
      for _, method in ipairs(METHODS) do
        for _, name in ipairs(HOSTS) do
          for _, origin in ipairs(ORIGINS) do
            for _, state in ipairs(states) do
              number = number + 1
              if number % STRIDE == 0 then
                visit { path = path, method = method, host = name, origin = origin, token = state[1], role = state[2] }
              end
            end
          end
        end
      end
    end
  end

  it("lets pass the allowed cells only, of all hosts, origins, tokens, methods and paths together", function()
    local ask, refused, passed = asker(), 0, 0
    HOSTS[5][1] = "weir.example:0"
    local function look(is_pass)
      each_cell(function(cell)
        local wanted = verdict(cell)
        local row = cell.path.methods[cell.method]
        if (wanted == nil) ~= is_pass or is_pass and row.streams then return end
        local answer = ask(cell.method, cell.path.path, { Host = cell.host[1], Origin = cell.origin[1] or nil, Authorization = cell.token },
          row and row.body)
        local status = answer and answer.status
        local is_right = wanted == status or is_pass and status ~= 401 and status ~= 403 and status ~= 405 and status ~= 421
        assert(is_right, ("%s %s, Host %s, Origin %s, %s: %s"):format(cell.method, cell.path.path, cell.host[1], cell.origin[1],
          cell.role or cell.token or "no token", status))
        if is_pass then passed = passed + 1 else refused = refused + 1 end
      end)
    end
    look(false)
    assert.equal(before, state_of_store())
    look(true)
    assert.is_true(passed > 1000 // STRIDE and refused > 100000 // STRIDE, ("%d passed, %d refused"):format(passed, refused))
    if STRIDE == 1 then print(("access_spec: %d cells passed, %d refused"):format(passed, refused)) end
  end)

  it("takes the methods that a path has, says which those are, and tells nobody without a token of paths", function()
    local ask, taken = asker(), {}
    for _, row in ipairs(matrix) do
      taken[row[2]] = taken[row[2]] or {}
      taken[row[2]][row[1]] = true
    end
    for pattern, methods in pairs(taken) do
      for _, method in ipairs(METHODS) do
        if not methods[method] then
          local answer = ask(method, path_of(pattern), { Host = host(), Authorization = "Bearer " .. by_role.admin })
          assert.equal(405, answer.status, method .. " " .. pattern)
          for own in pairs(methods) do assert.matches(own, answer.headers.allow) end
          assert.equal(401, ask(method, path_of(pattern), { Host = host() }).status)
        end
      end
    end
    assert.equal(401, ask("GET", "/api/nothing", { Host = host() }).status)
    assert.equal(404, ask("GET", "/api/nothing", { Host = host(), Authorization = "Bearer " .. by_role.read }).status)
    assert.equal(before, state_of_store())
  end)

  it("changes nothing for a page of another site: forms, texts that are JSON, preflights", function()
    local ask = asker()
    local function page(method, kind, headers)
      headers.Host = host()
      headers["Content-Type"] = kind
      return ask(method, "/api/runs", headers, nil)
    end
    for _, origin in ipairs { "http://evil.example", "null" } do
      assert.equal(403, page("POST", "text/plain", { Origin = origin }).status)
      assert.equal(403, page("OPTIONS", nil, { Origin = origin, ["Access-Control-Request-Method"] = "POST" }).status)
    end
    local authorized = "Bearer " .. by_role.admin
    for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx" } do
      local one = wire.connect(world.door.tcp)
      one:send(wire.request("POST", "/api/runs", { Host = host(), Authorization = authorized, ["Content-Type"] = kind }, '{"pipeline":"hello"}'))
      assert.equal(415, one:answer().status, kind)
      one:close()
    end
    assert.equal(before, state_of_store())
  end)

  it("has no two tokens in one request, and none that is longer than any", function()
    local ask = asker()
    assert.equal(401, ask("GET", "/api/runs", { Host = host(), Authorization = "Bearer " .. ("x"):rep(10000) }).status)
    local one = wire.connect(world.door.tcp)
    local line = "Authorization: Bearer " .. by_role.admin .. "\r\n"
    one:send("GET /api/runs HTTP/1.1\r\nHost: " .. host() .. "\r\n" .. line .. line .. "\r\n")
    assert.equal(401, one:answer().status)
    one:close()
  end)

  it("keeps no token in its file, only salted digests, which nobody else may read", function()
    local file = assert(io.open(folder .. "/tokens"))
    local text = file:read "a"
    file:close()
    for _, token in pairs(by_role) do
      assert.is_nil(text:find(token, 1, true))
      assert.is_nil(text:find(token:sub(6, 20), 1, true))
    end
    assert.equal("600", ("%o"):format(uv.fs_stat(folder .. "/tokens").mode & 511))
  end)

  describe("at the start", function()
    local function refused(options)
      return worlds.refusal(worlds.new, options)
    end

    it("refuses a file of tokens that others may read, a link to one, and one it does not understand", function()
      local path = folder .. "/seen"
      tokens.add(path, "ada", "admin")
      uv.fs_chmod(path, tonumber("644", 8))
      local err = refused { tokens = path }
      assert.equal("denied", err.code)
      assert.matches("may be read by others", err.message)
      uv.fs_chmod(path, tonumber("600", 8))
      assert(uv.fs_symlink(path, folder .. "/link"))
      assert.equal("denied", refused({ tokens = folder .. "/link" }).code)
      local file = assert(io.open(path, "a"))
      file:write "bob everything 00 00\n"
      file:close()
      assert.matches("seen:2", refused({ tokens = path }).message)
      os.remove(path)
      os.remove(folder .. "/link")
    end)

    it("refuses an address that others reach while there is no token", function()
      for _, address in ipairs { "0.0.0.0:0", "[::]:0", "10.0.0.1:0" } do
        local err = refused { listen = address }
        assert.equal("denied", err.code)
        assert.matches("no token", err.message)
      end
      local open = worlds.new { listen = "0.0.0.0:0", tokens = folder .. "/tokens" }
      assert.is_nil(open.door.token)
      assert.equal(421, open:ask("GET", "/api/runs", nil, { Authorization = "Bearer " .. by_role.read }).status)
      open:close()
    end)

    it("makes a token for this process alone when there is none on this machine's own address", function()
      local own = worlds.new()
      assert.equal(401, own:ask("GET", "/api/runs", nil, { Authorization = false }).status)
      assert.equal(200, own:ask("GET", "/api/runs").status)
      own:close()
    end)

    it("refuses an address that is none", function()
      for _, text in ipairs { "localhost", "127.0.0.1", "127.0.0.1:99999", "example.org:80", "::1:80" } do
        assert.equal("invalid", refused({ listen = text }).code, text)
      end
    end)
  end)

  it("lets the owner of the Unix socket do everything without a token", function()
    local own = worlds.new { listen = false, socket = true }
    assert.equal(200, own:ask("GET", "/api/runs", nil, { Host = "anything" }).status)
    assert.equal(200, own:ask("POST", "/api/runs?wait=30s", { pipeline = "hello" }, { Host = "anything" }).status)
    own:close()
  end)

  it("refuses somebody else on the Unix socket", function()
    local stranger = { peer = function() return { uid = uv.getuid() + 1 } end, header = function() end }
    local ok, raised = pcall(function() access.owner():admit(stranger) end)
    assert.same({ false, 403 }, { ok, raised.status })
    local nobody = { peer = function() return {} end, header = function() end }
    assert.is_false((pcall(function() access.owner():admit(nobody) end)))
  end)
end)

-- Test 94: random values stand where secrets stand (in the environment, in headers, in urls, in what agents log) while a
-- host works, refuses, fails and crashes. Afterwards none of them is in any page of its store, in its log, in what its children
-- were given, or in a file that it left. What a step returns, or raises in its own words, is kept as it is.

local digest = require "weir.native.digest"
local files = require "weir.port.files"
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"
local wire = require "spec.lua.weir.http.wire"

local NAMES = { "API_KEY_%d", "OWN_TOKEN_%d", "HOOK_SECRET_%d", "DB_PASSWORD_%d", "CLOUD_CREDENTIAL_%d" }
local EACH = 6      -- of each name in the environment
local IN_HEADERS = 20 -- of requests that are refused

local LEAKY = [[
local weir = require "weir"
return weir.pipeline "leaky" {
  weir.step "child" { agent = "command", options = { args = { "cat", "/proc/self/environ" } } },
  weir.step "talk" { agent = "talk" },
  weir.step "ask" { agent = "ask", optional = true },
  weir.step "crash" { agent = "command", options = { args = { "sh", "-c", "kill -SEGV $$" } }, optional = true },
  weir.step "plain" { agent = "echo", input = "a marker that is no secret" },
  output = "$.child.stdout",
}
]]
local SECRETS = [[
local list = {}
for _, name in ipairs { "API_KEY_", "OWN_TOKEN_", "HOOK_SECRET_", "DB_PASSWORD_", "CLOUD_CREDENTIAL_" } do
  for number = 1, EACH do list[#list + 1] = os.getenv(name .. number) or error "it is not set" end
end
return list
]]
-- Says them all, in texts and fields.
local TALK = [[
local secrets = require "lib.secrets"
return { kind = "agent", name = "talk", api = 1, execute = function(ctx)
  for number, secret in ipairs(secrets) do
    ctx:log("info", "with " .. secret, { header = "Bearer " .. secret, list = { secret } })
    if number % 5 == 0 then print("printed", secret) end
  end
  return #secrets
end }
]]
-- Sends them all to where nobody listens; why that failed is kept.
local ASK = [[
local secrets = require "lib.secrets"
return { kind = "agent", name = "ask", api = 1, execute = function(ctx)
  local last
  for _, secret in ipairs(secrets) do
    local _, message = ctx:http { url = ("http://user:%s@127.0.0.1:1/x?key=%s#%s"):format(secret, secret, secret),
      headers = { Authorization = "Bearer " .. secret, Cookie = secret }, body = secret }
    last = message
    ctx:log("warn", message)
  end
  error(last, 0)
end }
]]

describe("values that stand where secrets stand", function()
  local folder, host, said, canaries, env, door

  local function canary()
    local text = digest.to_hex(digest.random(16))
    canaries[#canaries + 1] = text
    return text
  end

  setup(function()
    folder, canaries, env, said = support.folder(), {}, {}, {}
    for number = 1, EACH do
      for _, name in ipairs(NAMES) do env[name:format(number)] = canary() end
    end
    support.write(folder, "weir.lua", [[return { listen = "127.0.0.1:0", log = "debug",
      hooks = { shop = { scheme = "github", secret = "env:HOOK_SECRET_1" } } }]])
    support.write(folder, "pipelines/leaky.lua", LEAKY)
    support.write(folder, "lib/secrets.lua", (SECRETS:gsub("EACH", EACH)))
    support.write(folder, "modules/agents/talk.lua", TALK)
    support.write(folder, "modules/agents/ask.lua", ASK)
    host = support.start({ "serve", "--json" }, { cwd = folder, env = env })
    local line = assert(support.read_until(host.stdout, "\n"))
    door = { port = math.tointeger(tonumber(json.decode(line).url:match ":(%d+)$")) }
  end)

  teardown(function()
    host:kill "sigkill"
    host:close()
    support.remove(folder)
  end)

  local function drain()
    for piece in function() return host.stderr:recv() end do said[#said + 1] = piece end
    for piece in function() return host.stdout:recv() end do said[#said + 1] = piece end
  end

  -- Where in a text one of them stands.
  local function find(where, text)
    for number, secret in ipairs(canaries) do
      local at = text:find(secret, 1, true)
      if at then return ("%s: value %d at byte %d"):format(where, number, at) end
    end
  end

  it("reach no child, no log, no page of the store and no file, although the host fails and crashes", function()
    local run = support.host({ "run", "leaky", "--json" }, { cwd = folder })
    assert.equal(0, run.status, run.stdout .. run.stderr)
    assert.is_nil(find("the child's environment", support.lines(run.stdout)[1].output))
    for number = 1, IN_HEADERS do
      local secret, name = canary(), "localhost:" .. door.port
      local answer = wire.ask(door, "GET", "/api/runs", { Host = name, Authorization = "Bearer " .. secret })
      assert.equal(401, answer.status)
      assert.is_nil(find("an answer", answer.body))
      answer = wire.ask(door, "POST", "/hooks/shop", { Host = name, ["Content-Type"] = "application/json", ["X-GitHub-Delivery"] = tostring(number),
        ["X-Hub-Signature-256"] = "sha256=" .. secret .. secret }, "{}")
      assert.equal(401, answer.status)
      assert.is_nil(find("an answer", answer.body))
    end
    assert.is_true(#canaries >= 50, #canaries)
    host:kill "sigabrt"
    drain()
    assert.is_true(host:wait(20).signal ~= nil)
    local log = table.concat(said)
    assert.is_nil(find("the log", log))
    local has_marker = false
    for _, name in ipairs(assert(files.list(folder, { recursive = true, hidden = true }))) do
      assert.is_nil(name:find "core[.%d]*$", name)
      local text = assert(files.read(folder .. "/" .. name))
      assert.is_nil(find(name, text))
      if name:find "data%.mdb$" and text:find("a marker that is no secret", 1, true) then has_marker = true end
    end
    assert.is_true(has_marker, "the store was not looked at")
    assert.matches("run finished", log)
  end)
end)

-- Test 94: fifty random values are secrets of a project, of variables, files and commands. A server that is asked with them
-- sends each of them back, and a pipeline does with the answers all that it can: returns them, passes them on, raises, logs,
-- prints, publishes and keeps them as documents. The host is killed in the middle, and another one goes on. None of the values
-- is then in any byte of the store, in a log, in anything that was printed, or in the environment of a child; the name of each
-- is, in its place, and so is a value that is no secret.

local digest = require "weir.native.digest"
local files = require "weir.port.files"
local gate = require "weir.gate"
local loopback = dofile "spec/loopback.lua"
local scheduler = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"
local uv = require "luv"

local VARIABLES, FILES, COMMANDS = 20, 20, 10
local COUNT = VARIABLES + FILES + COMMANDS
local PATIENCE = 30 -- seconds

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "leaky" {
  input = { given = "string[]" },
  weir.step "control" { agent = "echo", input = "CONTROL" },
  weir.step "ask" { agent = "ask" },
  weir.step "arguments" { agent = "echo", input = { nested = { list = "$.ask", first = "$.ask[0]" } } },
  weir.step "use" { agent = "use", input = { bodies = "$.ask" } },
  weir.step "fail" { agent = "fail", input = { bodies = "$.ask" }, optional = true },
  weir.step "child" { agent = "command", options = { args = { "sh", "-c", "cat /proc/self/environ" } } },
  weir.step "hang" { agent = "hang" },
  output = { bodies = "$.ask", child = "$.child.stdout" },
}
]]
local ASK = [[
return { kind = "agent", name = "ask", api = 1, execute = function(ctx)
  local bodies = {}
  for number = 1, COUNT do
    local handle = ctx:secret("canary_" .. number)
    local answer, message, code = ctx:http { url = "URL", headers = { Authorization = { "Bearer ", handle }, ["X-Key"] = handle } }
    if not answer then return nil, message, code end
    bodies[number] = answer.body
  end
  return bodies
end }
]]
local USE = [[
return { kind = "agent", name = "use", api = 1, execute = function(ctx, input)
  local last
  for number, body in ipairs(input.bodies) do
    ctx:log("info", "it is " .. body, { field = body, list = { body } })
    print("printed", body)
    ctx:publish { type = "leak", data = { body = body } }
    ctx.workspace:post("document-" .. number, { body = body, more = ("x"):rep(5000) })
    ctx.memory["body" .. number] = body
    ctx:emit(body)
    local _, message = ctx:http { url = ("http://user:%s@127.0.0.1:1/%s?key=%s"):format(body, body, body), headers = { ["X-Key"] = body } }
    last = message
    ctx:log("warn", message)
  end
  return last
end }
]]
local FAIL = [[
return { kind = "agent", name = "fail", api = 1, execute = function(_, input)
  error("it was " .. table.concat(input.bodies, ", "), 0)
end }
]]
-- In its first life it waits for its end; in the next one it finds the file.
local HANG = [==[
return { kind = "agent", name = "hang", api = 1, execute = function(ctx)
  local seen = ctx:process { "test", "-e", "FOLDER/ready" }
  if seen.status ~= 0 then ctx:process { "sh", "-c", [[
    cat /proc/self/environ > FOLDER/environ
    echo $$ > FOLDER/new
    mv FOLDER/new FOLDER/ready
    exec sleep 120
  ]] } end
  return "done"
end }
]==]

describe("the values of secrets", function()
  local folder, server, host, canaries, env, control, said

  local function random() return digest.to_hex(digest.random(16)) end

  -- Sends back what it was asked with.
  local function echo_server()
    server = loopback.listen(function(client)
      local text = ""
      client:read_start(function(_, bytes)
        if not bytes then return client:is_closing() or client:close() end
        text = text .. bytes
        if not text:find "\r\n\r\n$" or client:is_closing() then return end
        local key = text:match "\r\nX%-Key: ([^\r\n]*)"
        text = ""
        client:write(("HTTP/1.1 200 OK\r\nX-Back: %s\r\nContent-Length: %d\r\n\r\n%s"):format(key, #key, key))
      end)
    end)
    return server.url .. "/"
  end

  local function settings()
    local sources = {}
    for number = 1, COUNT do
      canaries[number] = random()
      local name, source = "canary_" .. number
      if number <= VARIABLES then
        env["SPEC_PLAIN_" .. number] = canaries[number]
        source = ('{ env = "SPEC_PLAIN_%d" }'):format(number)
      else
        support.write(folder, "keys/" .. name, canaries[number] .. "\n")
        uv.fs_chmod(folder .. "/keys/" .. name, 384)
        local file = ("keys/%s"):format(name)
        source = number <= VARIABLES + FILES and ('{ file = "%s" }'):format(file) or ('{ command = { "cat", "%s" } }'):format(file)
      end
      sources[number] = ("%s = %s"):format(name, source)
    end
    return ('return { listen = false, log = "debug", secrets = {\n%s } }'):format(table.concat(sources, ",\n"))
  end

  setup(function()
    folder, canaries, env, control, said = support.folder(), {}, {}, random(), {}
    local url = echo_server()
    support.write(folder, "weir.lua", settings())
    support.write(folder, "pipelines/leaky.lua", (PIPELINE:gsub("CONTROL", control)))
    support.write(folder, "modules/agents/ask.lua", (ASK:gsub("COUNT", COUNT):gsub("URL", url)))
    support.write(folder, "modules/agents/use.lua", USE)
    support.write(folder, "modules/agents/fail.lua", FAIL)
    support.write(folder, "modules/agents/hang.lua", (HANG:gsub("FOLDER", folder)))
    host = support.start({ "serve", "--json" }, { cwd = folder, env = env })
    assert(support.read_until(host.stdout, "\n"))
  end)

  teardown(function()
    host:close()
    server:close()
    support.remove(folder)
  end)

  local function find(where, text)
    for number, value in ipairs(canaries) do
      local at = text:find(value, 1, true)
      if at then return ("%s: value %d at byte %d: %s"):format(where, number, at, text:sub(math.max(1, at - 60), at)) end
    end
  end

  local function say(where, text)
    said[#said + 1] = text
    assert.is_nil(find(where, text))
  end

  -- Reads a channel to its end beside the spec, so that nobody waits for a reader; gives what says it when it has ended.
  local function collect(where, channel)
    local parts, ended = {}, gate.new()
    scheduler.spawn(function()
      for piece in function() return channel:recv() end do parts[#parts + 1] = piece end
      ended:open()
    end)
    return function()
      assert(ended:wait(where, PATIENCE))
      say(where, table.concat(parts))
    end
  end

  local function await_file(path)
    local deadline = uv.hrtime() + PATIENCE * 1e9
    while not uv.fs_stat(path) do
      if uv.hrtime() > deadline then return nil end
      task.sleep(0.01)
    end
    return files.read(path)
  end

  local function given()
    local list = {}
    for number = 1, VARIABLES + FILES do list[number] = ('"given %s"'):format(canaries[number]) end
    return ('{"given":[%s]}'):format(table.concat(list, ","))
  end

  it("reach no store, log, print, message or child, although they are sent back and the host is killed", function()
    support.write(folder, "keys/input", given())
    local client = support.start({ "run", "leaky", "--input", "@keys/input", "--json" }, { cwd = folder })
    local outputs = { collect("the log", host.stderr), collect("what the host prints", host.stdout),
      collect("what the client prints", client.stdout), collect("what the client says", client.stderr) }
    local child = math.tointeger(tonumber(assert(await_file(folder .. "/ready"))))
    local environ = assert(files.read(folder .. "/environ"))
    assert.is_truthy(environ:find("PATH=", 1, true))
    assert.is_nil(find("the environment of a child", environ))
    host:kill "sigkill"
    host:wait(PATIENCE)
    uv.kill(child, "sigkill")
    for _, done in ipairs(outputs) do done() end
    client:close()
    local resumed = support.host({ "resume", "last", "--json" }, { cwd = folder, env = env })
    assert.equal(0, resumed.status, resumed.stdout .. resumed.stderr)
    for _, command in ipairs { { "show", "last" }, { "show", "last", "--json" }, { "trace", "last" }, { "workspace", "list" }, { "runs" },
      { "export", "last" }, { "config" }, { "doctor" } } do
      local result = support.host(command, { cwd = folder, env = env })
      say(table.concat(command, " "), result.stdout .. result.stderr)
    end
    say("the resumed run", resumed.stdout .. resumed.stderr)
    local log, store = table.concat(said), ""
    for _, name in ipairs(assert(files.list(folder, { recursive = true, hidden = true }))) do
      if not name:find "^keys/" then
        local text = assert(files.read(folder .. "/" .. name))
        assert.is_nil(find(name, text))
        if name:find "data%.mdb$" then store = text end
      end
    end
    assert.is_truthy(store:find(control, 1, true), "the store was not looked at")
    assert.is_truthy(log:find(control, 1, true), "what was printed was not looked at")
    for number = 1, COUNT do
      local mask = ("[secret canary_%d]"):format(number)
      assert.is_truthy(store:find(mask, 1, true), mask)
      assert.is_truthy(log:find("it is " .. mask, 1, true), mask)
    end
    assert.is_truthy(find("a key", assert(files.read(folder .. "/keys/canary_" .. COUNT)))) -- the search finds what is there
  end)
end)

local client_of = require "weir.mcp.client"
local json = require "weir.native.json"
local process = require "weir.port.process"
local support = dofile "spec/lua/weir/mcp/support.lua"
local task = require "weir.task"
local uv = require "luv"

local PEERS = os.getenv "WEIR_PEERS" or (os.getenv "HOME" or "") .. "/.cache/weir/peers"
local EVERYTHING = PEERS .. "/node_modules/@modelcontextprotocol/server-everything/dist/index.js"

local function missing()
  for _, name in ipairs { "server", "server-everything" } do
    local path = PEERS .. "/node_modules/@modelcontextprotocol/" .. name
    if not uv.fs_stat(path) then return ("no @modelcontextprotocol/%s; .ci/peers installs it"):format(name) end
  end
  local found = process.run({ "node", "--version" }, {})
  if not found or found.status ~= 0 then return "no node" end
end

local why = missing()
local function it_works(title, body)
  if why then return pending(("%s (%s)"):format(title, why)) end
  it(title, body)
end

-- A port on which nobody listens.
local function free_port()
  local tcp = uv.new_tcp()
  assert(tcp:bind("127.0.0.1", 0))
  local port = tcp:getsockname().port
  tcp:close()
  return port
end

local function text_of(result, message)
  assert(result, message)
  return result.content[1].text
end

describe("the mcp client", function()
  local client, child

  after_each(function()
    if client then client:close() end
    if child then child:close() end
    client, child = nil, nil
  end)

  local function open(settings, callbacks)
    settings.open_timeout, callbacks = 60, callbacks or {}
    callbacks.name = "peer"
    client = assert(client_of.open(settings, callbacks))
  end

  -- A server over HTTP in a process of its own, once it listens.
  local function listen(command, env, pattern)
    env.PATH, env.HOME = os.getenv "PATH", os.getenv "HOME"
    child = assert(process.start(command, { env = env }))
    local seen, outputs = "", { child.stdout, child.stderr }
    while not seen:find(pattern) do
      local _, piece, message = require("weir.channel").select(outputs)
      seen = seen .. assert(piece, message)
    end
    for _, output in ipairs(outputs) do
      task.spawn(function() for _ in function() return output:recv() end do end end) -- it may go on talking
    end
    return seen:match(pattern)
  end

  local function everything()
    assert.equal("legacy", client:about().era)
    assert.equal("mcp-servers/everything", client:about().server.name)
    assert.equal("2025-11-25", client:about().version)
    assert.is_true(#client:tools() > 10)
    assert.equal("Echo: grün", text_of(client:call("echo", { message = "grün" })))
    assert.same({ temperature = 33, conditions = "Cloudy", humidity = 82 },
      assert(client:call("get-structured-content", { location = "New York" })).structured)
    local seen = {}
    assert(client:call("trigger-long-running-operation", { duration = 0.4, steps = 4 }, { on_progress = function(progress)
      seen[#seen + 1] = progress
    end }))
    assert.same({ progress = 4, total = 4 }, seen[#seen])
    assert.truthy(support.eventually(function() return client:tool "trigger-elicitation-request" end)) -- it comes after the greeting
    local asked
    local result = client:call("trigger-elicitation-request", {}, { elicit = function(question)
      asked = question
      return { action = "accept", content = { name = "Ada" } }
    end })
    assert.equal("string", asked.schema.properties.name.type)
    assert.matches("Name: Ada", assert(result).content[2].text, 1, true)
    local ok, err = task.within({ timeout = 0.2 }, function()
      client:call("trigger-long-running-operation", { duration = 1000, steps = 1 })
    end)
    assert.same({ false, "timeout" }, { ok, err.code })
    assert.equal("Echo: on", text_of(client:call("echo", { message = "on" })))
    assert.is_true(assert(client:call("echo", {})).is_error)
  end

  it_works("speaks with server-everything over pipes", function()
    open { command = { "node", EVERYTHING, "stdio" } }
    everything()
    assert.is_nil(json.decode(text_of(client:call "get-env")).WEIR_SPEC)
  end)

  it_works("speaks with server-everything over HTTP", function()
    local port = free_port()
    listen({ "node", EVERYTHING, "streamableHttp" }, { PORT = ("%d"):format(port) }, "(listening on port)")
    open { url = ("http://127.0.0.1:%d/mcp"):format(port) }
    assert.truthy(client.transport.session_id)
    everything()
  end)

  local function modern(settings)
    local told = 0
    open(settings, { on_tools_changed = function() told = told + 1 end })
    assert.same({ "modern", "2026-07-28", "modern" }, { client:about().era, client:about().version, client:about().server.name })
    assert.equal(7, #client:tools())
    assert.equal("Hello Ada", text_of(client:call("greet", { name = "Ada" })))
    assert.is_true(assert(client:call("greet", {})).is_error)
    local seen = {}
    local result = assert(client:call("count", { to = 3 }, { on_progress = function(progress) seen[#seen + 1] = progress end }))
    assert.same({ to = 3 }, result.structured)
    assert.same({ progress = 3, total = 3 }, seen[#seen])
    local asked
    assert.equal("deployed to production", text_of(client:call("deploy", { env = "production" }, { elicit = function(question)
      asked = question.message
      return { action = "accept", content = { confirm = true } }
    end })))
    assert.equal("deploy to production?", asked)
    local _, message, code = client:call("deploy", { env = "production" })
    assert.equal("unavailable", code)
    assert.matches("tool 'deploy': .*capabilit", message)
    assert.equal("größer ", text_of(client:call("region", { region = "größer " })))
    for _ = 1, 2 do
      local has_begun
      local ok, err = support.cancel_when(function() return has_begun end, function()
        client:call("hang", {}, { on_progress = function() has_begun = true end })
      end)
      assert.same({ false, "cancelled" }, { ok, err.code })
    end
    assert.truthy(support.eventually(function() return text_of(client:call "aborted") == "2" end))
    local before = told
    assert.equal("changed", text_of(client:call "change"))
    assert.truthy(support.eventually(function() return told > before end))
    assert.equal(8, #client:tools())
    assert.equal("more", text_of(client:call "more"))
  end

  local SERVER = "spec/lua/weir/mcp/modern.mjs"

  it_works("speaks with the official server of the modern era over pipes", function()
    modern { command = { "node", SERVER, "stdio" }, env = { WEIR_PEERS = PEERS } }
  end)

  it_works("speaks with the official server of the modern era over HTTP", function()
    local port = listen({ "node", SERVER, "http" }, { WEIR_PEERS = PEERS }, "port (%d+)")
    modern { url = ("http://127.0.0.1:%s/mcp"):format(port) }
  end)
end)

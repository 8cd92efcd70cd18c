-- The HTTP door: `size` clients that keep their connections and ask as soon as they are answered. Floor of reading: a bare
-- libmicrohttpd in a process of its own, whose answer is as long. Floor of starting runs: an LMDB environment without weir that
-- commits `size` records at once. What asks is a process of its own, which has a processor of its own if there are two.

local http = require "weir.http"
local json = require "weir.native.json"
local paths = require "weir.paths"
local process = require "weir.port.process"
local task = require "weir.task"

local PROGRAM = paths.natives .. "/bench_http"
local RECORD = 200 -- bytes
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "hello" { weir.step "greet" { agent = "echo", input = { text = "hello" } } }
]]

-- What a door asks of a host, without the rest of one.
local function host_of(bench)
  local path = bench:folder() .. "/project"
  os.execute(("mkdir -p '%s/pipelines' '%s/modules'"):format(path, path))
  local file = assert(io.open(path .. "/pipelines/hello.lua", "w"))
  file:write(PIPELINE)
  file:close()
  local project = require("weir.project").open(path)
  local store = bench:store()
  local feed = { follow = function() return { next = function() return nil, "closed" end, close = function() end } end }
  return { project = project, store = store, engine = require("weir.run.engine").new(project, store), feed = feed, settings = {},
    started_ms = 0 }
end

local function open(bench)
  local host = host_of(bench)
  local folder = bench:folder()
  assert(os.execute(("chmod 700 '%s'"):format(folder)))
  local door = http.start(host, { socket = folder .. "/host.sock", listen = "127.0.0.1:0" })
  table.insert(bench.open, door)
  return host, door
end

local function request(door, method, path, body)
  local lines = { ("%s %s HTTP/1.1"):format(method, path), "Host: localhost:" .. door.tcp.port, "Authorization: Bearer " .. door.token }
  if body then
    lines[#lines + 1] = "Content-Type: application/json"
    lines[#lines + 1] = "Content-Length: " .. #body
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function load_with(where, clients, text)
  return function(count)
    count = math.max(count, clients)
    local result = assert(process.run({ PROGRAM, "load", tostring(where), tostring(clients), tostring(count) }, { stdin = text }))
    local seconds, bad = result.stdout:match "^(%S+) (%d+)"
    if not seconds or bad ~= "0" then error(("the load failed: %s %s"):format(result.stdout, result.stderr), 0) end
    return count, tonumber(seconds)
  end
end

local function bare_server(bench, bytes)
  local child = assert(process.start({ PROGRAM, "serve", tostring(bytes) }, { pipe = true }))
  table.insert(bench.open, { close = function()
    child.stdin:close()
    child:wait(5)
  end })
  return assert(child.stdout:recv():match "%d+")
end

local read = {
  figures = { { name = "http read route", unit = "requests/s", goal_ratio = 1 / 3 } },
  sizes = { 4, 8, 32 },
}

function read.prepare(bench, size)
  local host, door = open(bench)
  local run = host.engine:run(assert(host.project:load(host.project:pipeline_file "hello")), {})
  local text = request(door, "GET", "/api/runs/" .. run.id)
  local port = bare_server(bench, 700)
  return { weir = bench:rate(load_with(door.tcp.port, size, text)), floor = bench:rate(load_with(port, size, text)) }
end

local start = {
  figures = { { name = "POST of a run, durable", unit = "runs/s", goal_value = 5000 } },
  sizes = { 16, 64, 128 },
}

function start.prepare(bench, size)
  local host, door = open(bench)
  local text = request(door, "POST", "/api/runs", json.encode { pipeline = "hello", input = {} })
  local log = bench:log()
  local own = load_with(door.path, size, text)
  local function begin(count)
    local done, seconds = own(count)
    while next(host.engine.live) do task.sleep(0.001) end -- what was begun is not the next round's
    return done, seconds
  end
  return { weir = bench:rate(begin), floor = function(seconds) return (log:commit(size, RECORD, seconds)) end }
end

return { read, start }

-- A host that was away while `size` runs came due: how long it takes until it serves, and how long a request that begins a fresh
-- run takes while the others are drained. Beside it the same host with nothing to drain.

local engine = require "weir.run.engine"
local files = require "weir.port.files"
local port = require "weir.port.clock"
local socket = require "weir.port.socket"
local store_port = require "weir.port.store"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local AT_ONCE = 256
local PARKED_PER_SECOND = 2500 -- at least
local ASKED, EVERY = 100, 0.02 -- requests, and seconds between two
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "hello" { weir.step "greet" { agent = "echo", input = { text = "hello" } } }
]]
local REQUEST = "POST /api/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20\r\n"
  .. 'Connection: close\r\n\r\n{"pipeline":"hello"}'

local function project_of(bench)
  local folder = bench:folder()
  assert(files.write(folder .. "/weir.lua", "return {}\n"))
  assert(files.write(folder .. "/pipelines/hello.lua", PIPELINE, { folders = true }))
  return folder
end

-- Runs that sleep, all of them until the same moment. Waits until that is over.
local function fill(bench, folder, size)
  local store = assert(store_port.open(folder .. "/.weir", {}))
  local own = engine.new(bench.project, store, { patience = 0, near = 0 })
  local due_ms = port.wall_ms() + 1000 + size * 1000 // PARKED_PER_SECOND
  local pipeline = bench:check(weir.pipeline "nap" { weir.step "nap" { sleep = { ["until"] = port.rfc3339(due_ms) } } })
  local tasks = {}
  for first = 1, math.min(size, AT_ONCE) do
    tasks[first] = task.spawn(function()
      for _ = first, size, AT_ONCE do own:run(pipeline, {}) end
    end)
  end
  for _, one in ipairs(tasks) do assert(one:join()) end
  store:close()
  task.sleep(math.max(0, (due_ms - port.wall_ms()) / 1000))
end

-- What was measured is nothing if nobody was woken.
local function check_drained(folder, size)
  local store = assert(store_port.open(folder .. "/.weir", {}))
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  for _, found in ipairs(assert(store:runs { limit = math.min(size, AT_ONCE) })) do
    if found.row.status ~= "finished" then error(("run %s is %s"):format(found.id, found.row.status), 0) end
  end
end

local function answered(path)
  local connection = socket.connect(path)
  if not connection then return false end
  connection:write(REQUEST)
  local status = connection:read_line()
  connection:close()
  return status ~= nil and status:find " 20%d " ~= nil
end

local function serve(bench, folder)
  local from, path = bench.now(), folder .. "/.weir/host.sock"
  local child = assert(require("weir.port.process").start({ uv.exepath(), "serve", "--listen", "off", "--log", "error" }, { cwd = folder }))
  local _ <close> = setmetatable({}, { __close = function()
    child:kill "sigterm"
    child:wait(30)
    child:close()
  end })
  while not answered(path) do
    if bench.now() - from > 60 then error("the host does not serve", 0) end
    task.sleep(0.002)
  end
  local ready, took = bench.now() - from, {}
  for index = 1, ASKED do
    local asked = bench.now()
    if not answered(path) then error("a request was not answered", 0) end
    took[index] = bench.now() - asked
    task.sleep(EVERY)
  end
  return ready, bench:percentile(took, 0.99)
end

local drained = {
  figures = { { name = "runs overdue, until the host serves", unit = "s", goal_value = 2 },
    { name = "runs overdue, a fresh one begun meanwhile, p99", unit = "s", goal_value = 0.25 } },
  sizes = { 100, 1000, 10000 }, large = { 100000 }, once = true,
}

function drained.prepare(bench, size)
  local folder, other = project_of(bench), project_of(bench)
  fill(bench, folder, size)
  local function weir_side()
    local ready, p99 = serve(bench, folder)
    check_drained(folder, size)
    return ready, p99
  end
  return { weir = weir_side, floor = function() return serve(bench, other) end }
end

return { drained }

-- A living host, asked over its socket: a command of the command line that looks, from the start of its process to its end, and
-- what may stand at the cursor of a REPL. The host's store holds `size` runs that have ended. Floors: a process in C with a Lua
-- state, a loop and an LMDB environment, which commits one record; a line that comes back over a Unix socket. Goals: 30 ms each,
-- for the command where its floor takes 3.5 ms.

local operations = require "weir.doors.operations"
local serve = require "weir.serve"
local socket = require "weir.port.socket"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local LONGEST = 10 -- seconds until the host must serve

local function filled(bench, store, count)
  bench:agent("one", function() return 1 end)
  local opened = assert(require("weir.port.store").open(store, {}))
  local engine, pipeline = bench:engine(opened), bench:check(weir.pipeline "past" { weir.step "one" { agent = "one" } })
  for _ = 1, count do engine:run(pipeline, {}) end
  opened:close()
end

local function await_socket(path)
  local due = task.now() + LONGEST
  repeat
    local connection = socket.connect(path)
    if connection then return connection end
    task.sleep(0.01)
  until task.now() > due
  error "the host does not serve"
end

local function median_of(bench, seconds, measure)
  local took, until_s = {}, bench.now() + seconds
  repeat took[#took + 1] = measure() until bench.now() >= until_s
  return bench:median(took)
end

local look = {
  figures = { { name = "read command against a host", unit = "s", goal_ratio = 3.5 / 30 } },
  sizes = { 100, 1000, 10000 },
}

function look.prepare(bench, size)
  local folder = bench:folder()
  local store, program = folder .. "/store", require("weir.paths").natives .. "/bench_start"
  filled(bench, store, size)
  local child = assert(require("weir.port.process").start({ uv.exepath(), "serve", "--listen", "off", "--store", store }, {}))
  table.insert(bench.open, child)
  await_socket(store .. "/repl.sock"):close()
  local function launched(...)
    local seconds, status = bench.floor.launch(...)
    if status ~= 0 then error(("it ended with %d"):format(status), 0) end
    return seconds
  end
  return {
    weir = function(seconds)
      return median_of(bench, seconds, function() return launched(uv.exepath(), "runs", "--limit", "5", "--store", store) end)
    end,
    floor = function(seconds)
      return median_of(bench, seconds, function() return launched(program, bench:folder()) end)
    end,
  }
end

local completion = {
  figures = { { name = "REPL completion", unit = "s", goal_value = 0.03 } },
  sizes = { 100, 1000, 10000 },
}

local function asked(connection, request)
  local from = uv.hrtime()
  connection:write(request)
  connection:read_line()
  return (uv.hrtime() - from) / 1e9
end

function completion.prepare(bench, size)
  local folder = bench:folder()
  local host = serve.start { folder = folder, open_line = operations.open, store = folder .. "/store", http = false, log = "error",
    env = function() end }
  bench:agent("one", function() return 1 end)
  local engine, pipeline = bench:engine(host.store), bench:check(weir.pipeline "past" { weir.step "one" { agent = "one" } })
  for _ = 1, size do engine:run(pipeline, {}) end
  local connection = assert(socket.connect(folder .. "/store/repl.sock"))
  local echo = assert(socket.listen(folder .. "/echo.sock", function(other)
    for line in function() return other:read_line() end do other:write(line .. "\n") end
  end))
  local bare = assert(socket.connect(folder .. "/echo.sock"))
  table.insert(bench.open, { close = function()
    connection:close()
    bare:close()
    echo:close()
    host:stop "measured"
  end })
  local request = '{"op":"complete","id":1,"text":"run(\\"r_","cursor":7}\n'
  return {
    weir = function(seconds) return median_of(bench, seconds, function() return asked(connection, request) end) end,
    floor = function(seconds) return median_of(bench, seconds, function() return asked(bare, request) end) end,
  }
end

return { look, completion }

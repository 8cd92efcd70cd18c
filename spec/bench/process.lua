-- The process: from its start to the end of a run of one step, and what it holds while it waits. The store holds `size` runs
-- that have ended, which must not matter. Floor: a process in C with a Lua state, a loop and an LMDB environment, which
-- commits one record. Goals: 15 ms where the floor takes 3.5 ms; 8 MB of anonymous memory.

local process = require "weir.port.process"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local SAME = 2 -- looks at the memory, PAUSE apart, that must agree with the one before
local PAUSE = 0.01
local LONGEST = 5 -- seconds until a process must be idle
local AT_ONCE = 256

local HELLO = [[
local weir = require "weir"
return weir.pipeline "hello" { weir.step "greet" { agent = "echo", input = { text = "hello" } } }
]]
local IDLE = [[
local weir = require "weir"
return weir.pipeline "idle" { weir.step "greet" { agent = "echo", input = { text = "hello" } }, weir.step "rest" { sleep = "50s" } }
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

-- A store in which `count` runs have ended, closed again.
local function used_store(bench, count)
  bench:agent("one", function() return 1 end)
  local path = bench:folder() .. "/store"
  local store = assert(require("weir.port.store").open(path, {}))
  local engine, pipeline = bench:engine(store), bench:check(weir.pipeline "past" { weir.step "one" { agent = "one" } })
  local left = count
  local tasks = {}
  for index = 1, math.min(count, AT_ONCE) do
    tasks[index] = task.spawn(function()
      while left > 0 do
        left = left - 1
        engine:run(pipeline, {})
      end
    end)
  end
  for _, each in ipairs(tasks) do each:join() end
  store:close()
  return path
end

local function bare_program()
  return require("weir.paths").natives .. "/bench_start"
end

local start = {
  figures = { { name = "start to first durable step", unit = "s", goal_ratio = 3.5 / 15 } },
  sizes = { 100, 1000, 10000 },
}

local function launched(bench, ...)
  local seconds, status = bench.floor.launch(...)
  if status ~= 0 then error(("'%s' ended with %d"):format(table.concat({ ... }, " "), status), 0) end
  return seconds
end

local function median_of(bench, seconds, launch)
  local took, until_s = {}, bench.now() + seconds
  repeat took[#took + 1] = launch() until bench.now() >= until_s
  return bench:median(took)
end

function start.prepare(bench, size)
  local host, store = uv.exepath(), used_store(bench, size)
  local file = write(bench.path .. "/hello.lua", HELLO)
  local function weir_side(seconds)
    return median_of(bench, seconds, function() return launched(bench, host, "run", file, "--store", store) end)
  end
  local function floor_side(seconds)
    return median_of(bench, seconds, function() return launched(bench, bare_program(), bench:folder()) end)
  end
  return { weir = weir_side, floor = floor_side }
end

local function anonymous_bytes(pid)
  local file = io.open(("/proc/%d/status"):format(pid))
  if not file then return nil end
  local text = file:read "a"
  file:close()
  local kilobytes = text:match "RssAnon:%s*(%d+) kB"
  return kilobytes and tonumber(kilobytes) * 1024
end

-- The memory of a child that has said something, once it does not change any more; the child is ended.
local function memory_of(arguments)
  local child <close> = assert(process.start(arguments, {}))
  local said = child.stderr:recv(LONGEST)
  local due, same, latest = task.now() + LONGEST, 0, nil
  repeat
    task.sleep(PAUSE)
    local bytes = anonymous_bytes(child.pid)
    same = bytes == latest and same + 1 or 0
    latest = bytes
  until same == SAME or task.now() > due
  if not latest then error(("'%s' did not stay; it said: %s"):format(table.concat(arguments, " "), said or "nothing"), 0) end
  child:kill "sigkill"
  return latest
end

local idle = {
  figures = { { name = "idle memory", unit = "bytes", goal_value = 8e6 } },
  sizes = { 10, 100, 1000 },
}

function idle.prepare(bench, size)
  local host, store = uv.exepath(), used_store(bench, size)
  local file = write(bench.path .. "/idle.lua", IDLE)
  return { weir = function() return memory_of { host, "run", file, "--store", store } end,
    floor = function() return memory_of { bare_program(), bench:folder(), "stay" } end }
end

return { start, idle }

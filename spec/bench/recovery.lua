-- The host is killed while `size` runs are in flight, each inside its second step: how long a new process takes from its
-- start until all have finished. Floor: a process in C that starts likewise, and LMDB commits of the three records that each
-- run still has to write. Not measured but checked: no step whose outcome was acknowledged is executed again.

local process = require "weir.port.process"
local task = require "weir.task"
local uv = require "luv"

local AT_ONCE, RECORD, RECORDS = 256, 200, 3

local ONE = [[
local weir = require "weir"
return weir.pipeline "one" {
  input = { until_s = "number" },
  weir.step "first" { agent = "echo", input = { text = "done" } },
  weir.step "second" { agent = "hold", input = { until_s = "$.input.until_s" } },
  weir.step "third" { agent = "echo", input = { text = "done" } },
}
]]
local MANY = [[
local weir = require "weir"
return weir.flow "many" {
  input = { count = "integer", until_s = "number" },
  function(run, input)
    local handles = {}
    for index = 1, input.count do handles[index] = weir.start("one", { until_s = input.until_s }) end
    for index = 1, input.count do handles[index]:wait() end
    return run:step "last" { agent = "echo", input = { text = "all" } }
  end,
}
]]
local HOLD = [[
return { kind = "agent", name = "hold", api = 1, execute = function(ctx, input)
  local left = input.until_s - os.time()
  if left > 0 then ctx:sleep(left) end
  return true
end }
]]

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function project_of(bench)
  local folder = bench:folder()
  for _, name in ipairs { "pipelines", "modules", "modules/agents" } do assert(uv.fs_mkdir(folder .. "/" .. name, 448)) end
  write(folder .. "/weir.lua", "return {}\n")
  write(folder .. "/pipelines/one.lua", ONE)
  write(folder .. "/pipelines/many.lua", MANY)
  write(folder .. "/modules/agents/hold.lua", HOLD)
  return folder
end

local function wait_for(until_s)
  local left = until_s - uv.gettimeofday()
  if left > 0 then task.sleep(left + 0.05) end
end

-- What the store says: how many runs are in flight, and how many outcomes of a step were recorded twice.
local function look(folder, status)
  local store = assert(require("weir.port.store").open(folder .. "/.weir", {}))
  local count, twice, after = 0, 0, nil
  repeat
    local page = assert(store:runs { after = after, limit = 1000 })
    for _, found in ipairs(page) do
      if found.row.status == status then count = count + 1 end
      local seen = {}
      for _, entry in ipairs(assert(store:load(found.id))) do
        if entry[1] == "step" then
          twice = twice + (seen[entry[2]] and 1 or 0)
          seen[entry[2]] = true
        end
      end
    end
    after = page[#page] and page[#page].id
  until #page < 1000
  store:close()
  return count, twice
end

local function kill_in_flight(folder, size)
  local until_s = uv.gettimeofday() + 3 + size // 60
  local child <close> = assert(process.start({ uv.exepath(), "run", "many", "-q", "--set", "count=" .. size, "--set", "until_s=" .. until_s },
    { cwd = folder }))
  wait_for(until_s - 1)
  child:kill "sigkill"
  wait_for(until_s)
end

local killed = {
  figures = { { name = "kill -9 with runs in flight, until all are finished", unit = "s", goal_ratio = 0.03 / 0.2 } },
  sizes = { 10, 100, 1000 }, once = true,
}

function killed.prepare(bench, size)
  local folder = project_of(bench)
  local function weir_side()
    kill_in_flight(folder, size)
    local running = look(folder, "running")
    if running ~= size + 1 then error(("%d runs were in flight, not %d"):format(running, size + 1), 0) end
    local from = bench.now()
    local result = assert(process.run({ uv.exepath(), "resume", "--json" }, { cwd = folder, max_bytes = 64 << 20 }))
    local seconds = bench.now() - from
    local finished, twice = look(folder, "finished")
    if result.status ~= 0 or finished ~= size + 1 or twice > 0 then
      error(("%d of %d runs finished, %d outcomes twice: %s"):format(finished, size + 1, twice, result.stderr:sub(1, 300)), 0)
    end
    return seconds
  end
  local function floor_side()
    local rate = bench:log():commit(AT_ONCE, RECORD, 0.2)
    return bench.floor.launch(require("weir.paths").natives .. "/bench_start", bench:folder()) + size * RECORDS / rate
  end
  return { weir = weir_side, floor = floor_side }
end

return { killed }

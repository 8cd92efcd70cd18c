-- Runs that only wait: what they cost, and how they are woken. Floors: LMDB commits of as many records; the host's own sleeps.

local engine = require "weir.run.engine"
local recovery = require "weir.run.recovery"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local AT_ONCE = 256
local RECORD = 80 -- bytes that a parked run would take bare
local PER_SECOND = 500 -- timers that come due
local WATCHED = 1 -- seconds

local function anonymous_bytes()
  local file <close> = assert(io.open "/proc/self/status")
  return tonumber(file:read("a"):match "RssAnon:%s*(%d+)") * 1024
end

local function settle()
  collectgarbage()
  collectgarbage()
end

-- `count` calls of `each(index)`, so many at once. Each task has indexes of its own: it may lose the processor anywhere.
local function side_by_side(count, each)
  local tasks, stride = {}, math.min(count, AT_ONCE)
  for first = 1, stride do
    tasks[first] = task.spawn(function()
      for index = first, count, stride do each(index) end
    end)
  end
  for _, one in ipairs(tasks) do assert(one:join()) end
end

local function seconds_of(bench, work, ...)
  local from = bench.now()
  work(...)
  return bench.now() - from
end

-- An engine that parks at once, and a pipeline that asks somebody.
local function asking(bench)
  local store = bench:store()
  local own = engine.new(bench.project, store, { patience = 0, near = 0 })
  local pipeline = bench:check(weir.pipeline "ask" { weir.approval "ok" { title = "Go on?" }, output = "$.ok.decision" })
  assert(own:run(pipeline, {}).status == "waiting") -- what all runs share is made
  return own, pipeline, store
end

local function park(own, pipeline, count)
  side_by_side(count, function() own:run(pipeline, {}) end)
end

local function file_bytes(path)
  return require("luv").fs_stat(path .. "/data.mdb").size
end

-- Parking: how many a second, and what each takes in memory and on disk.
local parking = {
  figures = { { name = "parked runs, parking", unit = "runs/s" }, { name = "parked runs, memory each", unit = "bytes", cost = "each", goal_value = 64 },
    { name = "parked runs, disk each", unit = "bytes", cost = "each", goal_value = 200 } },
  sizes = { 1000, 10000, 50000 }, large = { 1000000 }, once = true,
}

function parking.prepare(bench, size)
  local own, pipeline, store = asking(bench)
  local function weir_side()
    settle()
    local memory, disk = anonymous_bytes(), store:stats().used_bytes
    local seconds = seconds_of(bench, park, own, pipeline, size)
    settle()
    return size / seconds, math.max(1, (anonymous_bytes() - memory) / size), (store:stats().used_bytes - disk) / size
  end
  local function floor_side()
    local path = bench:folder()
    local log = bench.floor.log(path)
    local before, written, seconds = file_bytes(path), 0, 0
    repeat
      written = written + math.floor(log:commit(AT_ONCE, RECORD, 0.1) * 0.1)
      seconds = seconds + 0.1
    until written >= size
    local bytes = (file_bytes(path) - before) / written
    log:close()
    return written / seconds, 1, bytes
  end
  return { weir = weir_side, floor = floor_side }
end

local function decide_and_finish(own, approval_id, run_id)
  assert(waking.decide(own, approval_id, { decision = "approve", by = "ada" }))
  local run = own:reopen(run_id):execute()
  if run.status ~= "finished" then error(run.error.message, 0) end
end

local function pending(store, count)
  local list, after = {}, nil
  while #list < count do
    local page = assert(require("weir.approval").pending(store, { limit = 1000, after = after }))
    if #page == 0 then break end
    table.move(page, 1, #page, #list + 1, list)
    after = page[#page].id
  end
  return list
end

-- From the decision to the end of the run, one run at a time and all of them.
local resuming = {
  figures = { { name = "resume one parked run, p50", unit = "s", cost = "each", goal_ratio = 0.09 / 0.25 },
    { name = "resume all parked runs", unit = "s", goal_ratio = 0.04 / 0.3 } },
  sizes = { 100, 1000, 10000 }, once = true,
}

function resuming.prepare(bench, size)
  local own, pipeline, store = asking(bench)
  local singles = 50
  local function weir_side()
    park(own, pipeline, size + singles)
    local asked, took = pending(store, size + singles), {}
    for index = 1, singles do
      took[index] = seconds_of(bench, decide_and_finish, own, asked[index].id, asked[index].run)
    end
    local all = seconds_of(bench, side_by_side, size, function(index)
      local one = asked[singles + index]
      decide_and_finish(own, one.id, one.run)
    end)
    return bench:median(took), all
  end
  local function floor_side()
    local log = bench:log()
    local _, p50 = log:commit(1, RECORD, 0.2)
    local rate = log:commit(AT_ONCE, RECORD, 0.2)
    return p50, size / rate
  end
  return { weir = weir_side, floor = floor_side }
end

-- `size` runs that sleep, of which some hundred come due in a second: how much later than that they go on. Beside it the
-- same sleeps of tasks in memory.
local timers = {
  figures = { { name = "durable timers, lateness p50", unit = "s", cost = "each" }, { name = "durable timers, lateness p99", unit = "s", cost = "each",
    goal_ratio = 3.7 / 10 } },
  sizes = { 1000, 10000, 100000 }, once = true,
}

local function wall()
  return require("weir.port.clock").wall_ms()
end

function timers.prepare(bench, size)
  local late, first_ms = {}, nil
  bench:agent("note", function(_, input)
    local now = wall()
    if now <= first_ms + WATCHED * 1000 then late[#late + 1] = (now - input.due_ms) / 1000 end
    return true
  end)
  local store = bench:store()
  local own = engine.new(bench.project, store, { patience = 0, near = 0 })
  local pipeline = bench:check(weir.pipeline "nap" { input = { due_ms = "integer", due_at = "string" },
    weir.step "nap" { sleep = { ["until"] = "$.input.due_at" } }, weir.step "note" { agent = "note", input = { due_ms = "$.input.due_ms" } } })
  local rfc3339 = require("weir.port.clock").rfc3339
  local function weir_side()
    first_ms = wall() + math.ceil(size * 0.6) + 3000 -- parking takes its time
    side_by_side(size, function(index)
      local due_ms = first_ms + index * 1000 // PER_SECOND
      own:run(pipeline, { due_ms = due_ms, due_at = rfc3339(due_ms) })
    end)
    local service = waking.serve(own, recovery.go_on)
    task.sleep(math.max(0, (first_ms - wall()) / 1000) + WATCHED)
    service:close()
    return bench:median(late), bench:percentile(late, 0.99)
  end
  local function floor_side()
    local slept, tasks, from = {}, {}, bench.now() + 0.1
    for index = 1, PER_SECOND * WATCHED do
      tasks[index] = task.spawn(function()
        local due = from + index / PER_SECOND
        task.sleep(due - bench.now())
        slept[#slept + 1] = math.max(1e-6, bench.now() - due)
      end)
    end
    for _, one in ipairs(tasks) do one:join() end
    return bench:median(slept), bench:percentile(slept, 0.99)
  end
  return { weir = weir_side, floor = floor_side }
end

local function written_bytes()
  local file = io.open "/proc/self/io"
  if not file then return 0 end
  local text = file:read "a"
  file:close()
  return tonumber(text:match "write_bytes: (%d+)")
end

-- A process that serves parked runs, of which none is due: its share of a core, and what it writes. Beside it the process alone.
local idle = {
  figures = { { name = "idle with parked runs, processor", unit = "%", goal_value = 0.5 }, { name = "idle with parked runs, written", unit = "bytes" } },
  sizes = { 100, 1000, 10000 }, once = true,
}

local function rest(seconds)
  settle()
  task.sleep(0.2)
  local cpu, bytes = os.clock(), written_bytes()
  task.sleep(seconds)
  return math.max(0.01, (os.clock() - cpu) / seconds * 100), math.max(1, written_bytes() - bytes)
end

function idle.prepare(bench, size)
  local own, pipeline = asking(bench)
  park(own, pipeline, size)
  local function weir_side()
    local service = waking.serve(own, recovery.go_on)
    local cpu, bytes = rest(2)
    service:close()
    return cpu, bytes
  end
  return { weir = weir_side, floor = function() return rest(2) end }
end

return { parking, resuming, timers, idle }

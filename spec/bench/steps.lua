-- Steps of pipelines, in memory and durable.

local task = require "weir.task"
local weir = require "weir"

local STEPS = 10

-- A pipeline of `count` steps, each reading the one before.
local function chain(count, durability)
  local steps = {}
  for index = 1, count do
    steps[index] = weir.step("s" .. index) { agent = "next", input = { n = index == 1 and 0 or "$.s" .. (index - 1) } }
  end
  return weir.pipeline "chain" { durability = durability, steps }
end

local function must_finish(run)
  if run.status ~= "finished" then error(run.error.message, 0) end
end

-- Runs of `size` steps, one after the other. Floor: a coroutine for each run; for each step a call with an input and a context
-- of its own, its output kept under its name, a yield.
local memory = {
  figures = { { name = "in-memory steps", unit = "steps/s", goal_ratio = 1 / 4 } },
  sizes = { STEPS, 100, 1000 },
}

function memory.prepare(bench, size)
  bench:agent("next", function(_, input) return input.n + 1 end)
  local engine, pipeline = bench:engine(), bench:check(chain(size, "none"))
  local function run(count)
    local done, from = 0, bench.now()
    while done < count do
      must_finish(engine:run(pipeline, {}))
      done = done + size
    end
    return done, bench.now() - from
  end
  local plain = bench:plain([[
    local size = %d
    local names = {}
    for index = 1, size do names[index] = "s" .. index end
    local function execute(_, input) return input.n + 1 end
    local function body()
      local data, latest = {}, 0
      for index = 1, size do
        local name = names[index]
        local output = execute({ key = name }, { n = latest })
        data[name], latest = output, output
        coroutine.yield()
      end
    end
    return function(count)
      local done, from = 0, now()
      while done < count do
        local step = coroutine.wrap(body)
        for _ = 1, size + 1 do step() end
        done = done + size
      end
      return done, now() - from
    end]], size)
  return { weir = bench:rate(run), floor = bench:rate(plain) }
end

-- Bytes that a step takes in the log, which the floor writes likewise.
local function record_bytes(store)
  local stats = store:stats()
  return math.max(16, stats.log_bytes // math.max(1, stats.log_entries))
end

-- `size` runs at once, each of ten steps and followed by another; steps are counted while they all go on, so the starts and
-- ends of runs take their share. Floor: LMDB commits of `size` records, one for each run.
local durable = {
  figures = { { name = "durable steps", unit = "steps/s", goal_ratio = 1 / 2 } },
  sizes = { 1, 16, 256, 1000 },
}

function durable.prepare(bench, size)
  local steps, stopped = 0, false
  bench:agent("next", function(_, input)
    steps = steps + 1
    return input.n + 1
  end)
  local store = bench:store()
  local engine, pipeline = bench:engine(store), bench:check(chain(STEPS, "step"))
  local function go_on()
    while not stopped do must_finish(engine:run(pipeline, {})) end
  end
  local function weir_side(seconds)
    local tasks = {}
    stopped = false
    for index = 1, size do tasks[index] = task.spawn(go_on) end
    task.sleep(seconds / 2)
    local before, from = steps, bench.now()
    task.sleep(seconds)
    local rate = (steps - before) / (bench.now() - from)
    stopped = true
    for _, each in ipairs(tasks) do each:join() end
    return rate
  end
  local log, bytes = bench:log(), nil
  local function floor_side(seconds)
    bytes = bytes or record_bytes(store)
    return (log:commit(size, bytes, seconds))
  end
  return { weir = weir_side, floor = floor_side }
end

-- How long one step takes from the start of its agent to the start of the next, in a lone run of `size` steps. Floor: LMDB
-- commits of one record each, made where they are asked for.
local latency = {
  figures = { { name = "durable step latency p50", unit = "s", cost = "each", goal_ratio = 1 / 1.4 },
    { name = "durable step latency p99", unit = "s", cost = "each" } },
  sizes = { 10, 100, 1000 },
}

function latency.prepare(bench, size)
  local times = {}
  bench:agent("next", function(_, input)
    times[#times + 1] = bench.now()
    return input.n + 1
  end)
  local store = bench:store()
  local engine, pipeline = bench:engine(store), bench:check(chain(size, "step"))
  local function weir_side(seconds)
    local took, until_s = {}, bench.now() + seconds
    repeat
      times = {}
      must_finish(engine:run(pipeline, {}))
      for index = 2, #times do took[#took + 1] = times[index] - times[index - 1] end
    until bench.now() >= until_s
    return bench:percentile(took, 0.5), bench:percentile(took, 0.99)
  end
  local log, bytes = bench:log(), nil
  local function floor_side(seconds)
    bytes = bytes or record_bytes(store)
    local _, p50, p99 = log:commit(1, bytes, seconds)
    return p50, p99
  end
  return { weir = weir_side, floor = floor_side }
end

-- One group of `size` steps side by side, and its join. Floor: as many coroutines of plain Lua, each resumed twice, their
-- results gathered. Goals: 3 ms in memory and 8 ms durable where the floor takes 0.5 ms, for 1,000 steps.
local function wide(count, durability)
  local steps = {}
  for index = 1, count do steps[index] = weir.step("s" .. index) { agent = "one", input = { n = index } } end
  return weir.pipeline "wide" { durability = durability, weir.group "all" (steps) }
end

local FLOOR_OF_WIDE = [[
  local size = %d
  return function(count)
    local done, from = 0, now()
    while done < count do
      local all, results = {}, {}
      local function body(index) results[index] = coroutine.yield(index) end
      for index = 1, size do all[index] = coroutine.create(body) end
      for index = 1, size do coroutine.resume(all[index], index) end
      for index = 1, size do coroutine.resume(all[index], index) end
      done = done + 1
    end
    return done, now() - from
  end]]

local function parallel(name, durability, goal_ratio)
  local benchmark = { figures = { { name = name, unit = "s", goal_ratio = goal_ratio } }, sizes = { 100, 1000, 10000 } }

  function benchmark.prepare(bench, size)
    bench:agent("one", function(_, input) return input.n end)
    local store = durability == "step" and bench:store() or nil
    local engine, pipeline = bench:engine(store), bench:check(wide(size, durability))
    local function weir_side(seconds)
      local took, until_s = {}, bench.now() + seconds
      repeat
        local from = bench.now()
        must_finish(engine:run(pipeline, {}))
        took[#took + 1] = bench.now() - from
      until bench.now() >= until_s
      return bench:median(took)
    end
    local floor_rate = bench:rate(bench:plain(FLOOR_OF_WIDE, size))
    return { weir = weir_side, floor = function(seconds) return 1 / floor_rate(seconds) end }
  end

  return benchmark
end

return { memory, durable, latency, parallel("parallel steps and a join, in memory", "none", 0.5 / 3),
  parallel("parallel steps and a join, durable", "step", 0.5 / 8) }

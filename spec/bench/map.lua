-- A map over `size` items from a chunker that streams them, reduced as a tree, a result of each item kept in a store: items/s,
-- and the memory that it takes beside what was there. Floor: the same calls in a loop of plain Lua, nothing kept.

local weir = require "weir"

local function definition(durability)
  return weir.pipeline "map" { input = { count = "integer" }, durability = durability,
    weir.map "all" { over = { count = "$.input.count" }, chunk = { agent = "range", stream = true },
      weir.step "one" { agent = "next", input = { n = "$.item" } },
      reduce = { agent = "sum", mode = "tree", arity = 16 } } }
end

local FLOOR = [[
  local size, arity = %d, 16
  local function next_of(_, input) return input.n + 1 end
  local function sum_of(_, input)
    local sum = 0
    for _, value in ipairs(input.items) do sum = sum + value end
    return sum
  end
  local function reduced(items)
    while #items > 1 do
      local nodes = {}
      for from = 1, #items, arity do
        nodes[#nodes + 1] = sum_of({}, { items = table.move(items, from, math.min(from + arity - 1, #items), 1, {}) })
      end
      items = nodes
    end
    return items[1]
  end
  return function(count)
    local done, from = 0, now()
    while done < count do
      local results = {}
      for n = 1, size do results[n] = next_of({ key = n }, { n = n }) end
      reduced(results)
      done = done + size
    end
    return done, now() - from
  end
]]

-- `look` is called now and then, while items are at work.
local function agents(bench, look)
  bench:agent("range", function(ctx, input)
    for n = 1, input.count do ctx:emit(n) end
    return true
  end)
  bench:agent("next", look and function(_, input)
    if input.n % 500 == 0 then look() end
    return input.n + 1
  end or function(_, input) return input.n + 1 end)
  bench:agent("sum", function(_, input)
    local sum = 0
    for _, value in ipairs(input.items) do sum = sum + value end
    return sum
  end)
end

local function memory_kib()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^RssAnon:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end

-- Items a second.
local function side(bench, own, pipeline, size)
  return function(count)
    local done, from = 0, bench.now()
    while done < count do
      local run = own:run(pipeline, { count = size })
      if run.status ~= "finished" then error(run.error.message, 0) end
      done = done + size
    end
    return done, bench.now() - from
  end
end

local function benchmark(name, durability, goal)
  local of = { figures = { { name = name, unit = "items/s", goal_ratio = goal } }, sizes = { 1000, 10000, 100000 }, large = { 1000000 } }

  function of.prepare(bench, size)
    agents(bench)
    local store = durability == "step" and bench:store() or nil
    local own, pipeline = bench:engine(store), bench:check(definition(durability))
    return { weir = bench:rate(side(bench, own, pipeline, size)), floor = bench:rate(bench:plain(FLOOR, size)) }
  end

  return of
end

-- The most that a map of `size` items needs beside what was there, while it is at work.
local memory = {
  figures = { { name = "map, memory above idle", unit = "MiB", goal_value = 64 } }, sizes = { 10000, 100000, 300000 },
  large = { 1000000 }, once = true,
}

function memory.prepare(bench, size)
  local most = 0
  agents(bench, function() most = math.max(most, memory_kib()) end)
  local own, pipeline = bench:engine(bench:store()), bench:check(definition "step")
  local function weir_side()
    collectgarbage()
    local before = memory_kib()
    most = before
    side(bench, own, pipeline, size)(1)
    return math.max(0.1, (most - before) / 1024)
  end
  return { weir = weir_side, floor = function() return 0.1 end }
end

return { benchmark("map, in memory", "none", 1 / 20), benchmark("map, durable", "step", 1 / 20), memory }

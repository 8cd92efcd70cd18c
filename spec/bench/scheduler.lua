-- The scheduler and the channels alone.

local channel = require "weir.channel"
local task = require "weir.task"

local function join_all(tasks)
  for _, each in ipairs(tasks) do each:join() end
end

-- `size` tasks take turns. Floor: as many coroutines of plain Lua, resumed in turn.
local switch = {
  figures = { { name = "task switch", unit = "switches/s" } },
  sizes = { 10, 1000, 10000 },
}

function switch.prepare(bench, size)
  local function take_turns(count)
    local turns = math.max(1, count // size)
    local tasks = {}
    local function body()
      for _ = 1, turns do task.yield() end
    end
    for index = 1, size do tasks[index] = task.spawn(body) end
    local from = bench.now()
    join_all(tasks)
    return turns * size, bench.now() - from
  end
  local plain = bench:plain([[
    local size = %d
    local yield, resume = coroutine.yield, coroutine.resume
    return function(count)
      local turns = math.max(1, count // size)
      local all = {}
      local function body() for _ = 1, turns do yield() end end
      for index = 1, size do all[index] = coroutine.create(body) end
      local from = now()
      for _ = 1, turns + 1 do
        for index = 1, size do resume(all[index]) end
      end
      return turns * size, now() - from
    end]], size)
  return { weir = bench:rate(take_turns), floor = bench:rate(plain) }
end

-- A token goes round a ring of `size` tasks with a channel between each two. Floor: a ring of coroutines.
local hop = {
  figures = { { name = "channel hop", unit = "hops/s" } },
  sizes = { 2, 100, 10000 },
}

function hop.prepare(bench, size)
  local function go_round(count)
    local rounds = math.max(1, count // size)
    local links, tasks = {}, {}
    for index = 1, size do links[index] = channel.new(1) end
    for index = 1, size do
      local from, to = links[index], links[index % size + 1]
      tasks[index] = task.spawn(function()
        for _ = 1, rounds do to:send(from:recv()) end
      end)
    end
    local from = bench.now()
    links[1]:send(1)
    join_all(tasks)
    return rounds * size, bench.now() - from
  end
  local plain = bench:plain([[
    local size = %d
    local yield, resume = coroutine.yield, coroutine.resume
    return function(count)
      local rounds = math.max(1, count // size)
      local ring = {}
      local function body(value) while true do value = yield(value) end end
      for index = 1, size do ring[index] = coroutine.create(body) end
      local from, value, _ = now(), 1, nil
      for _ = 1, rounds do
        for index = 1, size do _, value = resume(ring[index], value) end
      end
      return rounds * size, now() - from
    end]], size)
  return { weir = bench:rate(go_round), floor = bench:rate(plain) }
end

return { switch, hop }

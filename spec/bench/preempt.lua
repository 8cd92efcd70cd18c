-- What preemption costs when no slice ends, and how long others wait beside a loop that never ends.

local native = require "weir.native.scheduler"
local task = require "weir.task"

local PIECE = 20000 -- turns of a loop: far less than a slice
local PAUSE = 0.005 -- seconds that each task sleeps between two looks at the clock

local function piece()
  local x = 0
  for index = 1, PIECE do x = x + index % 7 end
  return x
end

-- `size` tasks compute in pieces and take turns, so no slice ends; CPU time counts, not what neighbours on the machine take.
-- Floor: the same while the thread does not hear the timer.
local added_cost = {
  figures = { { name = "work under preemption", unit = "turns/s", goal_ratio = 1 / 1.03 } },
  sizes = { 1, 10, 100 },
}

function added_cost.prepare(bench, size)
  local function work(count)
    local pieces = math.max(1, count // (PIECE * size))
    local tasks = {}
    local before, from = native.stats().preemptions, os.clock()
    for index = 1, size do
      tasks[index] = task.spawn(function()
        for _ = 1, pieces do
          piece()
          task.yield()
        end
      end)
    end
    for _, each in ipairs(tasks) do each:join() end
    local took = os.clock() - from
    local ended = native.stats().preemptions - before
    if ended > 10 + pieces * size // 20 then error(("%d slices ended; the pieces are too long"):format(ended), 0) end
    return pieces * size * PIECE, took
  end
  local function unheard(count)
    bench.floor.ticks(false)
    local done, took = work(count)
    bench.floor.ticks(true)
    return done, took
  end
  return { weir = bench:rate(work), floor = bench:rate(unheard) }
end

-- `size` tasks sleep and look how late they wake, beside a task that never ends. Floor: the longest slice there can be, two
-- ticks of a CPU timer in a thread of C. Goal: 25 ms for a slice of 10 ms.
local beside_a_loop = {
  figures = { { name = "p99 wait beside an endless loop", unit = "s", goal_ratio = 10 / 25 } },
  sizes = { 10, 100, 1000 },
}

function beside_a_loop.prepare(bench, size)
  local function weir_side(seconds)
    local late, tasks, until_s = {}, {}, bench.now() + math.max(seconds, 0.1)
    local loop = task.spawn(function()
      local x = 0
      while true do x = x + 1 end
    end)
    for index = 1, size do
      tasks[index] = task.spawn(function()
        repeat
          local due = bench.now() + PAUSE
          task.sleep(PAUSE)
          late[#late + 1] = bench.now() - due
        until due > until_s
      end)
    end
    for _, each in ipairs(tasks) do each:join() end
    loop:cancel "measured"
    loop:join()
    return bench:percentile(late, 0.99)
  end
  return { weir = weir_side, floor = function(seconds) return bench.floor.slice(math.max(seconds, 0.1)) end }
end

return { added_cost, beside_a_loop }

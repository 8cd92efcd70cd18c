-- A step emits `size` items, another of the group reads them with ctx:items(), through a bounded stream, nothing kept.
-- Floor: two coroutines of plain Lua and a table of 64 slots between them; the turn changes when it is full or empty.

local weir = require "weir"

local BUFFER = 64

local stream = {
  figures = { { name = "stream between two steps", unit = "items/s", goal_ratio = 1 / 3 } },
  sizes = { 10000, 100000, 1000000 },
}

local function definition()
  return weir.pipeline "stream" { durability = "none",
    weir.group "both" {
      weir.step "write" { agent = "writes", stream = { buffer = BUFFER } },
      weir.step "read" { agent = "reads", from = "write" },
    } }
end

local FLOOR = [[
  local size, buffer = %d, %d
  return function(count)
    local done, from = 0, now()
    while done < count do
      local slots, sum, ended = {}, 0, false
      local writer = coroutine.wrap(function()
        local used = 0
        for item = 1, size do
          used = used + 1
          slots[used] = item
          if used == buffer then coroutine.yield(used) used = 0 end
        end
        ended = true
        return used
      end)
      repeat
        for at = 1, writer() do sum = sum + slots[at] end
      until ended
      done = done + size
    end
    return done, now() - from
  end]]

function stream.prepare(bench, size)
  bench:agent("writes", function(ctx)
    for item = 1, size do ctx:emit(item) end
    return size
  end)
  bench:agent("reads", function(ctx)
    local sum = 0
    for item in ctx:items() do sum = sum + item end
    return sum
  end)
  local engine, pipeline = bench:engine(), bench:check(definition())
  local function run(count)
    local done, from = 0, bench.now()
    while done < count do
      local ended = engine:run(pipeline, {})
      if ended.status ~= "finished" then error(ended.error.message, 0) end
      done = done + size
    end
    return done, bench.now() - from
  end
  return { weir = bench:rate(run), floor = bench:rate(bench:plain(FLOOR, size, BUFFER)) }
end

return { stream }

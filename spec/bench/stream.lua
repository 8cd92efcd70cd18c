-- A step emits `size` items, another of the group reads them with ctx:items(), through a bounded stream, nothing kept.
-- Floor: two coroutines of plain Lua with a ring of 64 slots between them, a call to send an item and one to get it.

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
  local yield = coroutine.yield

  local function ring()
    local slots, head, used, ended = {}, 1, 0, false
    local function emit(item)
      if used == buffer then yield() end
      local tail = head + used
      slots[tail > buffer and tail - buffer or tail] = item
      used = used + 1
    end
    local writer = coroutine.wrap(function()
      for item = 1, size do emit(item) end
      ended = true
    end)
    local function next_item()
      if used == 0 then
        if ended then return nil end
        writer()
      end
      local item = slots[head]
      head = head == buffer and 1 or head + 1
      used = used - 1
      return item
    end
    return next_item
  end

  return function(count)
    local done, from = 0, now()
    while done < count do
      local sum = 0
      for item in ring() do sum = sum + item end
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

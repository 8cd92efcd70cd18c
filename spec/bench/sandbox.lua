-- Calls of a sandbox, each in a process of its own that locks itself in, proves it, runs a function and answers; `size` at once.
-- Floor: a process that does nothing is started and waited for, as many at once. Goal: 200
-- calls/s where such a process takes 1.25 ms.

local paths = require "weir.paths"
local process = require "weir.port.process"
local sandbox = require "weir.sandbox"
local task = require "weir.task"

local SOURCE = "return { execute = function(ctx, input) return input + 1 end }"

-- How many a second, with `size` at work at any time.
local function rate_of(bench, size, body)
  return function(seconds)
    local done, from = 0, bench.now()
    assert(task.within({}, function()
      for _ = 1, size do
        task.spawn(function()
          repeat
            body()
            done = done + 1
          until bench.now() - from >= seconds
        end)
      end
    end))
    return done / (bench.now() - from)
  end
end

local calls = { figures = { { name = "sandbox calls", unit = "/s", goal_ratio = 0.25 } }, sizes = { 1, 2, 4 } }

function calls.prepare(bench, size)
  local program = paths.natives .. "/weir_sandbox"
  return {
    weir = rate_of(bench, size, function() assert(sandbox.run { name = "bench", source = SOURCE, input = 1 }) end),
    floor = rate_of(bench, size, function() assert(process.run({ program }, { env = {} })) end), -- ends at once: it was told no limits
  }
end

return { calls }

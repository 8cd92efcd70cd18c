-- Under a seed a turn of the loop still ended when the processor's clock ticked, and with it a commit; and
-- where no jitter was asked for, a long stretch was sliced by that clock: the same seed gave another order.

local testing = require "weir.testing"
local weir = require "weir"

local function burn(n)
  local sum = 0
  for i = 1, n do sum = sum + i % 7 end
  return sum
end

local function order(seed, work)
  local seen = {}
  local function note(ctx, input)
    for round = 1, 3 do
      burn(work)
      ctx:sleep(1)
      seen[#seen + 1] = input.name .. round
    end
    return ctx:step "inner" { agent = "echo", input = input }
  end
  local steps = {}
  for index = 1, 6 do steps[index] = weir.step("s" .. index) { agent = "note", input = { name = "s" .. index } } end
  testing.run(weir.pipeline "race" { weir.group "all" { steps } }, { seed = seed, jitter = 0, agents = { note = note } })
  return table.concat(seen, " ")
end

describe("the order that a seed draws", function()
  it("does not hang on how fast the processor is", function()
    for seed = 1, 15 do
      local first = order(seed, 40000)
      for _ = 1, 4 do assert.equal(first, order(seed, 40000)) end
    end
  end)

  it("does not hang on how long a stretch takes", function()
    local first = order(1, 600000)
    for _ = 1, 2 do assert.equal(first, order(1, 600000)) end
    assert.equal(first, order(1, 10))
  end)
end)

-- Under a seed a turn of the loop still ended when the processor's clock ticked, and with it a commit: the
-- same seed gave another order now and then.

local testing = require "weir.testing"
local weir = require "weir"

local function burn(n)
  local sum = 0
  for i = 1, n do sum = sum + i % 7 end
  return sum
end

local function order(seed)
  local seen = {}
  local function note(ctx, input)
    for round = 1, 3 do
      burn(40000)
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
      local first = order(seed)
      for _ = 1, 4 do assert.equal(first, order(seed)) end
    end
  end)
end)

local testing = require "weir.testing"
local watcher = testing.module("watchers/event")

-- A context whose clock stands still but for sleeps, and jumps where it is set; gives what was told, and when, until `until_s`.
local function watch(absent, jumps, until_s)
  local ctx, told, slept = { options = { type = "beat", absent = absent }, memory = {}, time = 1e9, sleeps = 0 }, {}, 0
  function ctx.now() return ctx.time end
  function ctx.save() end
  function ctx.sleep(_, seconds)
    ctx.sleeps = ctx.sleeps + 1
    if slept >= until_s or ctx.sleeps > 1000 then error "enough" end
    slept, ctx.time = slept + seconds, ctx.time + seconds
    local jump = table.remove(jumps, 1)
    if jump then ctx.time = ctx.time + jump end
  end
  function ctx.receive(_, _, _, along) along() end
  local ok, err = pcall(watcher.watch, ctx, function(event) told[#told + 1] = { slept, event.type, event.id } end)
  return told, ok, err
end

describe("watcher event", function()
  it("tells of one silence once", function()
    local told = watch("1m", {}, 600)
    assert.same({ { 60, "weir.absent", "absent beat 1000000000.000" } }, told)
  end)

  it("counts a silence from when the clock was set back, and tells it soon", function()
    local told = watch("1m", { -365 * 86400 }, 600)
    assert.equal(1, #told)
    assert.equal(120, told[1][1])
    told = watch("1m", { 0, -365 * 86400 }, 600) -- it was told before
    assert.equal(1, #told)
  end)

  it("refuses a silence of no time, which would never let the processor go", function()
    local _, ok, err = watch("0s", {}, 600)
    assert.is_false(ok)
    assert.same({ "invalid", "absent: more than no time expected, got 0s" }, { err.code, err.message })
  end)
end)

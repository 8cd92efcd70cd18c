local native = require "weir.native.scheduler"
local reflection = dofile "spec/lua/weir/reflection/support.lua"

local EXAMPLES = 'examples = { { base = 10 }, { base = 20 }, { base = 30 }, { base = 40 } }, holdout = 0.5,'
local AUTO = 'approve = "auto",' .. EXAMPLES

-- Proposes for ever, and never anything better.
local function never_better(_, record)
  return { reason = "worse", patch = reflection.set_size(-#record.candidates - 1) }
end

describe("the limits of a reflection cycle", function()
  local place
  after_each(function()
    if place then place:close() end
    place = nil
  end)

  it("stop a reflection that never converges at the configured count, and the state says why", function()
    place = reflection.place(reflection.pipeline(AUTO .. "iterations = 5, patience = 100,"), never_better)
    local cycle = place:reflect(place:run())
    assert.equal("finished", cycle.status)
    assert.equal(5, cycle.output.rounds)
    assert.same({ code = "rounds", why = "5 of 5 rounds are done" }, cycle.output.stopped)
    assert.equal(5, #place:candidates())
  end)

  it("stop when nothing gets better for a while", function()
    place = reflection.place(reflection.pipeline(AUTO .. "iterations = 50, patience = 2,"), never_better)
    local cycle = place:reflect(place:run())
    assert.equal(2, cycle.output.rounds)
    assert.same({ code = "no_improvement", why = "2 candidates one after the other were not better" }, cycle.output.stopped)
  end)

  it("hold for money: no more is spent than the limit and one call", function()
    local spent = 0
    place = reflection.place(reflection.pipeline(AUTO .. "iterations = 50, patience = 50, limits = { usd = 0.25 },"), never_better, {
      agents = { first = function(ctx, input)
        spent = spent + 0.1
        ctx:metric("usd", 0.1)
        return { base = input.base + spent } -- not the same question twice for what follows
      end } })
    local run = place:run { base = 10 }
    local before = spent
    local cycle = place:reflect(run)
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    assert.equal("limit", cycle.output.stopped.code)
    assert.matches("budget of 0.25 usd is used up", cycle.output.stopped.why)
    assert.is_true(spent - before <= 0.25 + 0.1 + 1e-9, spent - before)
    assert.is_true(spent - before >= 0.25, spent - before)
  end)

  it("hold for money over lives: a reflection that is killed does not begin to count anew", function()
    local spent, calls, text = 0, 0, reflection.pipeline(AUTO .. "iterations = 50, patience = 50, limits = { usd = 0.25 },")
    place = reflection.place(text, never_better, { agents = { first = function(ctx, input)
      spent, calls = spent + 0.1, calls + 1
      ctx:metric("usd", 0.1)
      if calls == 3 and place.cycle_run then place.cycle_run:crash() end
      return { base = input.base + spent }
    end } })
    local run = place:run { base = 10 }
    local before = spent
    local recovery = require "weir.run.recovery"
    place.cycle_run = recovery.open(place.engine, run.reflection)
    place.cycle_run:execute()
    assert.equal("crashed", place.cycle_run.interrupted)
    place:life(true)
    local cycle = place:reflect(run)
    assert.equal("limit", cycle.output.stopped.code)
    assert.is_true(spent - before <= 0.25 + 0.1 + 0.1 + 1e-9, spent - before) -- and the call that was under way at the kill
  end)

  it("hold for steps", function()
    place = reflection.place(reflection.pipeline(AUTO .. "limits = { steps = 6 },"), never_better)
    local cycle = place:reflect(place:run())
    assert.equal("limit", cycle.output.stopped.code)
    assert.matches("budget of 6 steps is used up", cycle.output.stopped.why)
  end)

  it("hold for time", function()
    place = reflection.place(reflection.pipeline(AUTO .. "iterations = 50, patience = 50, limits = { seconds = 50 },"), never_better, {
      agents = { first = function(ctx, input)
        ctx:sleep(30)
        return { base = input.base }
      end } })
    local run = place:run { base = 10 }
    local began = native.wall_ms()
    local cycle = place:reflect(run)
    assert.equal("limit", cycle.output.stopped.code)
    assert.same("the 50 seconds of reflect.limits are over", cycle.output.stopped.why)
    assert.is_true(native.wall_ms() - began <= 50500)
  end)

  it("hold for the size of a proposal", function()
    place = reflection.place(reflection.pipeline(AUTO .. "limits = { changes = 1 },"), function()
      return { reason = "much", patch = { reflection.set_size(4)[1], reflection.set_size(3)[1] } }
    end)
    place:reflect(place:run())
    local one = place:candidates()[1]
    assert.same({ "refused", "limit" }, { one.state, one.code })
    assert.equal("/reflect/limits/changes: the proposal has 2 changes, and 1 are allowed", one.why)
  end)

  it("cannot be lifted by a proposal: it is refused as denied, with the path, and nothing of it is tried", function()
    place = reflection.place(reflection.pipeline(AUTO .. "limits = { usd = 1 },"), function(_, record)
      local paths = { "/reflect/limits/usd", "/budget/tokens", "/reflect/iterations" }
      return { reason = "more", patch = { { op = "replace", path = paths[record.round], value = 1000000000 } } }
    end)
    local before = place:serving()
    local cycle = place:reflect(place:run())
    local all = place:candidates()
    for index, path in ipairs { "/reflect/limits/usd", "/budget/tokens" } do
      assert.same({ "refused", "denied" }, { all[index].state, all[index].code })
      assert.equal(path, all[index].why:match "^[^:]+")
      assert.is_nil(all[index].tuning)
    end
    assert.equal("denied", all[3].code)
    assert.equal("no_improvement", cycle.output.stopped.code)
    assert.equal(before, (place:serving()))
  end)

  it("of the pipeline hold for each trial", function()
    place = reflection.place((reflection.pipeline(AUTO):gsub("tokens = 1000000", "tokens = 10")), reflection.sizes(4), {
      agents = { first = function(ctx, input)
        ctx:metric("tokens", input.base > 90 and 1 or 100)
        return { base = input.base }
      end } })
    local cycle = place:reflect(place:run { base = 100 })
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    assert.equal(1, cycle.output.scores.tuning.inputs + cycle.output.scores.holdout.inputs) -- the others cross it
  end)

  it("a reflection that raises ends the cycle, not the run before it", function()
    place = reflection.place(reflection.pipeline(AUTO), function() error "no idea" end)
    local run = place:run()
    assert.equal("finished", run.status)
    local cycle = place:reflect(run)
    assert.equal("failed", cycle.output.stopped.code)
    assert.matches("no idea", cycle.output.stopped.why)
  end)

  it("what is no proposal is told in its words", function()
    for _, case in ipairs {
      { 7, "reflection 'says' returned integer 7; it returns {reason, patch} or nothing" },
      { { reason = "x" }, "neither or both of 'patch' and 'source'" },
      { { source = { module = "agents/counted" } }, "source: {module, text} expected" },
    } do
      place = reflection.place(reflection.pipeline(AUTO), function() return case[1] end)
      local cycle = place:reflect(place:run())
      assert.equal("failed", cycle.output.stopped.code)
      assert.is_truthy(cycle.output.stopped.why:find(case[2], 1, true), cycle.output.stopped.why)
      place:close()
    end
    place = nil
  end)
end)

local canary = require "weir.healing.canary"
local registry_revise = require "weir.registry.revise"
local reflection = dofile "spec/lua/weir/reflection/support.lua"
local native = require "weir.native.scheduler"
local pins = require "weir.upkeep.pins"
local recovery = require "weir.run.recovery"
local start = require "weir.reflection.start"
local value_of = require "weir.value"
local waking = require "weir.run.waking"

local AUTO = 'approve = "auto", examples = { { base = 10 }, { base = 20 }, { base = 30 }, { base = 40 } }, holdout = 0.5,'

describe("a reflection cycle", function()
  local place
  after_each(function()
    if place then place:close() end
    place = nil
  end)

  it("reads the record of the run: steps, attempts, verdicts, costs", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(), { agents = {
      first = function(ctx, input)
        ctx:metric("tokens", 7)
        return { base = input.base }
      end } })
    local run = place:run { base = 100 }
    place:reflect(run)
    local record = place.record
    assert.equal(run.id, record.run)
    assert.equal("p", record.pipeline)
    assert.same({ score = 96 }, record.output)
    assert.same({ "first", "size" }, { record.steps[1].key, record.steps[2].key })
    assert.equal("finished", record.steps[1].status)
    assert.equal(1, record.steps[1].attempts)
    assert.equal(7, record.steps[1].usage.tokens)
    assert.equal(1, record.definition.groups[2].steps[1].options.size)
    assert.is_number(record.scores.before)
  end)

  it("keeps a proposal that is better on the known inputs and on those held out: it serves from then on", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(4))
    local before = place:serving()
    local cycle = place:reflect(place:run())
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    assert.same({ "kept" }, place:states())
    assert.equal(4, place:size())
    local one = place:candidates()[1]
    assert.equal(before, one.parent)
    assert.equal((place:serving()), one.version)
    assert.equal("rule", one.by)
    assert.is_true(one.tuning.after > one.tuning.before)
    assert.is_true(one.holdout.after > one.holdout.before)
    assert.equal(99, place:run({ base = 100 }).output.score)
  end)

  it("reverts a proposal that is worse: what served goes on serving", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(-3))
    local before = place:serving()
    place:reflect(place:run())
    assert.same({ "reverted" }, place:states())
    assert.equal(before, (place:serving()))
    local one = place:candidates()[1]
    assert.equal("no_gain", one.code)
    assert.is_nil(one.holdout) -- what fails on the known inputs is not tried on those held out
  end)

  it("reverts what is better on the inputs that the reflection knows and not on those held out", function()
    place = reflection.place(reflection.pipeline(AUTO .. 'protect = "first",'), function(_, record)
      -- learns the known inputs by heart
      local known = {}
      for _, one in ipairs(record.scores.inputs) do known[#known + 1] = one.input end
      return record.round == 1 and { reason = "by heart", patch = {
        { op = "add", path = "/groups/1/steps/0/options/known", value = known } } } or nil
    end, { counted = [[
local data = require "weir.reflection.data"
local M = { kind = "agent", name = "counted", api = 1, options = { type = "object" } }
function M.execute(ctx, input)
  for _, one in ipairs(ctx.options.known or {}) do
    if data.hash { base = input.base } == one then return { score = 1000 } end
  end
  return { score = input.base }
end
return M
]] })
    place:reflect(place:run())
    local one = place:candidates()[1]
    assert.equal("reverted", one.state)
    assert.equal("no_gain", one.code)
    assert.is_true(one.tuning.after > one.tuning.before)
    assert.is_false(one.holdout.after > one.holdout.before)
    assert.matches("^holdout: ", one.why)
  end)

  it("goes on from what it has kept, round after round", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(2, 3, 9))
    local cycle = place:reflect(place:run())
    assert.same({ "kept", "kept", "reverted" }, place:states())
    assert.equal(3, place:size())
    local all = place:candidates()
    assert.equal(all[1].version, all[2].parent)
    assert.equal(all[2].version, all[3].parent)
    assert.same({ code = "rounds", why = "3 of 3 rounds are done" }, cycle.output.stopped)
    assert.same({ all[1].version, all[2].version }, cycle.output.kept)
  end)

  it("shows a reflection the candidates before, with what became of them, also those of earlier cycles", function()
    place = reflection.place(reflection.pipeline(AUTO .. "iterations = 1,"), function(_, record)
      return { reason = "worse", patch = reflection.set_size(-#record.candidates - 1), note = { number = #record.candidates } }
    end)
    place:reflect(place:run())
    place:reflect(place:run())
    assert.equal(1, #place.record.candidates)
    local seen = place.record.candidates[1]
    assert.same({ "reverted", "worse", 0 }, { seen.state, seen.reason, seen.note.number })
    assert.is_number(seen.after)
  end)

  it("is reflected on after each run, and once at a time", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes())
    local first = place:run()
    local second = place:run()
    assert.is_string(first.reflection)
    assert.is_nil(second.reflection) -- the first one's is under way
    place:reflect(first)
    assert.is_string(place:run().reflection)
  end)

  it("is begun once by runs that end at the same moment, and by hand not beside another", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes())
    local runs = {}
    for n = 1, 3 do runs[n] = native.spawn(function() return place:run { base = n } end) end
    local reflected = 0
    for _, one in ipairs(runs) do reflected = reflected + (select(2, one:join()).reflection and 1 or 0) end
    assert.equal(1, reflected)
    local claims, claimed = {}, 0
    for n = 1, 3 do claims[n] = native.spawn(function() return (pcall(start.claim, place.store, "q", "r_" .. n)) end) end
    for _, one in ipairs(claims) do claimed = claimed + (select(2, one:join()) and 1 or 0) end
    assert.equal(1, claimed)
  end)

  it("has its definition in the store, whatever is swept away while it begins", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes())
    local of_runs, run = pins.of_runs, nil
    pins.of_runs = function(...) -- luacheck: ignore 122
      pins.of_runs = of_runs -- luacheck: ignore 122
      local pinned = of_runs(...)
      run = place:run()
      return pinned
    end
    pins.sweep(place.store, function() end)
    assert.is_table((place.store:get("definitions", place.store:row(run.reflection).version)))
  end)

  it("is begun in the transaction that ends the run: another life goes on with it", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(4))
    local run = place:run()
    assert.equal("running", place.store:row(run.reflection).status)
    place:life(true)
    local cycle = place:reflect(run)
    assert.equal("finished", cycle.status)
    assert.equal(4, place:size())
    place:life() -- what was kept serves in later lives, too
    assert.equal(4, place:size())
  end)

  it("leaves runs that have begun on the version they began with", function()
    place = reflection.place(reflection.pipeline(AUTO):gsub('weir.step "size"', 'weir.wait "go" { signal = "go", when = "$.input.base > 90" },\n  weir.step "size"'),
      function(_, record)
        return record.round == 1 and { reason = "", patch = { { op = "replace", path = "/groups/2/steps/0/options/size", value = 4 } } } or nil
      end)
    local waiting = place:run { base = 100 }
    assert.equal("waiting", waiting.status)
    local pinned = place:serving()
    place:reflect(place:run { base = 10 })
    assert.not_equal(pinned, (place:serving()))
    waking.signal(place.engine, waiting.id, "go")
    local ended = recovery.open(place.engine, waiting.id):execute()
    assert.same({ score = 96 }, ended.output)
    assert.equal(pinned, place.store:row(waiting.id).version)
  end)

  it("can be taken back by a rollback", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes(4))
    local before = place:serving()
    place:reflect(place:run())
    local done = registry_revise.rollback(place.project.registry, "pipelines/p")
    assert.equal(before, done.to)
    assert.equal(1, place:size())
  end)

  it("uses what was done before again: only what a change reaches is done once more", function()
    place = reflection.place(reflection.pipeline('approve = "auto", holdout = 0.5,'), reflection.sizes(4))
    local runs = {}
    for index = 1, 4 do
      runs[index] = place:run { base = index * 10 }
      if index < 4 then place:forget(runs[index]) end
    end
    local before = place.done.first
    assert.equal(4, before)
    place:reflect(runs[4])
    assert.equal(before, place.done.first) -- the unchanged step before the change is never done again
    local one = place:candidates()[1]
    assert.equal("kept", one.state)
    assert.same({ 8, 4 }, { one.cost.steps, one.cost.reused })
  end)

  it("asks a model again only where a change reaches: answers before it are used for nothing", function()
    local calls = 0
    place = reflection.place(reflection.pipeline('approve = "auto", holdout = 0.5,'), reflection.sizes(4), { agents = {
      first = function(ctx, input)
        calls = calls + 1
        ctx:metric("usd", 0.5)
        return { base = input.base }
      end } })
    local last
    for index = 1, 4 do
      if last then place:forget(last) end
      last = place:run { base = index * 10 }
    end
    local cycle = place:reflect(last)
    assert.same({ 4, "kept", 0 }, { calls, place:candidates()[1].state, place:candidates()[1].cost.usd })
    assert.equal(0, cycle:used "usd")
  end)

  it("measures what was used, where that is to be lower", function()
    place = reflection.place((reflection.pipeline('better = "lower",' .. AUTO):gsub("%$%.output%.score", "$.usage.tokens")),
      reflection.sizes(2, 4), { counted = [[
local M = { kind = "agent", name = "counted", api = 1, options = { size = { type = "number", default = 1 } } }
function M.execute(ctx)
  ctx:metric("tokens", 100 - 10 * ctx.options.size + (ctx.options.size > 3 and 500 or 0))
  return { score = 1 }
end
return M
]] })
    local run = place:run { base = 7 }
    place:reflect(run)
    local all = place:candidates()
    assert.same({ "kept", "reverted" }, place:states())
    assert.is_true(all[1].tuning.after < all[1].tuning.before)
  end)

  it("measures by a critic or a judge as well", function()
    local text = reflection.pipeline(AUTO):gsub('metric = "%$%.output%.score"', 'metric = { use = "rubric", options = { min_words = 10 } }')
      :gsub('output = { score = "%$%.size%.score" }', 'output = "$.size.score"')
    place = reflection.place(text, reflection.sizes(4), { counted = [[
local M = { kind = "agent", name = "counted", api = 1, options = { size = { type = "number", default = 1 } } }
function M.execute(ctx) return { score = { text = ("word "):rep(ctx.options.size) } } end
return M
]] })
    local cycle = place:reflect(place:run())
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    local one = place:candidates()[1]
    assert.equal("kept", one.state, one.why)
    assert.is_true(one.tuning.after > one.tuning.before and one.tuning.after <= 1)
  end)

  it("tries other agents and new steps in the versions that serve when it is first tried", function()
    place = reflection.place(reflection.pipeline(AUTO), function(_, record)
      return record.round == 1 and { reason = "twice", patch = {
        { op = "add", path = "/groups/1/steps/0/input/base", value = "$.more.base" },
        { op = "add", path = "/groups/1", value = { name = "more", steps = { { name = "more", agent = "doubled", input = "$.first" } } } },
      } } or nil
    end, { agents = { doubled = function(_, input) return { base = input.base * 2 } end } })
    place.engine.decide = function() return { decision = "approve", by = "ada" } end
    local cycle = place:reflect(place:run { base = 100 })
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    local one = place:candidates()[1]
    assert.equal("kept", one.state, one.why)
    assert.equal("ada", one.by) -- a new step is a person's to decide
    assert.equal(196, place:run({ base = 100 }).output.score)
  end)

  it("may let a part of the runs try what is better first: promoted it serves, rolled back what served goes on", function()
    for _, case in ipairs { { "promoted", "kept", 4 }, { "rolled_back", "reverted", 1 } } do
      place = reflection.place(reflection.pipeline(AUTO .. "canary = 50,"), reflection.sizes(4))
      local cycle = place:reflect(place:run())
      assert.equal("canary", cycle.output.stopped.code, cycle.output.stopped.why)
      assert.same({ "canary" }, place:states())
      assert.equal(1, place:size())
      local had = {}
      for _ = 1, 40 do
        local run = place:run { base = 100 }
        assert.is_nil(run.reflection) -- one thing is tried at a time
        had[run.output.score] = (had[run.output.score] or 0) + 1
      end
      assert.is_true((had[99] or 0) > 5 and (had[96] or 0) > 5)
      if canary.of(place.store, "pipelines/p") then canary.finish(place.engine, "pipelines/p", case[1], { reason = "seen" }) end
      assert.equal(case[2], place:states()[1])
      assert.equal(case[3], place:size())
      place:close()
    end
    place = nil
  end)

  it("knows what became of a candidate whose trial ended before it was noted that it had begun", function()
    place = reflection.place(reflection.pipeline(AUTO .. " canary = 50,"), reflection.sizes(4))
    local run, start_trial = place:run(), canary.start
    canary.start = function(...) -- luacheck: ignore 122
      canary.start = start_trial -- luacheck: ignore 122
      start_trial(...)
      canary.finish(place.engine, "pipelines/p", "promoted", { by = "ada" })
    end
    place:reflect(run)
    assert.same({ "kept" }, place:states())
    assert.equal(4, place:size())
  end)

  it("stops when nothing is proposed", function()
    place = reflection.place(reflection.pipeline(AUTO), reflection.sizes())
    local cycle = place:reflect(place:run())
    assert.equal("no_proposal", cycle.output.stopped.code)
    assert.equal(0, cycle.output.rounds)
    assert.is_true(value_of.equal({}, place:candidates()))
  end)

  it("never keeps what could not be checked on an input that was held out", function()
    place = reflection.place(reflection.pipeline('approve = "auto", recorded = 1,'), reflection.sizes(4))
    place:reflect(place:run())
    local one = place:candidates()[1]
    assert.equal("reverted", one.state)
    assert.equal("no_holdout", one.code)
  end)

  it("says what serves by now when that changed meanwhile, and changes nothing", function()
    place = reflection.place(reflection.pipeline(AUTO), function(_, record)
      if record.round == 1 then
        local file = assert(io.open(place.folder .. "/pipelines/p.lua", "wb"))
        file:write((reflection.pipeline(AUTO):gsub("options = { size = 1 }", "options = { size = 2 }")))
        file:close()
        registry_revise.reload(place.project.registry, "pipelines/p")
      end
      return { reason = "", patch = reflection.set_size(5) }
    end)
    local cycle = place:reflect(place:run())
    assert.equal("stale", cycle.output.stopped.code)
    assert.same({ "reverted" }, place:states())
    assert.equal(2, place:size())
  end)
end)

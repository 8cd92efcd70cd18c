-- Test 63: the six overlap policies over 100 periods, in a living host and in a preview that simulates them.
local approval = require "weir.approval"
local clock = require "weir.port.clock"
local keeping = require "weir.run.keeping"
local preview = require "weir.schedule.preview"
local support = dofile "spec/lua/weir/schedule/support.lua"
local waking = require "weir.run.waking"

local PERIODS = 100
local TAKES = 150 -- seconds of a run, of a period of 60

-- What becomes of 100 times, a minute apart, with runs of two and a half minutes.
local EXPECTED = {
  skip = { started = 34, skipped = 66 },
  buffer_one = { started = 41, skipped = 59 },
  buffer_all = { started = 100 },
  cancel_other = { started = 100, cancelled = 99 },
  terminate_other = { started = 100, cancelled = 99 },
  allow_all = { started = 100 },
}

describe("an overlap policy, of runs that take longer than the period", function()
  local world
  before_each(function() world = support.world("2026-03-02T00:00:10Z", ":memory:") end)
  after_each(function() world:close() end)

  local function run_with(policy)
    world:write("pipelines/tick.lua", support.pipeline("tick",
      ('{ cron = "* * * * *", overlap = %q, limit = 1000, ["end"] = "2026-03-02T01:41:00Z" }'):format(policy), { seconds = TAKES }))
    world:start()
    local most = 0
    for _ = 1, PERIODS + 200 do
      world:pass(60)
      most = math.max(most, #world:state("tick").active)
    end
    return world:state("tick").totals, most
  end

  for _, policy in ipairs { "skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all" } do
    it(("%s is exact over %d periods"):format(policy, PERIODS), function()
      local totals, most = run_with(policy)
      local expected = EXPECTED[policy]
      assert.equal(expected.started, totals.started)
      assert.equal(expected.skipped, totals.skipped)
      assert.equal(expected.cancelled, totals.cancelled)
      assert.equal(expected.started - (expected.cancelled or 0), totals.finished)
      assert.equal(policy == "allow_all" and 3 or 1, most)
      assert.equal(expected.started, #world:runs "tick")
    end)
  end

  it("buffer_one keeps one time, and it starts when the run before has ended", function()
    world:write("pipelines/tick.lua", support.pipeline("tick", '{ cron = "* * * * *", overlap = "buffer_one" }', { seconds = TAKES }))
    world:start()
    world:pass(300)
    local rows, list = world:history "tick", {}
    for index, row in ipairs(rows) do list[index] = row.outcome .. " " .. clock.rfc3339(row.nominal_ms):sub(15, 16) end
    assert.same({ "started 01", "skipped 03", "started 02", "skipped 05" }, list)
    assert.equal(TAKES, math.floor((rows[3].at_ms - rows[1].at_ms) / 1000))
  end)

  it("cancel_other lets the run before clean up, and the latest of the times takes its turn then", function()
    world:write("modules/agents/work.lua", [[
      return { kind = "agent", name = "work", api = 1, execute = function(ctx)
        ctx:sleep(10000)
      end }
    ]])
    world:write("modules/agents/tidy.lua", [[
      return { kind = "agent", name = "tidy", api = 1, execute = function(ctx) ctx:sleep(100) return "tidy" end }
    ]])
    world:write("pipelines/tick.lua", [[
      local weir = require "weir"
      return weir.pipeline "tick" { on = { { schedule = { cron = "* * * * *", overlap = "cancel_other" } } },
        weir.step "before" { agent = "echo", input = "x", undo = { agent = "tidy" } },
        weir.step "work" { agent = "work" } }
    ]])
    world:start()
    world:pass(60 + 60 + 60 + 30)
    local list = {}
    for index, row in ipairs(world:history "tick") do
      list[index] = ("%s %s %s"):format(row.outcome, clock.rfc3339(row.nominal_ms):sub(15, 16), row.status or "goes on")
    end
    assert.same({ "started 01 cancelled", "replaced 02 goes on" }, { list[1], list[2] })
    assert.equal("started 03 goes on", list[3] or "")
  end)

  it("terminate_other ends the run before at once, with the runs that it started, and undoes nothing", function()
    world:write("pipelines/inner.lua", [[
      local weir = require "weir"
      return weir.pipeline "inner" { weir.step "nap" { sleep = "10h" } }
    ]])
    world:write("modules/agents/tidy.lua", [[return { kind = "agent", name = "tidy", api = 1, execute = function() error "not undone" end }]])
    world:write("pipelines/tick.lua", [[
      local weir = require "weir"
      return weir.flow "tick" { on = { { schedule = { cron = "0 * * * *", overlap = "terminate_other" } } },
        function(run)
          run:step "before" { agent = "echo", input = "x", undo = { agent = "tidy" } }
          return weir.start("inner", {}):wait()
        end }
    ]])
    world:start()
    world:pass(3600 * 2)
    local ended = {}
    for _, found in ipairs(world:runs()) do ended[#ended + 1] = found.row.pipeline .. " " .. found.row.status end
    table.sort(ended)
    assert.same({ "inner cancelled", "inner waiting", "tick cancelled", "tick waiting" }, ended)
    local first = world:history("tick")[1]
    assert.equal("cancelled", first.status)
    assert.matches("was not undone", world.store:row(first.run).error.message)
    assert.equal(world:history("tick")[2].at_ms // 60000, first.ended_ms // 60000)
  end)

  it("terminate_other ends a run for good that is woken while it is being ended", function()
    world:write("modules/agents/marks.lua", [[return { kind = "agent", name = "marks", api = 1, execute = function(ctx)
      ctx.workspace:post("it went on", {}, { scope = "project" })
      return 1
    end }]])
    world:write("pipelines/tick.lua", [[
      local weir = require "weir"
      return weir.pipeline "tick" { on = { { schedule = { cron = "0 * * * *", overlap = "terminate_other" } } },
        weir.step "go" { wait = { signal = "go" } }, weir.step "mark" { agent = "marks" } }
    ]])
    world:start()
    world:pass(3600)
    local first, give_up = world:runs()[1].id, keeping.give_up
    keeping.give_up = function(...) -- luacheck: ignore 122
      keeping.give_up = give_up -- luacheck: ignore 122
      waking.signal(world.host.engine, first, "go")
      clock.sleep(1)
      return give_up(...)
    end
    world:pass(3600)
    assert.equal("cancelled", world.store:row(first).status)
    local last = world.store:load(first)
    assert.same({ "end", "cancelled" }, { last[#last][1], last[#last][2] })
    assert.same({}, assert(world.store:scan("workspace.heads", {})))
    assert.is_nil(world.host.engine.live[first])
  end)

  it("terminate_other takes back all that a run asks, however many questions that are", function()
    world:write("pipelines/tick.lua", [[
      local weir = require "weir"
      return weir.pipeline "tick" { on = { { schedule = { cron = "0 * * * *", overlap = "terminate_other" } } }, weir.approval "ask" {} }
    ]])
    world:start()
    world:pass(3600)
    local first, operations = world:runs()[1].id, {}
    for n = 1, 1100 do
      local step = ("map[%d]/ask"):format(n)
      local action = assert(approval.action { run = first, pipeline = "tick", version = "1", step = step })
      local asked = approval.ask { id = approval.id(first, step, 1), action = action, asked_ms = clock.wall_ms() }
      table.move(asked, 1, #asked, #operations + 1, operations)
    end
    assert(world.store:batch(operations))
    world:pass(3600)
    assert.equal("cancelled", world.store:row(first).status)
    assert.same({}, approval.pending(world.store, { run = first }))
  end)

  it("is shown by a preview as it will be", function()
    for policy, expected in pairs(EXPECTED) do
      world:write("pipelines/tick.lua", support.pipeline("tick",
        ('{ cron = "* * * * *", overlap = %q, start = "2026-03-03T00:01:00Z", ["end"] = "2026-03-03T01:41:00Z" }'):format(policy)))
      world:start()
      local rule = world.host.schedules.found[world:id "tick"].rule
      local items = preview.of(rule, nil, { from_ms = clock.wall_ms(), count = 1000, duration_ms = TAKES * 1000 })
      world:stop()
      local starts, skips, early = 0, 0, 0
      for _, item in ipairs(items) do
        if item.starts_ms then starts = starts + 1 end
        if item.outcome == "skip" then skips = skips + 1 end
        if item.ends_early then early = early + 1 end
      end
      assert.same({ PERIODS, expected.started, expected.skipped or 0, expected.cancelled or 0 }, { #items, starts, skips, early }, policy)
    end
  end)
end)

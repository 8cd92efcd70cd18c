-- Schedules as a living host tends them.
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local keeping = require "weir.run.keeping"
local operations = require "weir.schedule.operations"
local record = require "weir.schedule.record"
local support = dofile "spec/lua/weir/schedule/support.lua"

local WHO = { by = "ada", via = "spec" }

describe("a host with schedules", function()
  local world
  before_each(function() world = support.world("2026-03-02T06:59:30Z", ":memory:") end)
  after_each(function() world:close() end)

  local function begin(schedule, options)
    world:write("pipelines/tick.lua", support.pipeline("tick", schedule, options))
    return world:start()
  end

  local function rule() return world.host.schedules.found[world:id "tick"].rule end

  local function outcomes()
    local list = {}
    for index, row in ipairs(world:history "tick") do list[index] = row.outcome end
    return list
  end

  it("starts a pipeline at each of its times, and keeps a history with counters", function()
    begin '{ cron = "0 * * * *" }'
    world:pass(3 * 3600)
    assert.same({ "2026-03-02T07:00:00.000Z", "2026-03-02T08:00:00.000Z", "2026-03-02T09:00:00.000Z" }, world:started "tick")
    local rows = world:history "tick"
    assert.equal("finished", rows[1].status)
    assert.same({ started = 3, finished = 3 }, world:state("tick").totals)
    assert.equal(3, #world:runs "tick")
    assert.is_true(rows[3].lag_ms < 1000)
    assert.equal("schedule tick", world.host.engine.store:load(rows[1].run)[1][2].by)
    assert.is_true(clock.wall_ms() > rows[1].ended_ms)
  end)

  it("starts at the times of an interval, counted from when it was first seen", function()
    begin '{ every = "45m" }'
    world:pass(2 * 3600)
    assert.equal(2, #world:started "tick")
    local rows = world:history "tick"
    assert.equal(45 * 60000, rows[2].nominal_ms - rows[1].nominal_ms)
  end)

  it("starts once at a single time, and is over then", function()
    begin '{ at = "2026-03-02T08:30", tz = "Europe/Berlin" }'
    world:pass(3600)
    assert.same({ "2026-03-02T07:30:00.000Z" }, world:started "tick")
    assert.equal("it has no more times", world:state("tick").over)
    assert.is_nil(world.host.schedules.due_ms[world:id "tick"])
  end)

  it("starts the others also while the record of one is damaged, and that one once it can be read", function()
    for _, name in ipairs { "one", "two", "three" } do
      world:write(("pipelines/%s.lua"):format(name), support.pipeline(name, '{ cron = "0 * * * *" }'))
    end
    local get, is_damaged = record.get, true
    record.get = function(store, id)
      if is_damaged and id == world:id "two" then failure.raise("corrupt", "the record of '%s' is damaged", id) end
      return get(store, id)
    end
    local _ <close> = setmetatable({}, { __close = function() record.get = get end })
    world:start()
    world:pass(2 * 3600)
    assert.same({ 2, 0, 2 }, { #world:runs "one", #world:runs "two", #world:runs "three" })
    is_damaged = false
    world:pass(2 * 3600)
    assert.same({ 4, 4 }, { #world:runs "one", #world:runs "three" })
    assert.is_true(#world:runs "two" >= 1)
  end)

  it("reads the schedules again when they could not be read once", function()
    local names = require "weir.schedule.names"
    local of, calls = names.of, 0
    names.of = function(...)
      calls = calls + 1
      if calls == 1 then failure.raise("unavailable", "the folder cannot be read") end
      return of(...)
    end
    local _ <close> = setmetatable({}, { __close = function() names.of = of end })
    begin '{ cron = "0 * * * *" }'
    world:pass(3600)
    assert.equal(1, #world:runs "tick")
  end)

  it("gives the run the nominal time, as event and as input", function()
    begin('{ cron = "0 8 * * *", tz = "Europe/Berlin" }', { input = '{ day = "string", n = "integer" }', step_input = '"$.input"',
      trigger = 'input = { day = "$.event.data.local", n = "$.event.data.number" }' })
    world:pass(3600)
    local run = world:runs("tick")[1]
    assert.same({ day = "2026-03-02T08:00:00+01:00", n = 1 }, world.store:load(run.id)[1][2].input)
  end)

  it("gives a run without `input:` what its pipeline asks for by name", function()
    begin('{ cron = "0 8 * * *" }', { input = '{ nominal = "string", previous = "string?" }', step_input = '"$.input"' })
    world:pass(26 * 3600)
    local runs = world:runs "tick"
    assert.same({ nominal = "2026-03-02T08:00:00.000Z" }, world.store:load(runs[1].id)[1][2].input)
    assert.same({ nominal = "2026-03-03T08:00:00.000Z", previous = "2026-03-02T08:00:00.000Z" },
      world.store:load(runs[2].id)[1][2].input)
  end)

  it("starts only what its filter lets through", function()
    begin('{ cron = "0 * * * *" }', { trigger = [[filter = "$.event.data.number == 2"]] })
    world:pass(3 * 3600)
    assert.same({ "filtered", "started", "filtered" }, outcomes())
  end)

  it("keeps to start, end and limit", function()
    begin '{ cron = "0 * * * *", start = "2026-03-02T08:30:00Z", ["end"] = "2026-03-02T11:00:00Z" }'
    world:pass(6 * 3600)
    assert.same({ "2026-03-02T09:00:00.000Z", "2026-03-02T10:00:00.000Z" }, world:started "tick")
    world:write("pipelines/tick.lua", support.pipeline("tick", '{ cron = "0 * * * *", limit = 3 }'))
    world.host:reload()
    world:pass(6 * 3600)
    assert.equal(3, #world:started "tick") -- those of before count
    assert.matches("limit of 3", world:state("tick").over)
  end)

  it("leaves out the days that its calendar leaves out", function()
    world:write("weir.lua", [[return { calendars = { office = { days = "mon-fri", exclude = { "2026-03-04", "03-06" } } } }]])
    begin '{ cron = "0 9 * * *", calendar = "office" }'
    world:pass(8 * 86400)
    assert.same({ "2026-03-02T09:00:00.000Z", "2026-03-03T09:00:00.000Z", "2026-03-05T09:00:00.000Z", "2026-03-09T09:00:00.000Z" },
      world:started "tick")
  end)

  it("starts later by a part of the jitter, the same one whenever it is asked, and keeps the nominal time", function()
    begin '{ cron = "0 * * * *", jitter = "10m" }'
    world:pass(4 * 3600)
    local due, late = rule(), 0
    for _, row in ipairs(world:history "tick") do
      local shift = due:due(row.nominal_ms) - row.nominal_ms
      assert.is_true(shift >= 0 and shift <= 600000)
      assert.is_true(row.at_ms >= row.nominal_ms + shift and row.at_ms < row.nominal_ms + shift + 2000)
      if shift > 1000 then late = late + 1 end
    end
    assert.is_true(late >= 2)
    assert.equal("2026-03-02T07:00:00.000Z", world:started("tick")[1])
  end)

  it("fires no more while it is paused, counts what passes, and goes on from there", function()
    begin '{ cron = "0 * * * *" }'
    world:pass(3600)
    operations.pause(world.store, rule(), WHO, "the disk is changed")
    world.host.schedules:nudge(rule().id)
    world:pass(3 * 3600)
    assert.equal(1, #world:started "tick")
    local _, passed = operations.resume(world.store, rule(), WHO)
    assert.equal(3, passed)
    world.host.schedules:nudge(rule().id)
    world:pass(3600)
    assert.same({ "2026-03-02T07:00:00.000Z", "2026-03-02T11:00:00.000Z" }, world:started "tick")
    assert.equal(3, world:state("tick").totals.paused)
    assert.is_nil((select(2, operations.resume(world.store, rule(), WHO))))
    local actions = {}
    for _, entry in ipairs(require("weir.audit").list(world.store)) do actions[#actions + 1] = entry.value.action .. " " .. entry.value.what end
    assert.same({ "pause schedules/tick", "resume schedules/tick" }, actions)
  end)

  it("starts one now when it is triggered, also while it is paused", function()
    begin('{ cron = "0 0 1 1 *" }', { seconds = 100 })
    operations.pause(world.store, rule(), WHO)
    local _, action = operations.trigger(world.store, rule(), WHO)
    assert.equal("start", action)
    world.host.schedules:nudge(rule().id)
    world:pass(10)
    assert.equal(1, #world:state("tick").active)
    assert.equal("skip", (select(2, operations.trigger(world.store, rule(), WHO))))
    assert.equal("start", (select(2, operations.trigger(world.store, rule(), WHO, "allow_all"))))
    world.host.schedules:nudge(rule().id)
    world:pass(10)
    assert.equal(2, #world:state("tick").active)
    world:pass(200)
    assert.equal(2, world:state("tick").totals.finished)
  end)

  it("makes up for a past stretch, each time once", function()
    begin '{ cron = "0 * * * *" }'
    world:pass(2 * 3600)
    local function backfill(again)
      local _, times = operations.backfill(world.store, rule(), WHO, { from = "2026-03-02T03:00:00Z", to = "2026-03-02T08:00:00Z",
        again = again })
      world.host.schedules:nudge(rule().id)
      world:pass(5)
      return #times
    end
    assert.equal(6, backfill())
    assert.equal(8 - 2, #world:runs "tick") -- of 07:00 and 08:00 there were runs
    assert.equal(2, world:state("tick").totals.again)
    assert.equal(6, backfill())
    assert.equal(6, #world:runs "tick")
    assert.equal(6, backfill(true))
    assert.equal(12, #world:runs "tick")
  end)

  it("makes up for a stretch of the schedule's own zone, also on a day on which its clock is set", function()
    begin '{ cron = "0 * * * *", tz = "America/New_York" }'
    local function times(from, to)
      local _, list = operations.backfill(world.store, rule(), WHO, { from = from, to = to, overlap = "skip" })
      for index, ms in ipairs(list) do list[index] = rule():local_text(ms) end
      return list
    end
    assert.same({ "2025-03-09T03:00:00-04:00", "2025-03-09T04:00:00-04:00" }, times("2025-03-09T02:30", "2025-03-09T04:00"))
    assert.same({ "2025-11-02T04:00:00-05:00" }, times("2025-11-02T04:00", "2025-11-02T04:30"))
  end)

  it("refuses a backfill of the future, backwards, or of too much", function()
    begin '{ cron = "* * * * *" }'
    local function refused(from, to)
      local ok, err = pcall(operations.backfill, world.store, rule(), WHO, { from = from, to = to })
      assert.is_false(ok)
      return err.code .. ": " .. err.message
    end
    assert.matches("invalid: to: it lies ahead", refused("2026-03-01", "2026-04-01"))
    assert.matches("invalid: to: it is before from", refused("2026-03-01", "2026-02-01"))
    assert.matches("invalid: from: a time such as", refused("yesterday", "2026-03-01"))
    assert.matches("limit: schedule 'tick' has 1441 times there", refused("2026-03-01", "2026-03-02"))
  end)

  it("keeps what was decided when its definition changes, and makes up for nothing that only the new one has", function()
    begin '{ cron = "0 7 * * *" }'
    world:pass(5 * 3600)
    world:write("pipelines/tick.lua", support.pipeline("tick", '{ cron = "30 * * * *", missed = "all" }'))
    world.host:reload()
    world:pass(3600)
    assert.same({ "2026-03-02T07:00:00.000Z", "2026-03-02T12:30:00.000Z" }, world:started "tick")
    world:write("pipelines/tick.lua", support.pipeline("tick", '{ cron = "30 * * * *", overlap = "allow_all" }'))
    world.host:reload()
    world:pass(3600)
    assert.equal(3, #world:started "tick")
  end)

  it("follows pipelines that come and go", function()
    begin '{ cron = "0 * * * *" }'
    world:write("pipelines/other.lua", support.pipeline("other", '{ cron = "0 * * * *" }'))
    world.host:reload()
    world:pass(3600)
    assert.equal(1, #world:started "other")
    os.remove(world.folder .. "/pipelines/other.lua")
    world.host:reload()
    world:pass(3600)
    assert.is_nil(world:id "other")
    assert.equal(2, #world:started "tick")
    local kept = 0
    for _, state in pairs(record.all(world.store)) do kept = kept + (state.name == "other" and state.totals.started or 0) end
    assert.equal(1, kept)
  end)

  it("goes on serving the others when one cannot be read, and says which", function()
    world:write("pipelines/broken.lua", support.pipeline("broken", '{ cron = "0 0 30 2 *" }'))
    begin '{ cron = "0 * * * *" }'
    world:pass(3600)
    assert.equal(1, #world:started "tick")
    local told
    for _, line in ipairs(world.lines) do told = told or line.pipeline == "broken" and line.error end
    assert.matches("never fires", told)
  end)

  it("notes a run that could not be started, and goes on with the next time", function()
    begin('{ cron = "0 * * * *" }', { input = '{ n = "integer" }', step_input = '"$.input"',
      trigger = [[input = { n = "$.event.data.schedule" }]] })
    world:pass(2 * 3600)
    local rows = world:history "tick"
    assert.same({ "refused", "refused" }, outcomes())
    assert.matches("integer", rows[1].why)
    assert.equal(0, #world:runs "tick")
  end)

  it("starts pipelines that keep nothing, each time once at most", function()
    begin('{ cron = "0 * * * *" }', { top = 'durability = "none",' })
    world:pass(3 * 3600)
    assert.equal(3, #world:started "tick")
    assert.equal(0, #world:state("tick").active)
    assert.equal(0, #world:runs "tick")
  end)

  it("tells two schedules of a pipeline apart by their names", function()
    world:write("pipelines/two.lua", [[
      local weir = require "weir"
      return weir.pipeline "two" {
        on = { { schedule = { cron = "0 8 * * *" }, name = "early" }, { schedule = { cron = "0 18 * * *" }, name = "late" } },
        weir.step "work" { agent = "work", input = {} } }
    ]])
    world:start()
    world:pass(24 * 3600)
    assert.same({ "2026-03-02T08:00:00.000Z" }, world:started "two/early")
    assert.same({ "2026-03-02T18:00:00.000Z" }, world:started "two/late")
  end)

  it("starts nothing of what weir brings with it", function()
    world:start()
    assert.is_true(#world.host.project:pipeline_names() > 3)
    assert.same({}, world.host.schedules.found)
  end)

  it("goes on when a run of it is in quarantine", function()
    world:write("pipelines/tick.lua", [[
      local weir = require "weir"
      return weir.pipeline "tick" { on = { { schedule = { cron = "0 * * * *" } } }, weir.step "paid" { wait = { signal = "paid" } } }
    ]])
    world:start()
    world:pass(2 * 3600)
    assert.same({ "started", "skipped" }, outcomes())
    local run = world:runs("tick")[1]
    keeping.quarantine(world.store, run.id, run.row, failure.new("failed", "it kills the host"))
    world:pass(3600)
    assert.same({ "started", "skipped", "started" }, outcomes())
    assert.equal("quarantined", world:history("tick")[1].status)
  end)

  it("tells the feed what it decides", function()
    begin '{ cron = "0 * * * *" }'
    local follower = world.host.feed:follow { kinds = { "schedule" } }
    world:pass(3600)
    local data = follower:next(1).data
    assert.same({ "tick", "started", "due", "2026-03-02T07:00:00.000Z" }, { data.schedule, data.outcome, data.kind, data.nominal })
    assert.is_true(data.lag_s < 1)
    follower:close()
  end)
end)

describe("the absence of a success", function()
  local world
  before_each(function() world = support.world("2026-03-05T00:00:00Z", ":memory:") end)
  after_each(function() world:close() end)

  it("starts a pipeline when another has not finished by seven on a working day", function()
    world:write("pipelines/nightly.lua", support.pipeline("nightly", '{ cron = "0 2 5,9 * *" }'))
    world:write("pipelines/alarm.lua", support.pipeline("alarm",
      '{ cron = "0 7 * * *", calendar = { days = "mon-fri" }, absent = { pipeline = "nightly", within = "1d" } }',
      { input = '{ absent = "object" }', step_input = '"$.input"' }))
    world:start()
    world:pass(5 * 86400) -- Thursday to Monday
    local outcomes = {}
    for index, row in ipairs(world:history "alarm") do outcomes[index] = clock.rfc3339(row.nominal_ms):sub(1, 10) .. " " .. row.outcome end
    assert.same({ "2026-03-05 satisfied", "2026-03-06 started", "2026-03-09 satisfied" }, outcomes)
    local run = world:runs("alarm")[1]
    assert.same({ pipeline = "nightly", since = "2026-03-05T07:00:00.000Z" }, world.store:load(run.id)[1][2].input.absent)
  end)

  it("does not take a run that failed for a success", function()
    world:write("pipelines/nightly.lua", support.pipeline("nightly", '{ cron = "0 2 * * *" }', { step_input = "{ fail = true }" }))
    world:write("pipelines/alarm.lua", support.pipeline("alarm", '{ cron = "0 7 * * *", absent = "nightly" }'))
    world:start()
    world:pass(86400)
    assert.equal(1, #world:started "alarm")
    assert.equal(1, world:state("nightly").totals.failed)
  end)
end)

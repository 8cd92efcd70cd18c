-- Tests 60 and 61: what was missed, and clocks that jump. Counts are exact.
local civil = require "weir.schedule.civil"
local clock = require "weir.port.clock"
local decide = require "weir.schedule.decide"
local rule_of = require "weir.schedule.rule"
local support = dofile "spec/lua/weir/schedule/support.lua"

local HOUR, DAY = 3600, 86400

local function ms(text) return support.ms(text) end

local function rule(schedule) return rule_of.new({ schedule = schedule }, { pipeline = "p", name = "p" }) end

-- A schedule that was looked at last at a moment and again so many seconds later.
local function after_down(schedule, seconds, from)
  local one, start = rule(schedule), ms(from or "2026-06-01T00:00:30Z")
  local state, rows = decide.new_state(one, start), {}
  decide.due(one, state, start + seconds * 1000, rows)
  return state, rows, one
end

local function kinds(state)
  local counts = {}
  for _, one in ipairs(state.queue) do counts[one.kind] = (counts[one.kind] or 0) + 1 end
  return counts
end

describe("times that were missed", function()
  -- By how long the host was down: how many times of "every minute" that are, the last of which is 30 s late.
  local DOWN = { { "1 minute", 60, 1 }, { "10 minutes", 600, 10 }, { "1 hour", HOUR, 60 }, { "2 hours", 2 * HOUR, 120 },
    { "1 day", DAY, 1440 }, { "30 days", 30 * DAY, 43200 } }

  for _, case in ipairs(DOWN) do
    local label, seconds, count = table.unpack(case)
    it(("none: nothing of %s is made up for, and all is counted"):format(label), function()
      local state, rows = after_down({ cron = "* * * * *", missed = "none" }, seconds)
      assert.same({}, state.queue)
      assert.same({ missed = count }, state.totals)
      assert.equal(count, rows[1].interval.count)
    end)

    it(("last: of %s one is made up for, and the others are counted"):format(label), function()
      local state = after_down({ cron = "* * * * *" }, seconds)
      assert.same({ late = 1 }, kinds(state))
      assert.equal(ms "2026-06-01T00:00:00Z" + seconds * 1000, state.queue[1].nominal_ms)
      assert.equal(count > 1 and count - 1 or nil, state.totals.missed)
    end)

    it(("all: of %s the latest 100 are made up for, and the others are dropped and counted"):format(label), function()
      local state, rows = after_down({ cron = "* * * * *", missed = "all" }, seconds)
      assert.same({ late = math.min(count, 100) }, kinds(state))
      assert.equal(count > 100 and count - 100 or nil, state.totals.dropped)
      assert.is_nil(state.totals.missed)
      if count > 100 then assert.equal(count - 100, rows[1].interval.count) end
    end)

    it(("coalesce: one run gets all of %s"):format(label), function()
      local state = after_down({ cron = "* * * * *", missed = "coalesce" }, seconds)
      assert.same({ coalesced = 1 }, kinds(state))
      local interval = state.queue[1].interval
      assert.same({ from_ms = ms "2026-06-01T00:01:00Z", to_ms = ms "2026-06-01T00:00:00Z" + seconds * 1000, count = count }, interval)
      assert.is_nil(state.totals.missed)
    end)
  end

  it("are made up for within the window only", function()
    local window = { cron = "0 * * * *", window = "2h30m" }
    local function with(missed)
      window.missed = missed
      local state = after_down(window, DAY)
      return kinds(state), state.totals.missed, state.queue[1] and state.queue[1].interval
    end
    assert.same({ { late = 1 }, 23 }, { with "last" })
    local counts, missed = with "all"
    assert.same({ { late = 3 }, 21 }, { counts, missed })
    local interval
    counts, missed, interval = with "coalesce"
    assert.same({ { coalesced = 1 }, 21 }, { counts, missed })
    assert.same({ from_ms = ms "2026-06-01T22:00:00Z", to_ms = ms "2026-06-02T00:00:00Z", count = 3 }, interval)
    assert.same({ { late = 1 } }, { (function()
      local state = after_down({ cron = "0 0 1 * *", window = "1d" }, 30 * DAY + HOUR)
      return kinds(state)
    end)() })
    assert.same({ {}, 1 }, { (function()
      local state = after_down({ cron = "0 0 1 * *", window = "1d" }, 33 * DAY)
      return kinds(state), state.totals.missed
    end)() })
  end)

  it("of an interval are counted as those of a pattern", function()
    local state = after_down({ every = "10m", missed = "all" }, 30 * DAY + 60)
    assert.same({ late = 100 }, kinds(state))
    assert.equal(30 * 144 - 100, state.totals.dropped)
  end)

  it("are counted quickly, however many they are", function()
    local from = os.clock()
    local state = after_down({ cron = "* * * * * *", missed = "coalesce", window = "3650d" }, 3650 * DAY)
    assert.equal(3650 * DAY, state.queue[1].interval.count + state.totals.skipped) -- those on time find it going
    assert.is_true(os.clock() - from < 30)
  end)

  it("do not take more than the limit", function()
    local state = after_down({ cron = "* * * * *", missed = "all", limit = 7 }, HOUR)
    assert.same({ late = 7 }, kinds(state))
    assert.matches("limit of 7", state.over)
  end)

  it("that are late by a few seconds are on time", function()
    local state = after_down({ cron = "* * * * *", missed = "none" }, 35)
    assert.same({ due = 1 }, kinds(state))
  end)
end)

describe("a host that was down", function()
  local world
  before_each(function() world = support.world "2026-03-02T06:30:00Z" end)
  after_each(function() world:close() end)

  local function begin(schedule, options)
    world:write("pipelines/tick.lua", support.pipeline("tick", schedule, options))
    world:start()
  end

  it("makes up for the last of what it missed, once", function()
    begin '{ cron = "0 * * * *" }'
    world:pass(HOUR)
    world:down(5 * HOUR)
    world:pass(60)
    world:down(60)
    assert.same({ "2026-03-02T07:00:00.000Z", "2026-03-02T12:00:00.000Z" }, world:started "tick")
    assert.equal(4, world:state("tick").totals.missed)
    local warned
    for _, line in ipairs(world.lines) do warned = warned or line.message == "schedule missed" and line.count end
    assert.equal(4, warned)
  end)

  it("makes up for all of them one after the other, though they would be left out when they overlap", function()
    begin('{ cron = "0 * * * *", missed = "all" }', { seconds = 30 })
    world:down(5 * HOUR)
    world:pass(600)
    assert.equal(5, #world:started "tick")
    local rows = world:history "tick"
    for index = 2, #rows do assert.is_true(rows[index].at_ms >= rows[index - 1].ended_ms) end
  end)

  it("hands one run all that it missed", function()
    begin('{ cron = "0 * * * *", missed = "coalesce" }', { input = '{ interval = "object?" }', step_input = '"$.input"' })
    world:down(5 * HOUR)
    world:pass(60)
    local input = world.store:load(world:runs("tick")[1].id)[1][2].input
    assert.same({ from = "2026-03-02T07:00:00.000Z", to = "2026-03-02T11:00:00.000Z", from_local = "2026-03-02T07:00:00+00:00",
      to_local = "2026-03-02T11:00:00+00:00", count = 5 }, input.interval)
  end)

  it("goes on with what waited for its turn", function()
    begin('{ cron = "0 * * * *", overlap = "buffer_all" }', { seconds = 2 * HOUR })
    world:pass(2 * HOUR + 60)
    assert.equal(1, #world:state("tick").queue)
    world:down(60)
    world:pass(4 * HOUR)
    local started = world:started "tick"
    assert.equal("2026-03-02T08:00:00.000Z", started[2])
    assert.equal(#started, #world:runs "tick")
  end)

  it("notes what became of the runs that went on meanwhile", function()
    begin('{ cron = "0 7 * * *" }', { seconds = 2 * HOUR })
    world:pass(HOUR)
    world:down(60)
    world:pass(5 * HOUR)
    assert.same({ started = 1, finished = 1 }, world:state("tick").totals)
    assert.equal("finished", world:history("tick")[1].status)
  end)
end)

describe("a clock that jumps", function()
  local world
  before_each(function() world = support.world "2026-03-02T06:30:00Z" end)
  after_each(function() world:close() end)

  local function begin(schedule)
    world:write("pipelines/tick.lua", support.pipeline("tick", schedule))
    world:start()
  end

  it("forward by an hour or a year: what lies between has been missed", function()
    begin '{ cron = "0 * * * *" }'
    world:set(HOUR) -- 07:30
    world:pass(60)
    assert.same({ "2026-03-02T07:00:00.000Z" }, world:started "tick")
    world:set(365 * DAY)
    world:pass(60)
    assert.same({ "2027-03-02T07:00:00.000Z" }, { table.unpack(world:started "tick", 2) })
    assert.equal(365 * 24 - 1, world:state("tick").totals.missed)
  end)

  it("back by an hour: no time is decided again", function()
    begin '{ cron = "*/30 * * * *" }'
    world:pass(HOUR) -- 07:00 and 07:30
    world:set(-HOUR)
    world:pass(HOUR - 60)
    assert.equal(2, #world:started "tick")
    world:pass(HOUR)
    assert.same({ "2026-03-02T08:00:00.000Z" }, { table.unpack(world:started "tick", 3) })
  end)

  it("back from a year ahead: the clock was wrong, and the schedule goes on at once", function()
    begin '{ cron = "0 * * * *" }'
    world:set(365 * DAY)
    world:pass(HOUR)
    world:set(-365 * DAY)
    world:pass(HOUR)
    local started = world:started "tick"
    assert.equal("2026-03-02T08:00:00.000Z", started[#started])
    local corrected
    for _, row in ipairs(world:history "tick") do corrected = corrected or row.outcome == "corrected" end
    assert.is_true(corrected)
  end)

  for _, schedule in ipairs { '{ cron = "0 * * * *" }', '{ every = "1h", start = "2026-01-01T00:00:00Z" }', '{ every = "1h" }',
    '{ cron = "0 * * * *", ["end"] = "2026-12-31T00:00:00Z" }' } do
    it(("back from a year ahead while no host was there: the schedule goes on at once, %s"):format(schedule), function()
      begin(schedule)
      world:set(365 * DAY)
      world:pass(HOUR)
      world:stop()
      world:set(-365 * DAY)
      world:start()
      local before = #world:started "tick"
      world:pass(2 * HOUR)
      assert.equal(before + 2, #world:started "tick")
    end)
  end

  it("back from a year ahead: an interval with a beginning goes on at once as well", function()
    begin '{ every = "1h", start = "2026-01-01T00:00:00Z" }'
    world:set(365 * DAY)
    world:pass(HOUR)
    world:set(-365 * DAY)
    world:pass(HOUR)
    local started = world:started "tick"
    assert.equal("2026-03-02T08:00:00.000Z", started[#started])
  end)

  it("an interval follows the time that has really passed", function()
    begin '{ every = "1h" }'
    world:pass(HOUR + 10)
    for _, step in ipairs { HOUR, -HOUR, 365 * DAY, -365 * DAY } do
      world:set(step)
      world:pass(HOUR)
    end
    local rows = world:history "tick"
    assert.equal(5, #world:started "tick")
    for index, row in ipairs(rows) do assert.equal(index, row.seq) end
    assert.is_nil(world:state("tick").totals.missed)
  end)

  it("starts nothing early and nothing twice, whatever the clock does (test 59)", function()
    begin '{ cron = "*/10 * * * *", missed = "last" }'
    math.randomseed(59)
    for _ = 1, 60 do
      world:pass(math.random(1200))
      world:set(math.random(-2 * HOUR, 2 * HOUR))
    end
    local seen = {}
    for _, row in ipairs(world:history "tick") do
      if row.outcome == "started" then
        assert.is_true(row.at_ms >= row.nominal_ms)
        assert.is_nil(seen[row.nominal_ms])
        seen[row.nominal_ms] = true
      end
    end
    assert.is_true(#world:runs "tick" > 10)
    assert.equal(#world:started "tick", #world:runs "tick")
    assert.is_true(clock.wall_ms() > 0 and civil.DAY == DAY)
  end)
end)

-- What a pipeline may say of its schedules, and what is refused.
local calendar_of = require "weir.schedule.calendar"
local civil = require "weir.schedule.civil"
local load = require "weir.definition.load"
local rule_of = require "weir.schedule.rule"
local settings = require "weir.settings"

local function ms(text) return (civil.read(text)) * 1000 end

local function rule(schedule, about)
  about = about or {}
  return rule_of.new({ schedule = schedule }, { pipeline = about.pipeline or "p", name = about.name or "p", calendars = about.calendars })
end

local function times(one, from, count)
  local list, at = {}, ms(from)
  for index = 1, count do
    at = one:next(at, ms(from))
    if not at then break end
    list[index] = one:local_text(at):sub(1, 16)
  end
  return list
end

describe("a schedule", function()
  it("fires by a pattern, an interval or single times, in a zone", function()
    assert.same({ "2026-06-02T08:00", "2026-06-03T08:00" }, times(rule { cron = "0 8 * * *", tz = "Asia/Tokyo" }, "2026-06-01T00:00Z", 2))
    assert.same({ "2026-06-01T01:30", "2026-06-01T03:00" }, times(rule { every = "1h30m" }, "2026-06-01T00:00Z", 2))
    assert.same({ "2026-06-01T12:00", "2026-06-02T02:00" },
      times(rule { at = { "2026-06-02T02:00", "2026-06-01T10:00:00Z" }, tz = "Europe/Berlin" }, "2026-06-01T00:00Z", 3))
  end)

  it("takes a single time that the clock skips or shows twice as the policies say", function()
    assert.same({ "2026-03-29T03:00" }, times(rule { at = "2026-03-29T02:30", tz = "Europe/Berlin" }, "2026-01-01", 2))
    assert.equal(2, #times(rule { at = "2026-10-25T02:30", tz = "Europe/Berlin", ["repeat"] = "both" }, "2026-01-01", 3))
    assert.same({}, times(rule { at = "2026-03-29T02:30", tz = "Europe/Berlin", gap = "skip" }, "2026-01-01", 2))
  end)

  it("takes a single time with an offset as the moment that it is, also in an hour that comes twice", function()
    for _, at in ipairs { "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00+01:00" } do
      local one = rule { at = at, tz = "Europe/Berlin" }
      assert.equal(ms(at), one:next(ms "2026-01-01", 0))
      assert.is_nil(one:next(ms(at), 0))
      assert.equal(1, one:count(ms(at) - 1, ms(at), 0))
    end
    local both = rule { at = { "2026-10-25T01:30:00Z", "2026-10-25T02:30", "2026-10-26T12:00" }, tz = "Europe/Berlin",
      calendar = { exclude = { "2026-10-26" } } }
    assert.same({ ms "2026-10-25T00:30:00Z", ms "2026-10-25T01:30:00Z" }, both:latest(ms "2026-01-01", ms "2027-01-01", 9, 0))
    assert.same({ ms "2026-10-25T01:30:00Z" }, both:latest(ms "2026-01-01", ms "2027-01-01", 1, 0))
  end)

  it("goes on after days that its calendar leaves out, however many and however short its interval is", function()
    local one = rule { every = "1s", calendar = { exclude = { "2026-12-21..2027-01-04" } }, tz = "Europe/Berlin" }
    assert.equal(ms "2027-01-04T23:00:00Z", one:next(ms "2026-12-20T22:59:59Z", ms "2026-12-01"))
    one = rule { every = "7s", calendar = { days = "mon" } }
    local anchor = ms "2026-01-01"
    local next_ms = one:next(ms "2026-03-03", anchor)
    assert.equal(0, (next_ms - anchor) % 7000)
    assert.is_true(next_ms >= ms "2026-03-09" and next_ms < ms "2026-03-09" + 7000)
    assert.is_nil(rule({ every = "1h", calendar = { days = "mon" }, ["end"] = "2026-01-02" })
      :next(anchor, anchor))
    assert.is_nil(rule({ every = "1h", calendar = { { days = "mon" }, { days = "tue" } } }):next(anchor, anchor))
  end)

  it("looks at days, not at each time of a short interval, to tell how many there were and which were the latest", function()
    local one, asked = rule { every = "1s", calendar = { days = "mon-fri", exclude = { "2026-12-21..2027-01-04" } }, tz = "Europe/Berlin" }, 0
    local calendar = one.calendar
    one.calendar = { has = function(_, day)
      asked = asked + 1
      return calendar:has(day)
    end }
    local from, to = ms "2026-01-05T00:00:00+01:00" - 1, ms "2027-01-03T12:00:00+01:00"
    assert.equal(50 * 5 * 86400, one:count(from, to, ms "2026-01-01")) -- the two changes of the clock are on Sundays
    local latest = one:latest(from, to, 3, ms "2026-01-01")
    local last = ms "2026-12-18T23:59:59+01:00"
    assert.same({ last - 2000, last - 1000, last }, latest)
    assert.is_true(asked < 20000, asked)
  end)

  it("may have an interval, a window and a jitter of which nobody sees the end", function()
    local now = ms "2026-01-01"
    for _, long in ipairs { 1e300, "99999999999999d" } do
      local one = rule { every = long, window = long, jitter = long, absent = { pipeline = "x", within = long } }
      assert.is_nil(one:next(now, now))
      assert.equal("integer", math.type(one.window_ms))
      assert.equal("integer", math.type(one.absent.within_ms))
      assert.matches("^every %d+d", one:says())
    end
  end)

  it("counts what it fires as often as it fires", function()
    math.randomseed(3)
    for _, schedule in ipairs { { cron = "*/7 3-5 * * mon-fri", tz = "Europe/Berlin" }, { cron = "30 2 * * *", tz = "America/New_York" },
      { every = "37m" }, { cron = "0 0 L * *", calendar = { exclude = { "01-31" } } }, { every = "6h", calendar = { days = "sat-sun" } },
      { cron = "*/20 * * * *", tz = "Australia/Lord_Howe", ["repeat"] = "first", gap = "run_before" },
      { cron = "0 12 * * *", start = "2026-02-01", ["end"] = "2026-09-01" } } do
      local one, anchor = rule(schedule), ms "2026-01-01"
      for _ = 1, 5 do
        local from = ms "2026-01-01" + math.random(0, 200) * 86400000 + math.random(0, 86399) * 1000
        local to, count = from + math.random(1, 90 * 86400) * 1000, 0
        local at = one:next(from, anchor)
        local all = {}
        while at and at <= to do
          count, all[#all + 1] = count + 1, at
          at = one:next(at, anchor)
        end
        assert.equal(count, one:count(from, to, anchor))
        assert.same(table.move(all, math.max(1, #all - 4), #all, 1, {}), one:latest(from, to, 5, anchor))
      end
    end
  end)

  it("is known by its pipeline and its name, whatever it says", function()
    assert.equal(rule({ cron = "0 8 * * *" }).id, rule({ every = "1h" }).id)
    assert.not_equal(rule({ cron = "0 8 * * *" }).id, rule({ cron = "0 8 * * *" }, { name = "p/other" }).id)
    assert.matches("^s_[0-9a-z]+$", rule({ every = "1h" }).id)
    assert.equal(22, #rule({ every = "1h" }).id)
    assert.equal(rule({ cron = "0 8 * * *" }).timing, rule({ cron = "0 8 * * *", overlap = "allow_all" }).timing)
    assert.not_equal(rule({ cron = "0 8 * * *" }).timing, rule({ cron = "0 8 * * *", tz = "Europe/Berlin" }).timing)
  end)

  local REFUSED = {
    { {}, "says one of cron, every and at; this one says none" },
    { { cron = "* * * * *", every = "1h" }, "this one says several" },
    { { cron = "0 0 30 2 *" }, "never fires", "cron" },
    { { cron = 5 }, "a text expected", "cron" },
    { { every = "500ms" }, "at least 1s", "every" },
    { { every = "soon" }, "a duration such as", "every" },
    { { at = "tomorrow" }, "a time such as", "at" },
    { { at = {} }, "a time or a list of times", "at" },
    { { cron = "@daily", tz = "Europe/Berln" }, "time zone 'Europe/Berln' is unknown", "tz" },
    { { cron = "@daily", tz = 1 }, "the name of a time zone", "tz" },
    { { cron = "@daily", overlap = "queue" }, "overlap must be skip, buffer_one, buffer_all", "overlap" },
    { { cron = "@daily", overlap = "allow" }, "did you mean 'allow_all'", "overlap" },
    { { cron = "@daily", missed = "some" }, "missed must be last, none, all, coalesce", "missed" },
    { { cron = "@daily", gap = "later" }, "gap must be", "gap" },
    { { cron = "@daily", ["repeat"] = "twice" }, "repeat must be", "repeat" },
    { { every = "1h", gap = "skip" }, "gap is for times of the day", "gap" },
    { { cron = "@daily", window = "x" }, "window: a duration", "window" },
    { { cron = "@daily", jitter = -1 }, "jitter: a duration", "jitter" },
    { { cron = "@daily", limit = 0 }, "a whole number from 1", "limit" },
    { { cron = "@daily", start = "2026-02-30" }, "start: a time such as", "start" },
    { { cron = "@daily", start = "2026-03-01", ["end"] = "2026-03-01" }, "it is not after start", "end" },
    { { cron = "@daily", calendar = "offce" }, "calendar 'offce' is unknown; did you mean 'office'", "calendar" },
    { { cron = "@daily", calendar = { exclude = { "2026-02-30" } } }, "'2026%-02%-30' is no day", "calendar" },
    { { cron = "@daily", calendar = { days = "mon-fryday" } }, "no day of the week", "calendar" },
    { { cron = "@daily", calendar = { holidays = {} } }, "holidays", "calendar" },
    { { cron = "@daily", absent = {} }, "the name of a pipeline", "absent" },
    { { cron = "@daily", absent = { pipeline = "x", within = "x" } }, "within: a duration", "absent" },
    { { cron = "@daily", timezone = "UTC" }, "no field 'timezone'" , "timezone" },
    { { cron = "@daily", overlaps = "skip" }, "did you mean 'overlap'", "overlaps" },
  }

  for index, case in ipairs(REFUSED) do
    it(("that is wrong is refused, with what is: %d, %s"):format(index, case[2]:gsub("%%", "")), function()
      local ok, message, field = rule_of.check(case[1], { office = {} })
      assert.is_nil(ok)
      assert.matches(case[2], message)
      assert.equal(case[3], field)
    end)
  end

  it("is checked with its pipeline, at its line, with all else that is wrong", function()
    local definition, errors = load.load("pipelines/x.yaml", { text = [[
weir: 1
name: x
on:
  - schedule: {cron: "0 0 30 2 *"}
  - schedule:
      cron: "0 8 * * *"
      tz: Europe/Berlin
      overlap: somehow
    debounce: 5s
groups:
  - {name: a, steps: [{name: a, sleep: 1s}]}
]] })
    assert.is_nil(definition)
    local found = {}
    for index, err in ipairs(errors) do found[index] = ("%d %s"):format(err.line, err.message) end
    assert.equal(3, #found)
    assert.matches("^4 .*never fires", found[1])
    assert.matches("^8 .*overlap must be", found[2])
    assert.matches("^9 .*'debounce' is for events", found[3])
  end)
end)

describe("a calendar", function()
  local function has(calendar, day) return calendar:has(civil.read_day(day)) end

  it("leaves out days by date, every year, by range and by day of the week; what is included counts all the same", function()
    local calendar = calendar_of.read { days = "mon-fri", exclude = { "2026-12-24", "12-25", "2026-12-28..2026-12-31" },
      include = { "2026-12-29", "2026-12-27" } }
    assert.same({ true, false, false, false, true, false, true, false }, { has(calendar, "2026-12-23"), has(calendar, "2026-12-24"),
      has(calendar, "2026-12-25"), has(calendar, "2026-12-26"), has(calendar, "2026-12-27"), has(calendar, "2026-12-28"),
      has(calendar, "2026-12-29"), has(calendar, "2026-12-30") })
    assert.is_false(has(calendar, "2030-12-25"))
    assert.is_true(has(calendar, "2030-12-24"))
  end)

  it("of several leaves what all of them leave, and names stand in weir.lua", function()
    local known = { office = { days = "mon-fri" }, feasts = { exclude = { "05-01" } } }
    local calendar = calendar_of.read({ "office", "feasts", { exclude = { "2026-05-04" } } }, known)
    assert.same({ true, false, false, false }, { has(calendar, "2026-04-30"), has(calendar, "2026-05-01"), has(calendar, "2026-05-02"),
      has(calendar, "2026-05-04") })
    local ok, message = settings.by_name.calendars.check { office = { days = "mon-xyz" } }
    assert.is_nil(ok)
    assert.matches("calendars.office: days: 'mon%-xyz'", message)
    assert.same(known, settings.by_name.calendars.check(known))
  end)

  it("that leaves out every day gives no time at all, and is not looked through for ever", function()
    local one = rule { cron = "0 8 29 2 *", calendar = { exclude = { "02-29" } } }
    assert.is_nil(one:next(ms "2026-01-01", 0))
    assert.is_nil(rule({ every = "1d", calendar = { exclude = { "2026-01-01..2034-01-01" }, days = "mon" },
      ["end"] = "2030-01-01" }):next(ms "2026-01-01", ms "2026-01-01"))
  end)
end)

-- Test 57: the table of changes of the clock, each row in every policy, to the second. Instants are those of tzdata 2025b,
-- as far as later ones have not changed them: Cuba has since, for 2026.
local civil = require "weir.schedule.civil"
local cron = require "weir.schedule.cron"
local decide = require "weir.schedule.decide"
local rule_of = require "weir.schedule.rule"
local times_of = require "weir.schedule.times"
local zone_of = require "weir.schedule.zone"

local function at(text) return (civil.read(text)) end

-- All moments from one on, before another.
local function moments(pattern, zone, from, to, options)
  local times = times_of.new(assert(cron.parse(pattern)), assert(zone_of.open(zone)), options)
  local list, moment = {}, times:next(at(from) - 1)
  while moment and moment < at(to) do
    list[#list + 1], moment = (civil.format(moment, 0):gsub("%+00:00", "Z"):gsub(":00Z", "Z")), times:next(moment)
  end
  assert.equal(#list, times:count(at(from) - 1, at(to) - 1))
  return list
end

-- gap: a fixed time that is missing, in the three policies; again: one that comes twice.
local ROWS = {
  { "D1", "30 2 * * *", "America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z",
    gap = { run_after = { "2026-03-08T07:00Z" }, run_before = { "2026-03-08T06:59Z" }, skip = {} } },
  { "D2", "0 3 * * *", "America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z",
    gap = { run_after = { "2026-03-08T07:00Z" }, run_before = { "2026-03-08T07:00Z" }, skip = { "2026-03-08T07:00Z" } } },
  { "D3", "30 1 * * *", "America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z",
    again = { first = { "2026-11-01T05:30Z" }, last = { "2026-11-01T06:30Z" }, both = { "2026-11-01T05:30Z", "2026-11-01T06:30Z" } } },
  { "D4", "0 2 * * *", "America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z",
    again = { first = { "2026-11-01T07:00Z" }, last = { "2026-11-01T07:00Z" }, both = { "2026-11-01T07:00Z" } } },
  { "D7", "30 1 * * *", "Europe/London", "2026-03-29T00:00Z", "2026-03-29T23:00Z",
    gap = { run_after = { "2026-03-29T01:00Z" }, run_before = { "2026-03-29T00:59Z" }, skip = {} } },
  { "D7", "30 1 * * *", "Europe/London", "2026-10-24T23:00Z", "2026-10-26T00:00Z",
    again = { first = { "2026-10-25T00:30Z" }, last = { "2026-10-25T01:30Z" }, both = { "2026-10-25T00:30Z", "2026-10-25T01:30Z" } } },
  { "D8", "30 1 * * *", "Europe/Dublin", "2026-03-29T00:00Z", "2026-03-29T23:00Z",
    gap = { run_after = { "2026-03-29T01:00Z" }, run_before = { "2026-03-29T00:59Z" }, skip = {} } },
  { "D8", "30 1 * * *", "Europe/Dublin", "2026-10-24T23:00Z", "2026-10-26T00:00Z",
    again = { first = { "2026-10-25T00:30Z" }, last = { "2026-10-25T01:30Z" }, both = { "2026-10-25T00:30Z", "2026-10-25T01:30Z" } } },
  { "D9", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T13:30Z", "2026-10-04T13:00Z",
    gap = { run_after = { "2026-10-03T15:30Z" }, run_before = { "2026-10-03T15:29Z" }, skip = {} } },
  { "D10", "45 1 * * *", "Australia/Lord_Howe", "2026-04-04T13:00Z", "2026-04-05T13:30Z",
    again = { first = { "2026-04-04T14:45Z" }, last = { "2026-04-04T15:15Z" }, both = { "2026-04-04T14:45Z", "2026-04-04T15:15Z" } } },
  { "D11", "0 0 * * *", "America/Havana", "2026-03-08T05:00Z", "2026-03-09T04:00Z",
    gap = { run_after = { "2026-03-08T05:00Z" }, skip = {} } },
  { "D11", "0 0 * * *", "America/Havana", "2026-03-07T12:00Z", "2026-03-08T12:00Z", gap = { run_before = { "2026-03-08T04:59Z" } } },
  { "D12", "0 0 * * *", "America/Havana", "2025-11-02T04:00Z", "2025-11-03T05:00Z",
    again = { first = { "2025-11-02T04:00Z" }, last = { "2025-11-02T05:00Z" }, both = { "2025-11-02T04:00Z", "2025-11-02T05:00Z" } } },
  { "D13", "0 0 * * *", "Africa/Cairo", "2026-04-23T12:00Z", "2026-04-24T12:00Z",
    gap = { run_after = { "2026-04-23T22:00Z" }, run_before = { "2026-04-23T21:59Z" }, skip = {} } },
  { "D14", "30 23 * * *", "Africa/Cairo", "2026-10-29T12:00Z", "2026-10-30T12:00Z",
    again = { first = { "2026-10-29T20:30Z" }, last = { "2026-10-29T21:30Z" }, both = { "2026-10-29T20:30Z", "2026-10-29T21:30Z" } } },
  { "D15", "30 1,2 * * *", "Antarctica/Troll", "2026-03-29T00:00Z", "2026-03-29T22:00Z",
    gap = { run_after = { "2026-03-29T01:00Z" }, run_before = { "2026-03-29T00:59Z" }, skip = {} } },
  { "D16", "30 1 * * *", "Antarctica/Troll", "2026-10-24T22:00Z", "2026-10-26T00:00Z",
    again = { first = { "2026-10-24T23:30Z" }, last = { "2026-10-25T01:30Z" }, both = { "2026-10-24T23:30Z", "2026-10-25T01:30Z" } } },
  { "D17", "30 2 * * *", "Africa/Casablanca", "2026-02-15T00:00Z", "2026-02-16T00:00Z",
    again = { first = { "2026-02-15T01:30Z" }, last = { "2026-02-15T02:30Z" }, both = { "2026-02-15T01:30Z", "2026-02-15T02:30Z" } } },
  { "D17", "30 2 * * *", "Africa/Casablanca", "2026-03-22T00:00Z", "2026-03-23T00:00Z",
    gap = { run_after = { "2026-03-22T02:00Z" }, run_before = { "2026-03-22T01:59Z" }, skip = {} } },
  { "D18", "30 23 * * *", "America/Nuuk", "2026-03-28T12:00Z", "2026-03-29T12:00Z",
    gap = { run_after = { "2026-03-29T01:00Z" }, run_before = { "2026-03-29T00:59Z" }, skip = {} } },
  { "D18", "30 23 * * *", "America/Nuuk", "2026-10-24T12:00Z", "2026-10-25T12:00Z",
    again = { first = { "2026-10-25T00:30Z" }, last = { "2026-10-25T01:30Z" }, both = { "2026-10-25T00:30Z", "2026-10-25T01:30Z" } } },
  { "D19", "30 3 * * *", "Pacific/Chatham", "2026-04-04T10:15Z", "2026-04-05T11:15Z",
    again = { first = { "2026-04-04T13:45Z" }, last = { "2026-04-04T14:45Z" }, both = { "2026-04-04T13:45Z", "2026-04-04T14:45Z" } } },
  { "D20", "0 12 30 12 *", "Pacific/Apia", "2011-12-01", "2012-01-31", gap = { run_after = {}, run_before = {}, skip = {} } },
}

describe("a schedule over a change of the clock", function()
  for _, row in ipairs(ROWS) do
    local label, pattern, zone, from, to = table.unpack(row)
    for _, policy in ipairs { "run_after", "run_before", "skip" } do
      local expected = row.gap and row.gap[policy]
      if expected then
        it(("%s: '%s' in %s fires at %s when its time is missing and gap is %s"):format(label, pattern, zone,
          table.concat(expected, ", "):gsub("^$", "no moment"), policy), function()
          assert.same(expected, moments(pattern, zone, from, to, { gap = policy }))
          if policy == "run_after" then assert.same(expected, moments(pattern, zone, from, to)) end
        end)
      end
    end
    for _, policy in ipairs { "first", "last", "both" } do
      local expected = row.again and row.again[policy]
      if expected then
        it(("%s: '%s' in %s fires at %s when its time comes twice and repeat is %s"):format(label, pattern, zone,
          table.concat(expected, ", "), policy), function()
          assert.same(expected, moments(pattern, zone, from, to, { again = policy }))
          if policy == "first" then assert.same(expected, moments(pattern, zone, from, to)) end
        end)
      end
    end
  end

  local function per_day(pattern, options)
    return #moments(pattern, "America/New_York", "2026-03-08T05:00Z", "2026-03-09T04:00Z", options),
      #moments(pattern, "America/New_York", "2026-11-01T04:00Z", "2026-11-02T05:00Z", options)
  end

  it("D5: what recurs every quarter of an hour follows real time, unless a policy is given", function()
    assert.same({ 92, 100 }, { per_day "*/15 * * * *" })
    assert.same({ 92, 96 }, { per_day("*/15 * * * *", { again = "last" }) })
    assert.same({ 92, 96 }, { per_day("*/15 * * * *", { again = "first" }) })
    assert.same({ 92, 100 }, { per_day("*/15 * * * *", { gap = "run_after" }) }) -- the end of the gap is a time of its own
  end)

  it("D6: what recurs every hour follows real time", function()
    assert.same({ 23, 25 }, { per_day "0 * * * *" })
  end)

  it("D21: an offset of three quarters of an hour is kept", function()
    assert.same({ "2026-05-01T18:15Z" }, moments("0 0 * * *", "Asia/Kathmandu", "2026-05-01T00:00Z", "2026-05-02T00:00Z"))
  end)

  it("D22: the 29th of February comes when it comes", function()
    assert.same({ "2028-02-29T00:00Z" }, moments("0 0 29 2 *", "UTC", "2024-03-01", "2032-01-01"))
  end)

  it("D23: the 30th of February is refused", function()
    local pattern, message, code = cron.parse "0 0 30 2 *"
    assert.is_nil(pattern)
    assert.equal("invalid", code)
    assert.matches("never fires", message)
  end)

  it("D24: the 31st comes seven times a year", function()
    assert.equal(7, #moments("0 0 31 * *", "UTC", "2026-01-01", "2027-01-01"))
  end)

  it("D25: a day of the month or a day of the week", function()
    assert.same({ "2026-06-01T00:00Z", "2026-06-08T00:00Z", "2026-06-15T00:00Z", "2026-06-22T00:00Z", "2026-06-29T00:00Z" },
      moments("0 0 1 * 1", "UTC", "2026-06-01", "2026-07-01"))
  end)

  it("D26: a minute with a leap second has one time", function()
    assert.same({ "2016-12-31T23:59Z" }, moments("59 23 * * *", "UTC", "2016-12-31T12:00Z", "2017-01-01T12:00Z"))
  end)

  local function rule(schedule)
    return rule_of.new({ schedule = schedule }, { pipeline = "p", name = "p" })
  end

  -- What is decided between two looks.
  local function decided(one, state, now)
    local rows, taken = {}, {}
    decide.due(one, state, at(now) * 1000, rows)
    for index, occurrence in ipairs(state.queue) do taken[index] = civil.format(occurrence.nominal_ms // 1000, 0) end
    state.queue = {}
    return taken, rows
  end

  it("D27: other rules of a zone compute the next time anew, and what was decided does not fire again", function()
    local one = rule { cron = "0 2 * * *", tz = "Europe/Berlin" }
    local state = decide.new_state(one, at "2026-06-01T23:59:55Z" * 1000)
    assert.same({ "2026-06-02T00:00:00+00:00" }, (decided(one, state, "2026-06-02T00:00:05Z")))
    -- The country gives up summer time: two o'clock is an hour later from now on, and would come again today.
    local winter = assert(zone_of.decode("Europe/Berlin", ("TZif2" .. ("\0"):rep(15) .. (">I4I4I4I4I4I4"):pack(0, 0, 0, 0, 1, 4)
      .. (">i4BB"):pack(3600, 0, 0) .. "CET\0" .. "TZif2" .. ("\0"):rep(15) .. (">I4I4I4I4I4I4"):pack(0, 0, 0, 0, 1, 4)
      .. (">i4BB"):pack(3600, 0, 0) .. "CET\0" .. "\nCET-1\n")))
    one.zone, one.times.zone = winter, winter
    assert.equal(at "2026-06-02T01:00:00Z", one.times:next(at "2026-06-02T00:00:05Z"))
    assert.same({}, (decided(one, state, "2026-06-02T01:00:02Z")))
    assert.same({ "2026-06-03T01:00:00+00:00" }, (decided(one, state, "2026-06-03T01:00:02Z")))
  end)

  it("D28: a clock that is set back by an hour does not repeat what was decided", function()
    local one = rule { cron = "30 7 * * *" }
    local state = decide.new_state(one, at "2026-06-01T07:29:00Z" * 1000)
    assert.same({ "2026-06-01T07:30:00+00:00" }, (decided(one, state, "2026-06-01T07:30:01Z")))
    assert.same({}, (decided(one, state, "2026-06-01T06:31:00Z")))
    assert.same({}, (decided(one, state, "2026-06-01T07:30:01Z")))
    assert.same({ "2026-06-02T07:30:00+00:00" }, (decided(one, state, "2026-06-02T07:30:01Z")))
  end)

  it("D29: a clock that is set forward by four hours leaves it to the policy of missed runs", function()
    for missed, expected in pairs { none = {}, last = { "2026-06-01T11:00:00+00:00" },
      all = { "2026-06-01T08:00:00+00:00", "2026-06-01T09:00:00+00:00", "2026-06-01T10:00:00+00:00", "2026-06-01T11:00:00+00:00" },
      coalesce = { "2026-06-01T11:00:00+00:00" } } do
      local one = rule { cron = "0 * * * *", missed = missed }
      local state = decide.new_state(one, at "2026-06-01T07:30:00Z" * 1000)
      assert.same(expected, (decided(one, state, "2026-06-01T11:30:00Z")), missed)
    end
  end)
end)

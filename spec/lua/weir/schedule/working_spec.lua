local civil = require "weir.schedule.civil"
local working = require "weir.schedule.working"

local function ms(text) return civil.read(text) * 1000 end

local function text_of(at) return os.date("!%Y-%m-%dT%H:%M:%S", at // 1000) end

local OFFICE = { hours = "09:00-17:00", calendar = { days = "mon-fri", exclude = { "12-25" } }, tz = "UTC" }

describe("working time", function()
  local function after(from, seconds, given) return text_of(working.read(given or OFFICE):after(ms(from), seconds)) end

  it("passes within working hours only", function()
    assert.equal("2026-11-27T17:00:00", after("2026-11-27T15:00:00Z", 2 * 3600)) -- a Friday
    assert.equal("2026-11-30T10:00:00", after("2026-11-27T15:00:00Z", 3 * 3600))
    assert.equal("2026-11-30T09:30:00", after("2026-11-28T12:00:00Z", 1800))
    assert.equal("2026-11-26T09:00:01", after("2026-11-26T03:00:00Z", 1))
  end)

  it("counts a whole day of a duration as a working day", function()
    assert.equal("2026-11-30T15:00:00", after("2026-11-27T15:00:00Z", 86400))
    assert.equal("2026-12-04T15:30:00", after("2026-11-27T15:00:00Z", 5 * 86400 + 1800))
    assert.equal("2026-12-28T12:00:00", after("2026-12-24T12:00:00Z", 86400)) -- the 25th is left out
  end)

  it("begins with the next opening when it is asked outside of working hours", function()
    assert.equal("2026-12-01T09:00:00", after("2026-11-27T20:00:00Z", 86400))
    assert.is_false(working.read(OFFICE):is_open(ms "2026-11-27T20:00:00Z"))
    assert.is_true(working.read(OFFICE):is_open(ms "2026-11-27T16:59:59Z"))
    assert.is_false(working.read(OFFICE):is_open(ms "2026-11-27T17:00:00Z"))
  end)

  it("has hours in the zone that is named, also when its clock is set", function()
    local berlin = { hours = "09:00-17:00", calendar = { days = "mon-sun" }, tz = "Europe/Berlin" }
    assert.equal("2026-03-28T09:00:00", after("2026-03-28T08:00:00Z", 3600, berlin)) -- 10:00 there
    assert.equal("2026-03-29T08:00:00", after("2026-03-28T15:00:00Z", 2 * 3600, berlin)) -- 10:00 on the day of summer time
    assert.equal("2026-10-25T14:00:00", after("2026-10-24T13:00:00Z", 86400, berlin)) -- 15:00 on both days
  end)

  it("takes nothing from hours that a change of the clock leaves out", function()
    local night = { hours = { "00:00-01:00", "02:30-03:00", "09:00-10:00" }, calendar = { days = "sun" }, tz = "Europe/Berlin" }
    assert.equal("2026-03-29T08:00:00", after("2026-03-28T23:00:00Z", 2 * 3600, night))
  end)

  it("ends in the year 2286 at the latest, and does not count its days one by one", function()
    for _, seconds in ipairs { 9e9, 1e13, 999999999999999 } do
      assert.equal(9999999999999, working.read(OFFICE):after(ms "2026-11-27T15:00:00Z", seconds))
      assert.equal(9999999999999, working.always:after(ms "2026-11-27T15:00:00Z", seconds))
    end
  end)

  it("knows breaks", function()
    local shop = { hours = { "14:00-18:00", "08:00-12:00" }, calendar = { days = "mon-sat" } }
    assert.equal("2026-11-27T14:30:00", after("2026-11-27T11:00:00Z", 1.5 * 3600, shop))
    assert.equal("2026-11-28T08:00:01", after("2026-11-27T14:00:00Z", 4 * 3600 + 1, shop))
  end)

  it("never goes back, and in two parts leads where it leads at once", function()
    local clock, start, last = working.read(OFFICE), ms "2026-11-27T15:00:00Z", 0
    for seconds = 1, 86399, 997 do
      local at = clock:after(start, seconds)
      assert.is_true(at > last)
      assert.equal(at, clock:after(clock:after(start, seconds // 2), seconds - seconds // 2))
      last = at
    end
  end)

  it("refuses hours that are none, zones that are not there, and calendars without a day", function()
    for _, given in ipairs { { hours = "9-17" }, { hours = "17:00-09:00" }, { hours = "09:00-25:00" }, { tz = "Nowhere/At_All" },
      { hours = { "08:00-12:00", "11:00-13:00" } }, { calendar = { days = "monday" } } } do
      local ok, err = pcall(working.read, given)
      assert.same({ false, "invalid" }, { ok, err.code })
    end
    local never = working.read { calendar = { { days = "sat-sun" }, { days = "mon-fri" } } }
    local ok, err = pcall(never.after, never, 0, 60)
    assert.same({ false, "invalid" }, { ok, err.code })
    ok, err = pcall(working.read, { calendar = "office" }, {})
    assert.same({ false, "invalid" }, { ok, err.code })
  end)

  it("is kept with what a name stood for when it was asked", function()
    local known = { office = { days = "mon-thu" } }
    assert.same({ days = "mon-thu" }, working.resolved({ calendar = "office" }, known).calendar)
    assert.same({ { days = "mon-thu" }, { exclude = { "12-24" } } },
      working.resolved({ calendar = { "office", { exclude = { "12-24" } } } }, known).calendar)
  end)
end)

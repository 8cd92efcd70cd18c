-- Patterns, as the Open Cron Pattern Specification has them.
local civil = require "weir.schedule.civil"
local cron = require "weir.schedule.cron"

-- The first local times after a moment.
local function times(pattern, from, count)
  local parsed, list = assert(cron.parse(pattern)), {}
  local time = civil.read(from)
  for index = 1, count do
    time = parsed:next(time)
    if not time then break end
    list[index] = civil.format(time, 0):sub(1, 19)
    time = time + 1
  end
  return list
end

describe("a cron pattern", function()
  it("has five fields, six with seconds, seven with years (1.0, 1.2)", function()
    assert.same({ "2026-01-01T04:05:00" }, times("5 4 * * *", "2026-01-01", 1))
    assert.same({ "2026-01-01T03:04:05" }, times("5 4 3 * * *", "2026-01-01", 1))
    assert.same({ "2027-06-01T00:00:00", "2029-06-01T00:00:00" }, times("0 0 0 1 6 * 2027-2030/2", "2026-01-01", 3))
  end)

  it("takes lists, ranges, steps and names in any case (1.0)", function()
    assert.same({ "2026-01-02T08:00:00", "2026-01-02T08:20:00", "2026-01-02T08:40:00", "2026-01-02T10:00:00" },
      times("*/20 8-11/2 * Jan-mar FRI", "2026-01-01", 4))
    assert.same({ "2026-01-01T00:01:00", "2026-01-01T00:05:00", "2026-01-01T00:06:00", "2026-01-01T00:07:00" },
      times("1,5-7 * * * *", "2026-01-01", 4))
  end)

  it("counts the days of the week from Sunday, 0 and 7", function()
    assert.same(times("0 0 * * 0", "2026-01-01", 3), times("0 0 * * 7", "2026-01-01", 3))
    assert.same(times("0 0 * * sat-sun", "2026-01-01", 4), times("0 0 * * 6,0", "2026-01-01", 4))
    assert.same({ "2026-01-04T00:00:00" }, times("0 0 * * sun", "2026-01-01", 1))
  end)

  it("knows nicknames (1.1)", function()
    for nickname, pattern in pairs { ["@yearly"] = "0 0 1 1 *", ["@annually"] = "0 0 1 1 *", ["@monthly"] = "0 0 1 * *",
      ["@weekly"] = "0 0 * * 0", ["@daily"] = "0 0 * * *", ["@midnight"] = "0 0 * * *", ["@hourly"] = "0 * * * *" } do
      assert.same(times(pattern, "2026-01-01T00:00:01", 3), times(nickname, "2026-01-01T00:00:01", 3))
    end
    assert.same(times("@daily", "2026-01-01", 1), times("@Daily", "2026-01-01", 1))
  end)

  it("knows the last day of a month, and the last and the nth of its days of the week: L and # (1.3)", function()
    assert.same({ "2026-01-31T00:00:00", "2026-02-28T00:00:00", "2026-03-31T00:00:00" }, times("0 0 L * *", "2026-01-01", 3))
    assert.same({ "2026-01-30T00:00:00", "2026-02-27T00:00:00" }, times("0 0 * * fri#L", "2026-01-01", 2))
    assert.same(times("0 0 * * fri#L", "2026-01-01", 5), times("0 0 * * 5L", "2026-01-01", 5))
    assert.same({ "2026-01-13T00:00:00", "2026-02-10T00:00:00" }, times("0 0 * * tue#2", "2026-01-01", 2))
    assert.same({ "2026-01-29T00:00:00", "2026-04-30T00:00:00" }, times("0 0 * * 4#5", "2026-01-01", 2))
    assert.same({ "2026-01-01T00:00:00", "2026-01-02T00:00:00", "2026-02-05T00:00:00", "2026-02-06T00:00:00" },
      times("0 0 * * thu-fri#1", "2026-01-01", 4))
  end)

  it("knows the working day nearest to a day, which stays in its month: W (1.3)", function()
    assert.same({ "2026-01-15T00:00:00", "2026-02-16T00:00:00", "2026-03-16T00:00:00" }, times("0 0 15W * *", "2026-01-01", 3))
    assert.same({ "2026-08-03T00:00:00" }, times("0 0 1W 8 *", "2026-01-01", 1)) -- the 1st is a Saturday
    assert.same({ "2026-05-29T00:00:00" }, times("0 0 31W 5 *", "2026-01-01", 1)) -- the 31st is a Sunday
    assert.same({ "2026-01-30T00:00:00", "2026-02-27T00:00:00" }, times("0 0 LW * *", "2026-01-01", 2))
  end)

  it("takes days of the month or of the week, and both with a + (1.0, 1.4)", function()
    assert.same({ "2026-06-01T00:00:00", "2026-06-08T00:00:00", "2026-06-13T00:00:00" }, times("0 0 13 * mon", "2026-06-01", 3))
    assert.same({ "2026-02-13T00:00:00", "2026-03-13T00:00:00", "2026-11-13T00:00:00" }, times("0 0 13 * +fri", "2026-01-01", 3))
    assert.same(times("0 0 * * mon", "2026-01-01", 3), times("0 0 ? * mon", "2026-01-01", 3))
  end)

  it("finds a time that is decades ahead at once, and says when none is left", function()
    assert.same({ "2044-02-29T00:00:00" }, times("0 0 29 2 +mon", "2026-01-01", 1))
    assert.same({}, times("0 0 0 1 1 * 2020", "2026-01-01", 1))
    assert.same({ "9999-12-31T23:59:59" }, times("59 59 23 31 12 * 9999", "2026-01-01", 2))
  end)

  it("is known to be a fixed time, or to recur", function()
    for pattern, is_fixed in pairs { ["0 2 * * *"] = true, ["15,45 2-4 * * *"] = true, ["*/15 * * * *"] = false, ["0 * * * *"] = false,
      ["*/10 2 * * *"] = false, ["0 0-23/2 * * *"] = false, ["30 0 2 * * *"] = true, ["* 0 2 * * *"] = false } do
      assert.equal(is_fixed, cron.parse(pattern).is_fixed, pattern)
    end
  end)
end)

local REFUSED = {
  [""] = "0 fields", ["* * * *"] = "4 fields", ["* * * * * * * *"] = "8 fields",
  ["60 * * * *"] = "minutes: '60' is outside of 0 to 59", ["* 24 * * *"] = "hours: '24'", ["* * 0 * *"] = "days of the month: '0'",
  ["* * 32 * *"] = "days of the month: '32'", ["* * * 13 *"] = "months: '13'", ["* * * * 8"] = "days of the week: '8'",
  ["* * * janu *"] = "did you mean 'jan'", ["* * * * fryday"] = "no number from 0 to 7 and no name",
  ["5/5 * * * *"] = "write '5%-59/5'", ["*/0 * * * *"] = "no step from 1", ["*/ * * * *"] = "no step", ["1- * * * *"] = "'1%-'",
  ["10-5 * * * *"] = "runs backwards; write '10%-59,0%-5'", ["1,,2 * * * *"] = "empty entry", [", * * * *"] = "empty entry",
  ["* * W * *"] = "no day of the month before its 'W'", ["* * 32W * *"] = "outside", ["* * * * 5#6"] = "no 1 to 5",
  ["* * * * #2"] = "days of the week", ["* * * * */2#1"] = "needs a day of the week", ["-1 * * * *"] = "minutes", ["1.5 * * * *"] = "minutes",
  ["L * * * *"] = "minutes: 'L'", ["0 0 31 2,4,6,9,11 *"] = "never fires", ["0 0 31 6 +mon"] = "never fires", ["0 0 0 29 2 * 2027"] = "never fires",
  ["@dayly"] = "did you mean '@daily'", ["@reboot"] = "no time", ["٣ * * * *"] = "plain ASCII", ["１ * * * *"] = "plain ASCII",
  ["*\0 * * * *"] = "plain ASCII", ["99999999999999999999 * * * *"] = "minutes", ["*/99999 * * * *"] = "no step",
}

describe("a cron pattern that is none", function()
  for pattern, expected in pairs(REFUSED) do
    it(("is refused, with what is wrong: '%s'"):format(pattern:gsub("%c", "?")), function()
      local parsed, message, code = cron.parse(pattern)
      assert.is_nil(parsed)
      assert.equal("invalid", code)
      assert.matches(expected, message)
      assert.is_nil(message:find "\n")
    end)
  end

  it("is refused at once, however it is long or large", function()
    for _, pattern in ipairs { ("1,"):rep(5000) .. " * * * *", ("*"):rep(100000), (" "):rep(300), ("0-59/1,"):rep(30) .. "x * * * *" } do
      local least = math.huge
      for _ = 1, 5 do
        local from = os.clock() -- the processor's time: the machine may be busy with something else
        assert.is_nil((cron.parse(pattern)))
        least = math.min(least, os.clock() - from)
      end
      assert.is_true(least < 0.01, least)
    end
  end)
end)

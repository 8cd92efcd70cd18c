-- Time zones, read from the system's files and from bytes.
local civil = require "weir.schedule.civil"
local zone_of = require "weir.schedule.zone"

local function at(text) return (civil.read(text)) end

local function offset(name, text) return assert(zone_of.open(name)):offset(at(text)) end

describe("a time zone", function()
  it("knows the offset at any moment: before its first change, between them, and by the rule after the last", function()
    assert.equal(3600, offset("Europe/Berlin", "2026-01-01T00:00Z"))
    assert.equal(7200, offset("Europe/Berlin", "2026-07-01T00:00Z"))
    assert.equal(7200, offset("Europe/Berlin", "2150-07-01T00:00Z"))
    assert.equal(3208, offset("Europe/Berlin", "1850-01-01T00:00Z"))
    assert.equal(20700, offset("Asia/Kathmandu", "2026-01-01T00:00Z"))
    assert.equal(12 * 3600 + 45 * 60, offset("Pacific/Chatham", "2026-07-01T00:00Z"))
    assert.equal(0, offset("UTC", "2026-07-01T00:00Z"))
    assert.equal(-5 * 3600, offset("Etc/GMT+5", "2026-07-01T00:00Z"))
  end)

  it("changes to the second, in both directions, in each hemisphere", function()
    for _, case in ipairs { { "America/New_York", "2026-03-08T07:00:00Z", -18000, -14400 },
      { "America/New_York", "2026-11-01T06:00:00Z", -14400, -18000 }, { "Australia/Lord_Howe", "2026-10-03T15:30:00Z", 37800, 39600 },
      { "Australia/Sydney", "2060-04-03T16:00:00Z", 39600, 36000 }, { "America/Nuuk", "2026-03-29T01:00:00Z", -7200, -3600 } } do
      local name, moment, before, after = table.unpack(case)
      local zone = assert(zone_of.open(name))
      assert.equal(before, zone:offset(at(moment) - 1), name)
      assert.equal(after, zone:offset(at(moment)), name)
      local from, to = zone:at(at(moment))
      assert.equal(at(moment), from)
      assert.is_true(to > from)
    end
  end)

  it("agrees with the system's own arithmetic over two hundred years", function()
    local process = require "weir.port.process"
    local names = { "Europe/Dublin", "Africa/Casablanca", "America/Santiago", "Antarctica/Troll", "Asia/Gaza", "Pacific/Apia" }
    math.randomseed(9636)
    for _, name in ipairs(names) do
      local zone, moments = assert(zone_of.open(name)), {}
      for index = 1, 50 do moments[index] = math.random(at "1900-01-01", at "2099-12-31") end
      local lines = {}
      for index, moment in ipairs(moments) do lines[index] = "@" .. moment end
      local done = assert(process.run({ "date", "-f", "-", "+%::z" }, { env = { TZ = name, PATH = os.getenv "PATH" },
        stdin = table.concat(lines, "\n") .. "\n" }))
      local index = 0
      for sign, hours, minutes, seconds in done.stdout:gmatch "([+-])(%d%d):(%d%d):(%d%d)" do
        index = index + 1
        local expected = tonumber(sign .. "1") * (hours * 3600 + minutes * 60 + seconds)
        assert.equal(math.tointeger(expected), zone:offset(moments[index]), ("%s at %d"):format(name, moments[index]))
      end
      assert.equal(#moments, index)
    end
  end)

  it("reads every rule that a file may end with", function()
    for rule, expected in pairs {
      ["<+0330>-3:30"] = { 12600 }, ["CET-1CEST,M3.5.0,M10.5.0/3"] = { 3600, 7200 }, ["IST-1GMT0,M10.5.0,M3.5.0/1"] = { 3600, 0 },
      ["<-02>2<-01>,M3.5.0/-1,M10.5.0/0"] = { -7200, -3600 }, ["EST5EDT,J60/2,J300/2:30:15"] = { -18000, -14400 },
      ["XXX-4YYY,0/0,J365/25"] = { 14400, 18000 }, ["EET-2EEST,M3.4.4/50,M10.4.4/50"] = { 7200, 10800 } } do
      local read = assert(zone_of.read_rule(rule), rule)
      assert.same(expected, { read.standard, read.summer })
    end
    for _, rule in ipairs { "", "CET", "CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,", "CET-1CEST,M3.5.0,M10.5.0/3x", "1CET",
      "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,J0,J300", "CET-1CEST,366,1",
      "CET-1CEST,M3.5.0/,M10.5.0", "CET-1CEST,M3.5.0,M10.5.0/", ("6"):rep(30), "CET-" .. ("6"):rep(30) } do
      assert.is_nil(zone_of.read_rule(rule), rule)
    end
  end)

  it("is refused with what is missing where a machine has none", function()
    local _, message, code = zone_of.open("Europe/Berlin", "/nonexistent")
    assert.equal("invalid", code)
    assert.matches("there are no time zones in /nonexistent; on Debian they come with the package tzdata", message)
  end)

  it("that is unknown is refused with the one that was meant, and no path leads out of the folder", function()
    local zone, message, code = zone_of.open "Europe/Berln"
    assert.is_nil(zone)
    assert.equal("invalid", code)
    assert.matches("time zone 'Europe/Berln' is unknown; take a name such as", message)
    for _, name in ipairs { "../../etc/passwd", "/etc/passwd", "Europe/../UTC", "", "Europe", "a b", ("A"):rep(500), "posixrules\0" } do
      assert.is_nil((zone_of.open(name)), name)
    end
  end)

  it("whose file is damaged is refused, wherever it is cut off", function()
    local file = assert(io.open("/usr/share/zoneinfo/Europe/Berlin", "rb"))
    local bytes = file:read "a"
    file:close()
    local whole = assert(zone_of.decode("Europe/Berlin", bytes))
    for size = 0, #bytes - 1 do
      local zone, wrong = zone_of.decode("Europe/Berlin", bytes:sub(1, size))
      assert.is_true(zone == nil and type(wrong) == "string" or zone.rule == nil or #zone.times <= #whole.times, size)
    end
    math.randomseed(1)
    for _ = 1, 500 do
      local position = math.random(#bytes)
      local ok, zone = pcall(zone_of.decode, "x", bytes:sub(1, position - 1) .. string.char(math.random(0, 255)) .. bytes:sub(position + 1))
      assert.is_true(ok, zone)
    end
  end)
end)

describe("a date", function()
  it("is a number and back, over every day of five hundred years", function()
    local number = civil.day(1850, 1, 1)
    for year = 1850, 2349 do
      for month = 1, 12 do
        for day = 1, civil.length(year, month) do
          assert(civil.day(year, month, day) == number)
          local y, m, d = civil.date(number)
          assert(y == year and m == month and d == day)
          number = number + 1
        end
      end
    end
    assert.equal(4, civil.weekday(0)) -- 1970 began on a Thursday
  end)

  it("is read as people write it, and refused when there is no such day", function()
    assert.same({ 1767225600, true }, { civil.read "2026-01-01" })
    assert.same({ 1767225600, false }, { civil.read "2026-01-01T01:00:00+01:00" })
    assert.same({ 1767225600, false }, { civil.read "2026-01-01 00:00:00.250Z" })
    for _, text in ipairs { "2026-02-29", "2026-13-01", "2026-1-1", "2026-01-01T24:00", "2026-01-01T00:60", "2026-01-01T00:00+25:00",
      "2026-01-01Z", "2026-01-01T00:00:00 Z", "tomorrow", "", ("1"):rep(100) } do
      assert.is_nil((civil.read(text)), text)
    end
  end)
end)

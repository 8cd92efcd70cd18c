local support = dofile "spec/lua/weir/run/support.lua"
local clock = require "weir.port.clock"
local sleep = require "weir.run.kinds.sleep"
local waking = require "weir.run.waking"
local weir = require "weir"

describe("a step that sleeps", function()
  it("reads a time as RFC 3339 has it, with an offset, parts of a second, a leap second", function()
    local cases = {
      ["2026-03-01T08:00:00Z"] = "2026-03-01T08:00:00.000Z", ["2026-03-01 08:00:00.5z"] = "2026-03-01T08:00:00.500Z",
      ["2026-03-01t00:30:00+01:00"] = "2026-02-28T23:30:00.000Z", ["2026-12-31T23:30:00-00:30"] = "2027-01-01T00:00:00.000Z",
      ["2026-01-01T00:00:00.123999Z"] = "2026-01-01T00:00:00.123Z", ["2016-12-31T23:59:60Z"] = "2017-01-01T00:00:00.000Z",
      ["2028-02-29T00:00:00Z"] = "2028-02-29T00:00:00.000Z", ["1900-03-01T00:00:00Z"] = "1900-03-01T00:00:00.000Z",
      ["2038-01-19T03:14:08Z"] = "2038-01-19T03:14:08.000Z", ["9999-12-31T23:59:59Z"] = "9999-12-31T23:59:59.000Z",
    }
    for text, expected in pairs(cases) do
      local ms = assert(sleep.parse_time(text))
      assert.equal("integer", math.type(ms))
      assert.equal(expected, clock.rfc3339(ms))
    end
  end)

  it("reads every day that there is", function()
    local before = sleep.parse_time "1999-12-31T00:00:00Z"
    for year = 2000, 2004 do
      for month = 1, 12 do
        for day = 1, 31 do
          local ms = sleep.parse_time(("%d-%02d-%02dT00:00:00Z"):format(year, month, day))
          if ms then
            assert.equal(before + 86400000, ms)
            before = ms
          end
        end
      end
    end
    assert.equal(sleep.parse_time "2004-12-31T00:00:00Z", before)
  end)

  it("refuses a time that no calendar and no clock shows", function()
    for _, text in ipairs { "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-10T00:00:00Z",
      "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+24:00",
      "2026-01-01T00:00:00+01:60", "2026-01-01T00:00:00", "2026-01-01T00:00Z", "2026-01-01", "soon", "" } do
      local ms, message = sleep.parse_time(text)
      assert.is_nil(ms, text)
      assert.truthy(message:find("2026-03-01T08:00:00Z", 1, true))
    end
    assert.is_nil((sleep.parse_time(nil)))
  end)

  it("is not among those whose moment has come, however far away its moment is", function()
    for _, given in ipairs { "97000d", 1e300, { ["until"] = "2300-01-01T00:00:00Z" }, { ["until"] = "9999-12-31T23:59:59Z" } } do
      local world = support.world {}
      local run = world:begin(weir.pipeline "far" { weir.step "nap" { sleep = given } })
      assert.equal("waiting", run.status)
      assert.same({}, (waking.due(world.engine)))
      assert.equal(9999999999999, waking.next_due(world.engine))
      world:close()
    end
  end)

  it("is not among those whose moment has come when it is a time limit that is far away", function()
    local world = support.world {}
    local run = world:begin(weir.pipeline "far" { weir.group "g" { join = { deadline = "99999d" }, weir.wait "sign" { signal = "sign" } } })
    assert.equal("waiting", run.status)
    assert.same({}, (waking.due(world.engine)))
    world:close()
  end)
end)

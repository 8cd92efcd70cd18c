local parse = require("weir.run.kinds.sleep").parse_time

describe("a time", function()
  it("is that of RFC 3339, with its offset and parts of a second", function()
    assert.equal(0, parse "1970-01-01T00:00:00Z")
    assert.equal(1709164800500, parse "2024-02-29T00:00:00.5z")
    assert.equal(parse "2026-03-01T06:30:00Z", parse "2026-03-01T08:00:00+01:30")
    assert.equal(parse "2027-01-01T00:00:00Z", parse "2026-12-31T23:59:60Z") -- a leap second
  end)

  it("that there is not is refused, and never becomes another one", function()
    for _, text in ipairs { "2026-02-29T00:00:00Z", "2026-02-30T00:00:00Z", "2026-04-31T00:00:00Z", "2026-13-01T00:00:00Z",
      "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
      "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+00:60" } do
      local ms, message = parse(text)
      assert.is_nil(ms)
      assert.matches("there is no such time$", message)
    end
  end)

  it("of every day there is, is there", function()
    local before = parse "1999-12-31T00:00:00Z"
    for year = 2000, 2004 do
      for month = 1, 12 do
        for day = 1, 31 do
          local ms = parse(("%d-%02d-%02dT00:00:00Z"):format(year, month, day))
          if ms then
            assert.equal(before + 86400000, ms)
            before = ms
          end
        end
      end
    end
    assert.equal(parse "2004-12-31T00:00:00Z", before)
  end)
end)

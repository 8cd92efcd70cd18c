local limits = require "weir.model.limits"

local NOW = 1445412000 -- 2015-10-21T07:20:00Z

describe("when to ask again", function()
  it("is said in seconds, in milliseconds or as a date", function()
    for _, row in ipairs {
      { { ["retry-after"] = "3" }, 3 }, { { ["retry-after"] = "0.5" }, 0.5 }, { { ["retry-after-ms"] = "250", ["retry-after"] = "9" }, 0.25 },
      { { ["retry-after"] = "Wed, 21 Oct 2015 07:28:00 GMT" }, 480 }, { { ["retry-after"] = "Wed, 21 Oct 2015 07:00:00 GMT" }, 0 },
      { { ["retry-after"] = { "4", "5" } }, 4 },
    } do
      assert.equal(row[2], limits.retry_after(row[1], NOW))
    end
  end)

  it("is read from each form that a date of HTTP may have", function()
    for _, text in ipairs { "Wed, 21 Oct 2015 07:28:00 GMT", "Wednesday, 21-Oct-15 07:28:00 GMT", "Wed Oct 21 07:28:00 2015" } do
      assert.equal(480, limits.retry_after({ ["retry-after"] = text }, NOW), text)
    end
    assert.equal(60, limits.retry_after({ ["retry-after"] = "Sat Nov  7 00:00:00 2015" }, NOW + 17 * 86400 - 7 * 3600 - 21 * 60))
    assert.equal(0, limits.retry_after({ ["retry-after"] = "Sunday, 06-Nov-94 08:49:37 GMT" }, NOW)) -- of 1994
    assert.equal(1, limits.retry_after({ ["retry-after"] = "Fri, 01 Jan 2016 00:00:00 GMT" }, 1451606399))
  end)

  it("is unknown where a date is none", function()
    for _, text in ipairs { "Wed, 32 Oct 2015 07:28:00 GMT", "Thu, 29 Feb 2015 07:28:00 GMT", "Wed, 21 Oct 2015 24:28:00 GMT",
      "Wed, 21 Oct 2015 07:60:00 GMT", "Wed, 21 Oct 2015 07:28:61 GMT", "Wed, 00 Nov 2015 07:28:00 GMT" } do
      assert.is_nil(limits.retry_after({ ["retry-after"] = text }, NOW), text)
    end
  end)

  it("is unknown where it is not said, or said in no way that can be believed", function()
    for _, text in ipairs { "soon", "-1", "", "99999999999", "Wed, 21 Foo 2015 07:28:00 GMT" } do
      assert.is_nil(limits.retry_after({ ["retry-after"] = text }, NOW), text)
    end
    assert.is_nil(limits.retry_after({}, NOW))
  end)
end)

describe("rate limits", function()
  it("are read as OpenAI writes them", function()
    assert.same({ requests = { limit = 60, remaining = 59, reset_s = 1 }, tokens = { limit = 150000, remaining = 149984, reset_s = 360 } },
      limits.rates({ ["x-ratelimit-limit-requests"] = "60", ["x-ratelimit-remaining-requests"] = "59", ["x-ratelimit-reset-requests"] = "1s",
        ["x-ratelimit-limit-tokens"] = "150000", ["x-ratelimit-remaining-tokens"] = "149984", ["x-ratelimit-reset-tokens"] = "6m0s" }, NOW))
  end)

  it("are read as Anthropic writes them", function()
    assert.same({ requests = { remaining = 0, reset_s = 60 } },
      limits.rates({ ["anthropic-ratelimit-requests-remaining"] = "0", ["anthropic-ratelimit-requests-reset"] = "2015-10-21T07:21:00Z" }, NOW))
  end)

  it("are reset at a time with any offset, and at none that is no time", function()
    for text, expected in pairs { ["2015-10-21T07:21:00Z"] = 60, ["2015-10-21T09:21:00.5+02:00"] = 60.5, ["2015-10-21 03:51:00-03:30"] = 60,
      ["2015-10-21t07:20:60z"] = 60 } do
      assert.equal(expected, limits.rates({ ["anthropic-ratelimit-requests-reset"] = text }, NOW).requests.reset_s, text)
    end
    for _, text in ipairs { "2015-10-32T07:21:00Z", "2015-10-21T25:21:00Z", "2015-10-21T07:21:00", "2015-10-21T07:21:00+99:00" } do
      assert.is_nil(limits.rates({ ["anthropic-ratelimit-requests-reset"] = text }, NOW), text)
    end
  end)

  it("are unknown where nobody says them", function()
    assert.is_nil(limits.rates({}, NOW))
    assert.is_nil(limits.rates({ ["x-ratelimit-limit-requests"] = "many" }, NOW))
  end)
end)

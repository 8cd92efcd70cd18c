local fingerprint = require "weir.healing.fingerprint"

local function of(message, place, code)
  return fingerprint.of({ code = code or "failed", message = message }, place or { pipeline = "p", step = "s", agent = "agents/a" })
end

describe("a fingerprint", function()
  it("is the same for failures that differ in a number, an id, a path, a value, an address or a hash only", function()
    local same = {
      { "line 3: expected 4 columns, got 5", "line 812: expected 4 columns, got 17" },
      { "run r_0mwt3kj66h9xu2doge3y is gone", "run r_0mwt3kj66h9xu2dogezz is gone" },
      { "cannot read /tmp/in/a.csv", "cannot read /var/data/other/b.csv" },
      { "field 'price' is missing", "field 'amount' is missing" },
      { "GET https://example.org/a?b=1 failed", "GET https://example.org/c failed" },
      { "blob deadbeef01234567 is cut", "blob 0123456789abcdef is cut" },
      { "took 1.5 s", "took 20 s" },
      { "broken\n  at line 1", "broken\n  at line 2" },
    }
    for _, pair in ipairs(same) do assert.equal((of(pair[1])), (of(pair[2]))) end
  end)

  it("is another one for another code, message, step, pipeline or agent", function()
    local seen = {}
    local function add(...)
      local name = of(...)
      assert.is_nil(seen[name])
      seen[name] = true
    end
    add("it broke")
    add("it bent")
    add("it broke", nil, "timeout")
    add("it broke", { pipeline = "q", step = "s", agent = "agents/a" })
    add("it broke", { pipeline = "p", step = "t", agent = "agents/a" })
    add("it broke", { pipeline = "p", step = "s", agent = "agents/b" })
  end)

  it("is that of the step, in whichever visit and item", function()
    assert.equal((of("x", { step = "all[3]/read" })), (of("x", { step = "all[17]/read" })))
    assert.equal((of("x", { step = "draft/write" })), (of("x", { step = "draft#2/write" })))
  end)

  it("changes with the version of the agent, and its family does not", function()
    local one, family = of("x", { step = "s", version = "v1" })
    local two, other = of("x", { step = "s", version = "v2" })
    assert.not_equal(one, two)
    assert.equal(family, other)
    assert.is_truthy(one:find "^%x+$" and #one == 12)
  end)

  it("keeps words that look like hexadecimal numbers and are none", function()
    assert.equal("the facade decade failed", fingerprint.normalise "the facade decade failed")
    assert.is_true(#fingerprint.normalise(("x "):rep(1000)) <= 300)
  end)
end)

local compare = require "weir.healing.compare"

local function worse(a, b, c, d) return compare.worse({ ok = a, failed = b }, { ok = c, failed = d }) end

describe("Fisher's exact test", function()
  it("gives the probabilities of published tables", function()
    -- Fisher's tea: of 8 cups 4 and 4, with 3 right of 4: 17/70.
    assert.near(17 / 70, worse(3, 1, 1, 3), 1e-12)
    assert.near(1 / 70, worse(4, 0, 0, 4), 1e-12)
    -- Convictions of like-sex twins (Fisher 1935): 2, 10 against 15, 3; the tail is 0.000465.
    assert.near(0.000465, worse(15, 3, 2, 10), 1e-6)
  end)

  it("is 1 where nothing failed, or there is nothing to compare with", function()
    assert.same({ 1, 1, 1 }, { worse(5, 0, 5, 0), worse(0, 0, 3, 4), worse(4, 2, 0, 0) })
  end)

  it("is a probability, greater the fewer of the failures the new version has, for large numbers too", function()
    local last = 0
    for failed = 60, 0, -1 do
      local p = worse(1940, 60, 2000 - failed, failed)
      assert.is_true(p >= last - 1e-12 and p <= 1, failed)
      last = p
    end
    assert.near(0.5, worse(1000, 1000, 1000, 1000), 0.02)
  end)
end)

describe("a version with nothing to compare it with", function()
  it("is held against a rate of failures, by the binomial distribution", function()
    assert.near(1 - 0.9 ^ 5, compare.exceeds(0.1, { ok = 4, failed = 1 }), 1e-12)
    assert.near(0.5 ^ 10 * (10 + 1), compare.exceeds(0.5, { ok = 1, failed = 9 }), 1e-12)
    assert.same({ 1, 1, 0 }, { compare.exceeds(0.1, { ok = 9, failed = 0 }), compare.exceeds(1, { ok = 0, failed = 9 }), compare.exceeds(0, { ok = 8, failed = 1 }) })
    local options, nothing = { minimum = 10, calls = 20, alpha = 0.05, baseline = 0.05 }, { ok = 0, failed = 0 }
    assert.equal("rollback", (compare.judge(options, nothing, { ok = 5, failed = 5 }, 0)))
    assert.is_nil((compare.judge(options, nothing, { ok = 9, failed = 1 }, 0)))
    assert.equal("promote", (compare.judge(options, nothing, { ok = 19, failed = 1 }, 10)))
  end)
end)

describe("looking at a new version", function()
  it("happens at few numbers of calls, each twice the one before, and at the last", function()
    assert.same({ 10, 20, 40, 80, 100 }, compare.looks(10, 100))
    assert.same({ 5 }, compare.looks(5, 5))
    assert.same({ 5 }, compare.looks(10, 5))
  end)

  it("does not look twice at the same number, and decides at the last", function()
    local options = { minimum = 10, calls = 40, alpha = 0.05, baseline = 0.05 }
    local old = { ok = 90, failed = 10 }
    assert.same({ nil, 0 }, { compare.judge(options, old, { ok = 8, failed = 1 }, 0) })
    local decision, looked, p = compare.judge(options, old, { ok = 9, failed = 1 }, 0)
    assert.same({ nil, 10 }, { decision, looked })
    assert.is_true(p > 0.5)
    assert.same({ nil, 10 }, { compare.judge(options, old, { ok = 12, failed = 1 }, 10) })
    assert.equal("promote", (compare.judge(options, old, { ok = 36, failed = 4 }, 20)))
    assert.equal("rollback", (compare.judge(options, old, { ok = 5, failed = 5 }, 0)))
  end)

  it("rolls a version back that is no worse no more often than alpha, and finds one that is much worse", function()
    local state = 12345
    local function draw()
      state = (state * 6364136223846793005 + 1442695040888963407) & math.maxinteger
      return (state >> 11) / (1 << 52)
    end
    local options = { minimum = 10, calls = 100, alpha = 0.05, baseline = 0.05 }
    local function trial(rate)
      local old, new, looked, decision = { ok = 0, failed = 0 }, { ok = 0, failed = 0 }, 0
      repeat
        for _ = 1, 9 do
          local key = draw() < 0.1 and "failed" or "ok"
          old[key] = old[key] + 1
        end
        local key = draw() < rate and "failed" or "ok"
        new[key] = new[key] + 1
        decision, looked = compare.judge(options, old, new, looked)
      until decision
      return decision == "rollback"
    end
    local wrong, found = 0, 0
    for _ = 1, 400 do
      wrong = wrong + (trial(0.1) and 1 or 0)
      found = found + (trial(0.4) and 1 or 0)
    end
    assert.is_true(wrong <= 400 * 0.05, wrong)
    assert.is_true(found >= 400 * 0.95, found)
  end)
end)

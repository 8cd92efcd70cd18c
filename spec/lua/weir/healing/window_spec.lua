local window = require "weir.healing.window"

describe("a window", function()
  it("has the numbers of the last so many seconds and no others", function()
    local w = window.new(10)
    for at = 1, 5 do w:add(at, at * 10) end
    assert.same({ 5, 150 }, { w:count(10.9), w:sum(10.9) })
    assert.same({ 4, 140 }, { w:count(11), w:sum(11) }) -- what is exactly as old as the window is out of it
    assert.same({ 0, 0 }, { w:count(100), w:sum(100) })
    assert.is_nil(w:mean(100))
    assert.is_nil(w:percentile(100, 0.5))
  end)

  it("tells count, sum, rate, mean, max and percentiles by the nearest rank", function()
    local w = window.new(100)
    for at = 1, 100 do w:add(at / 100, 101 - at) end
    local expected = { count = 100, sum = 5050, rate = 1, mean = 50.5, max = 100, p50 = 50, p90 = 90, p95 = 95, p99 = 99 }
    for _, measure in ipairs(window.measures) do assert.equal(expected[measure], w:figure(1, measure), measure) end
  end)

  it("agrees with counting all over again, for any numbers at any times", function()
    local state = 7
    local function draw(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return state % n
    end
    local w, all, now = window.new(30), {}, 0
    for _ = 1, 2000 do
      now = now + draw(5)
      local value = draw(1000)
      w:add(now, value)
      all[#all + 1] = { now, value }
      local sum, count, greatest = 0, 0, nil
      for _, one in ipairs(all) do
        if one[1] > now - 30 then sum, count, greatest = sum + one[2], count + 1, math.max(greatest or 0, one[2]) end
      end
      assert.same({ count, sum, greatest }, { w:count(now), w:sum(now), w:figure(now, "max") })
    end
  end)

  it("keeps no more than its limit, and drops the oldest", function()
    local w = window.new(1e9, 10)
    for at = 1, 1000 do w:add(at, at) end
    local kept = 0
    for _ in pairs(w.times) do kept = kept + 1 end
    assert.same({ 10, 9955, 10 }, { w:count(1000), w:sum(1000), kept })
  end)
end)

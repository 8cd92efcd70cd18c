local sketch = require "weir.model.sketch"

describe("a sketch of durations", function()
  it("gives quantiles that are wrong by 5 % at most, from a tenth of a millisecond to hours", function()
    for _, scale in ipairs { 0.0002, 0.01, 1, 90 } do
      local one = sketch.new()
      for n = 1, 1000 do sketch.add(one, scale * n / 10, 1) end
      for _, part in ipairs { 0.01, 0.5, 0.95, 0.99 } do
        local exact = scale * part * 100
        local found = sketch.quantile(one, part)
        assert.is_true(math.abs(found - exact) <= 0.0501 * exact, ("%g of %g: %g"):format(part, exact, found))
      end
    end
  end)

  it("lets weights decide", function()
    local one = sketch.new()
    sketch.add(one, 1, 1)
    sketch.add(one, 10, 30)
    assert.is_true(sketch.quantile(one, 0.5) > 9)
    sketch.scale(one, 0.5)
    assert.is_true(math.abs(one.total - 15.5) < 1e-9)
    assert.is_true(sketch.quantile(one, 0.5) > 9)
  end)

  it("is empty at first, and never larger than its buckets, whatever it is given", function()
    local one = sketch.new()
    assert.is_nil(sketch.quantile(one, 0.5))
    for n = 0, 20000 do sketch.add(one, 1e-9 * 1.002 ^ n, 1) end
    sketch.add(one, 0, 1)
    local count = 0
    for _ in pairs(one.weights) do count = count + 1 end
    assert.is_true(count <= sketch.buckets, count .. " buckets")
  end)

  it("comes back as it was packed", function()
    local one = sketch.new()
    for n = 1, 50 do sketch.add(one, n / 7, 1 + n % 3) end
    assert.same(one, sketch.unpack(sketch.pack(one)))
    assert.same(sketch.new(), sketch.unpack({ -1, 1, 1e9, 1, "x", "y" }))
  end)
end)

local hashing = require "weir.text.hashing"

local function cosine(a, b)
  local sum = 0
  for index = 1, #a do sum = sum + a[index] * b[index] end
  return sum
end

describe("vectors by hashing", function()
  it("are alike where texts share words or parts of words, in any script", function()
    for _, row in ipairs { { "The miller grinds grain", "a mill that grinds grains", "dogs sleep in the sun" },
      { "Das Wehr staut das Wasser", "Wasser staut sich am Wehr", "Ein Hund schläft am Nachmittag" }, { "水坝拦住了河流的水", "河流的水会漫过水坝", "一只狗整个下午都在睡觉" } } do
      local first, like, other = hashing.vector(row[1], 512), hashing.vector(row[2], 512), hashing.vector(row[3], 512)
      assert.is_true(cosine(first, like) > cosine(first, other) + 0.05, row[1])
      assert.is_true(math.abs(cosine(first, first) - 1) < 1e-9)
    end
  end)

  it("let others run at each word", function()
    local count = 0
    hashing.vector(("word "):rep(100), 8, function() count = count + 1 end)
    assert.equal(100, count)
  end)

  it("are zeros for a text without words", function()
    assert.same({ 0.0, 0.0 }, hashing.vector(" ... ", 2))
  end)
end)

local growing = require "weir.text.growing"

describe("a text that grows", function()
  it("is all its pieces, however many", function()
    for _, count in ipairs { 0, 1, 2, 511, 512, 513, 5000, 300000 } do
      local text = growing.new()
      for index = 1, count do text:add(index % 2 == 0 and "ab" or "c") end
      local expected = ("cab"):rep(count // 2) .. (count % 2 == 1 and "c" or "")
      assert.equal(#expected, text.size)
      assert.is_true(expected == text:whole())
      text:add "x"
      assert.is_true(expected .. "x" == text:whole())
    end
  end)

  it("keeps its beginning where it is cut", function()
    local text = growing.new()
    for _ = 1, 1000 do text:add "ab" end
    text:cut(3)
    text:add "c"
    assert.equal("abac", text:whole())
    assert.equal(4, text.size)
    text:cut(100)
    assert.equal(4, text.size)
  end)

  it("holds little besides its bytes", function()
    local text = growing.new()
    collectgarbage()
    local before = collectgarbage "count"
    for index = 1, 500000 do text:add(("%d "):format(index % 10)) end
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 3000, collectgarbage "count" - before) -- KiB, for 977 of text
  end)
end)

local growing = require "weir.text.growing"

describe("a text that grows", function()
  it("is all that was added, in order, however much", function()
    local text, pieces = growing.new(), {}
    for index = 1, 3000 do
      pieces[index] = index % 7 == 0 and "" or "p" .. index
      text:add(pieces[index])
      if index % 500 == 0 then assert.equal(table.concat(pieces), text:whole()) end
    end
    assert.equal(table.concat(pieces), text:whole())
    assert.equal(#table.concat(pieces), text.size)
  end)

  it("can be cut and goes on from there", function()
    local text = growing.new()
    for _ = 1, 1000 do text:add "ab" end
    text:cut(3)
    text:add "c"
    assert.same({ "abac", 4 }, { text:whole(), text.size })
    text:cut(0)
    assert.same({ "", 0 }, { text:whole(), text.size })
  end)

  it("takes about as much memory as it is long", function()
    local text = growing.new()
    collectgarbage()
    local before = collectgarbage "count"
    for _ = 1, 200000 do text:add "abcde" end
    collectgarbage()
    assert.is_true(collectgarbage "count" - before < 1.1 * 200000 * 5 / 1024 + 64)
    assert.equal(1000000, text.size)
  end)
end)

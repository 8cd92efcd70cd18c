local latin1 = require "weir.text.latin1"

describe("bytes as text", function()
  it("come back as they were, each of them", function()
    local all = {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    local bytes = table.concat(all)
    local text = latin1.encode(bytes)
    assert.equal(256, utf8.len(text))
    assert.equal(bytes, latin1.decode(text))
  end)

  it("are refused when a character is no byte", function()
    assert.is_false((pcall(latin1.decode, "\u{100}")))
  end)
end)

local ndjson = require "weir.wire.ndjson"

local function read(pieces, options)
  local reader, values = ndjson.reader(options), {}
  for _, piece in ipairs(pieces) do
    local more, message, code = reader:push(piece)
    if not more then return nil, message, code end
    table.move(more, 1, #more, #values + 1, values)
  end
  local more, message, code = reader:finish()
  if not more then return nil, message, code end
  return table.move(more, 1, #more, #values + 1, values)
end

describe("NDJSON", function()
  it("comes out the same, wherever its bytes are cut", function()
    local text = '{"a":"ä"}\r\n\n  \n[1,2]\n"last"'
    for first = 0, #text do
      for second = first, #text do
        assert.same({ { a = "ä" }, { 1, 2 }, "last" }, read { text:sub(1, first), text:sub(first + 1, second), text:sub(second + 1) })
      end
    end
  end)

  it("is refused at a line that is none, which is named, after the values before it", function()
    local reader = ndjson.reader()
    assert.same({ 1 }, reader:push "1\n{\n2\n")
    local values, message, code = reader:push "3\n"
    assert.is_nil(values)
    assert.matches("^line 2: ", message)
    assert.equal("invalid", code)
    assert.is_nil(reader:finish())
  end)

  it("is refused where it stops in the middle", function()
    local _, message, code = read { '{"a":1}\n{"a"' }
    assert.matches("^line 2: ", message)
    assert.equal("closed", code)
    assert.equal("invalid", select(3, read { '{"a":1}\n{malformed' }))
  end)

  it("is refused where a line is too long, ended or not", function()
    assert.equal("limit", select(3, read({ ("1"):rep(11) .. "\n" }, { max_bytes = 10 })))
    assert.equal("limit", select(3, read({ ("1"):rep(11) }, { max_bytes = 10 })))
    assert.same({ 1234567890 }, read({ "1234567890" }, { max_bytes = 10 }))
  end)
end)

local lines = require "weir.wire.lines"

local function read(pieces, options)
  local reader, found = lines.new(options), {}
  for _, piece in ipairs(pieces) do
    reader:push(piece, function(line) found[#found + 1] = line end)
  end
  found.rest = reader:rest()
  return found
end

describe("lines of a stream", function()
  it("are the same, wherever the bytes are cut", function()
    local text = "a\r\n\nb\rc\r\r\nd\n\re"
    for first = 0, #text do
      for second = first, #text do
        local pieces = { text:sub(1, first), text:sub(first + 1, second), text:sub(second + 1) }
        assert.same({ "a", "", "b", "c", "", "d", "", rest = "e" }, read(pieces, { cr = true }))
        assert.same({ "a", "", "b\rc\r", "d", rest = "\re" }, read(pieces))
      end
    end
  end)

  it("end for good where they are told to", function()
    local reader = lines.new()
    assert.equal("stop", reader:push("a\nb\nc", function(line) return line == "b" and "stop" end))
  end)
end)

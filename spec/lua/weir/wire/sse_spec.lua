local sse = require "weir.wire.sse"

local function read(pieces, options)
  local reader, events = sse.reader(options), {}
  for _, piece in ipairs(pieces) do
    local more, message, code = reader:push(piece)
    if not more then return nil, message, code end
    table.move(more, 1, #more, #events + 1, events)
  end
  local ok, message, code = reader:finish()
  if not ok then return nil, message, code end
  return events, reader
end

local CORPUS = {
  { "data: a\n\n", { { data = "a" } } },
  { "data:a\r\n\r\ndata:  b\r\rdata: c\n\n", { { data = "a" }, { data = " b" }, { data = "c" } } },
  { "\xEF\xBB\xBFdata: ä😀\n\n", { { data = "ä😀" } } },
  { "event: x\ndata: 1\ndata: 2\ndata\n\n", { { event = "x", data = "1\n2\n" } } },
  { ": ping\n\ndata: a\n: in the middle\ndata: b\n\n", { { data = "a\nb" } } },
  { "id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n", { { id = "7", data = "a" }, { id = "7", data = "b" }, { id = "", data = "c" } } },
  { "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", { { id = "1", data = "a" }, { id = "1", data = "b" } } },
  { "event: lost\n\ndata: a\n\n", { { data = "a" } } },
  { "unknown: x\ndata: a\nfoo\n\n", { { data = "a" } } },
  { "data\n\n", { { data = "" } } },
  { "data: {\"a\":\"b: c\"}\n\ndata: cut", { { data = '{"a":"b: c"}' } } },
  { "\r\n\n\rdata: a\r\n\n", { { data = "a" } } },
}

describe("server-sent events", function()
  it("come out the same, wherever their bytes are cut", function()
    for _, row in ipairs(CORPUS) do
      local text = row[1]
      for first = 0, #text do
        for second = first, #text do
          local events = read { text:sub(1, first), text:sub(first + 1, second), text:sub(second + 1) }
          assert.same(row[2], events, ("%q at %d, %d"):format(text, first, second))
        end
      end
      local bytes = {}
      for at = 1, #text do bytes[at] = text:sub(at, at) end
      assert.same(row[2], read(bytes))
    end
  end)

  it("say how long to wait before coming back", function()
    local _, reader = read { "retry: 1500\nretry: soon\n\n" }
    assert.equal(1500, reader.retry_ms)
  end)

  it("have begun as soon as a byte of theirs has come", function()
    local reader = sse.reader()
    assert.is_false(reader:is_inside())
    for _, piece in ipairs { "data: a", "\n" } do
      reader:push(piece)
      assert.is_true(reader:is_inside())
    end
    reader:push "\n"
    assert.is_false(reader:is_inside())
  end)

  it("are refused where one is too long, after those before it, wherever the bytes are cut", function()
    local text = "data: a\n\ndata: " .. ("b"):rep(20) .. "\n\ndata: c\n\n"
    for cut = 0, #text do
      local reader, events = sse.reader { max_bytes = 20 }, {}
      for _, piece in ipairs { text:sub(1, cut), text:sub(cut + 1) } do
        for _, event in ipairs(reader:push(piece) or {}) do events[#events + 1] = event end
      end
      assert.same({ { data = "a" } }, events)
      local more, message, code = reader:push "data: d\n\n"
      assert.is_nil(more)
      assert.equal("an event has more than 20 bytes", message)
      assert.equal("limit", code)
      assert.is_nil(reader:finish())
    end
  end)

  it("keep no more than the limit of a line that never ends", function()
    local reader, code = sse.reader(), nil
    for _ = 1, 100 do
      code = code or select(3, reader:push(("x"):rep(1 << 16)))
    end
    assert.equal("limit", code)
    assert.is_true(reader.lines.size <= (1 << 20) + (1 << 16))
  end)

  it("may have any number of comments between them", function()
    local events = read { (": ping\n"):rep(100) .. "data: a\n\n" }
    assert.same({ { data = "a" } }, read({ (": ping\n"):rep(100) .. "data: a\n\n" }, { max_bytes = 20 }))
    assert.same({ { data = "a" } }, events)
  end)
end)

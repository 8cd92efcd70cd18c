local lines = require "weir.mcp.lines"
local messages = require "weir.mcp.messages"
local tools = require "weir.mcp.tools"

describe("mcp lines", function()
  local function read(limit, pieces)
    local seen = {}
    local reader = lines.new(limit, function(line) seen[#seen + 1] = line end,
      function(head, tail) seen[#seen + 1] = { head, tail } end)
    for _, piece in ipairs(pieces) do reader:feed(piece) end
    reader:close()
    return seen
  end

  it("are the same however their bytes come", function()
    local text = "one\r\n\n\ntwo\nthr\ree\n\r\nlast"
    local whole = read(100, { text })
    assert.same({ "one", "two", "thr\ree", "last" }, whole)
    for at = 1, #text do assert.same(whole, read(100, { text:sub(1, at), text:sub(at + 1) })) end
    local bytes = {}
    for at = 1, #text do bytes[at] = text:sub(at, at) end
    assert.same(whole, read(100, bytes))
  end)

  it("that are too long keep their ends only, and those after them are read", function()
    local long = "head" .. ("x"):rep(5000) .. "tail"
    assert.same({ "a", { long:sub(1, 512), long:sub(-512) }, "b" }, read(1000, { "a\n", long:sub(1, 1200), long:sub(1201), "\nb\n" }))
  end)

  it("say whose answer they are where that can be told from their ends", function()
    for text, id in pairs {
      ['{"jsonrpc":"2.0","id":7,"result":{"id":8'] = 7,
      ['{"id" : 7 , "result":'] = 7,
      ['x"}]},"jsonrpc":"2.0","id":7}'] = 7,
      ['x"}]}, "id": 7, "jsonrpc": "2.0"}'] = 7,
      ['{"result":{"id":8}}'] = false,
      ['words, \\"id\\":7}'] = false,
      ['{"jsonrpc":"2.0","id":"7","result":'] = false,
      ["no message"] = false,
    } do
      assert.equal(id or nil, lines.id_of(text, text), text)
    end
  end)
end)

describe("mcp messages", function()
  it("are told apart, and what is none is refused", function()
    for text, kind in pairs {
      ['{"jsonrpc":"2.0","id":1,"method":"ping"}'] = "request", ['{"jsonrpc":"2.0","method":"x"}'] = "notification",
      ['{"jsonrpc":"2.0","id":1,"result":{}}'] = "response", ['{"jsonrpc":"2.0","id":null,"error":{"code":1}}'] = "response",
    } do
      assert.equal(kind, messages.kind(messages.decode(text)[1]))
    end
    for _, text in ipairs { "{}", "7", "null", "", '{"jsonrpc":"1.0","method":"x"}', '{"jsonrpc":"2.0","id":1}', '[{"jsonrpc":"2.0"}]',
      '{"jsonrpc":"2.0","id":1,"error":"no"}', ("["):rep(100) } do
      local list, why = messages.decode(text)
      assert.is_nil(list, text)
      assert.equal("string", type(why))
    end
    assert.equal(2, #messages.decode '[{"jsonrpc":"2.0","method":"x"},{"jsonrpc":"2.0","method":"y"}]')
  end)
end)

describe("mcp marks of headers", function()
  local function marks(properties, more)
    local schema = { type = "object", properties = properties }
    for name, value in pairs(more or {}) do schema[name] = value end
    return tools.marks(schema)
  end

  local mark = { type = "string", ["x-mcp-header"] = "A" }

  it("stand at properties of any depth", function()
    assert.same({ { path = { "o", "a" }, name = "A" } }, marks { o = { type = "object", properties = { a = mark } } })
  end)

  it("make a tool invalid anywhere else, twice, of another type, and with a name that is none", function()
    for words, found in pairs {
      ["is for properties only"] = { marks({ l = { type = "array", items = mark } }) },
      ["for properties only"] = { marks({}, { ["x-mcp-header"] = "A" }) },
      ["properties only"] = { marks({}, { ["$defs"] = { x = { properties = { a = mark } } } }) },
      ["a second time"] = { marks { a = mark, b = { type = "integer", ["x-mcp-header"] = "a" } } },
      ["is for string, integer and boolean only"] = { marks { a = { type = "number", ["x-mcp-header"] = "A" } } },
      ["is no name of a header"] = { marks { a = { type = "string", ["x-mcp-header"] = "A b" } } },
    } do
      assert.is_nil(found[1])
      assert.matches(words, found[2], 1, true)
    end
  end)

  it("give headers of what the arguments have, and of nothing else", function()
    local tool = { headers = { { path = { "a" }, name = "A" }, { path = { "o", "b" }, name = "B" } } }
    assert.same({ ["mcp-param-A"] = "x" }, tools.headers(tool, { a = "x", o = 7 }))
    assert.same({ ["mcp-param-A"] = "false", ["mcp-param-B"] = "-3" }, tools.headers(tool, { a = false, o = { b = -3 } }))
    for value, text in pairs { [""] = "=?base64??=", ["a\nb"] = "=?base64?YQpi?=", [" a"] = "=?base64?IGE=?=", ["=?base64?x?="] = "=?base64?PT9iYXNlNjQ/eD89?=" } do
      assert.equal(text, tools.headers(tool, { a = value })["mcp-param-A"])
    end
    assert.same({}, tools.headers(tool, { a = {}, o = { b = 1 << 60 } }))
  end)
end)

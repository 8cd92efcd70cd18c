local json = require "weir.json"
local partial = require "weir.wire.partial"
local value_of = require "weir.value"

-- Reads pieces to the end: what was found, or why not.
local function read(pieces, options)
  local reader, found = partial.reader(options), {}
  for _, piece in ipairs(pieces) do
    local more, message, code = reader:push(piece)
    if not more then return nil, message, code end
    table.move(more, 1, #more, #found + 1, found)
  end
  local more, message, code = reader:finish()
  if not more then return nil, message, code end
  return table.move(more, 1, #more, #found + 1, found)
end

local function shown(found)
  local lines = {}
  for index, one in ipairs(found) do lines[index] = table.concat(one.path, ".") .. "=" .. assert(json.encode(one.value)) end
  return lines
end

local GOOD = {
  "{}", "[]", "0", "-1.5e+3", '"a"', "true", "null", " [ 1 , 2 ] ", '{"a":1,"b":[true,null,{"c":"d"}],"e":{}}',
  '"\\u00e4\\ud83d\\ude00\\"\\\\"', '["ä","😀","\\n"]', '[[[[1]]],[]]', '{"":{"":""}}', "9223372036854775807", "[1.0,1,1e2]",
  '{"items":[{"n":1},{"n":2}],"rest":"x"}', "\t\r\n 7 \n", '"\\""', '{"a\\u0062":1}',
}

local BAD = {
  "", " ", "{", "[", '"', '"a', "[1", "[1,", "[1,]", "{,}", '{"a"}', '{"a":}', '{"a":1,}', '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', "01", "-", "1.", "1e", "+1",
  "tru", "truee", "nul", "NaN", "Infinity", "'a'", '"\\x"', '"\\u12"', '"\\ud800"', '"\1"', "[1 2]", '{"a" 1}', "1 2", "{}x", "]", '"\xff"', '"\xc3"', "\xEF\xBB\xBF1",
  "[1}", '{"a":1]', "{1:2}", "/**/1", "[\"a\" \"b\"]", ".5", "1a", "--1",
}

describe("a JSON text that grows", function()
  it("gives fields and items in the order in which they are complete, the whole at last", function()
    assert.same({ "a=1", "b.1=true", "b.2=null", "b.3.c=\"d\"", 'b.3={"c":"d"}', 'b=[true,null,{"c":"d"}]', "e={}",
      '={"a":1,"b":[true,null,{"c":"d"}],"e":{}}' }, shown(assert(read { GOOD[9] })))
  end)

  it("gives the first item of a list before the second has begun", function()
    local reader = partial.reader()
    assert.same({}, reader:push '{"items": [ {"name": "mi')
    local found = reader:push 'll"}'
    assert.same({ 'items.1.name="mill"', 'items.1={"name":"mill"}' }, shown(found))
    assert.same('{"items":[{"name":"mill"}]}', json.encode(reader.value))
    assert.same({}, reader:push ", 1")
    assert.same({ "items.2=12" }, shown(reader:push "2 "))
  end)

  it("reads what the strict codec reads, cut at any two places", function()
    for _, text in ipairs(GOOD) do
      local expected = json.decode(text)
      for first = 0, #text do
        for second = first, #text do
          local found, message = read { text:sub(1, first), text:sub(first + 1, second), text:sub(second + 1) }
          assert.is_truthy(found, ("%s at %d, %d: %s"):format(text, first, second, message))
          local whole = found[#found]
          assert.equal(0, #whole.path)
          assert.is_true(value_of.equal(expected, whole.value), text)
          assert.equal(math.type(expected), math.type(whole.value))
        end
      end
    end
  end)

  it("refuses what the strict codec refuses, cut at any place", function()
    for _, text in ipairs(BAD) do
      assert.is_truthy(select(2, json.decode(text)), text)
      for cut = 0, #text do
        local found, message, code = read { text:sub(1, cut), text:sub(cut + 1) }
        assert.is_nil(found, text)
        assert.equal("invalid", code, text .. message)
      end
    end
  end)

  it("agrees with the strict codec on texts with a mistake in them, in pieces drawn by lot", function()
    local seed = 7
    local function draw(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed // 65536 % n
    end
    local spare = '{}[]",:\\ 0123456789.eE+-truefalsn\n\t\195\164\255\0u'
    for _ = 1, 4000 do
      local text = GOOD[draw(#GOOD) + 1]
      for _ = 1, draw(3) do
        local at, pick = draw(#text + 1), draw(#spare) + 1
        text = text:sub(1, at) .. (draw(3) > 0 and spare:sub(pick, pick) or "") .. text:sub(at + 1 + draw(2))
      end
      local pieces, from = {}, 1
      while from <= #text do
        local size = draw(5) + 1
        pieces[#pieces + 1], from = text:sub(from, from + size - 1), from + size
      end
      local expected, problem = json.decode(text)
      local found, message = read(pieces)
      assert.equal(problem == nil, found ~= nil, ("%q: %s, %s"):format(text, problem, message))
      if found then assert.equal(json.encode(expected), json.encode(found[#found].value)) end
    end
  end)

  it("reads byte by byte", function()
    for _, text in ipairs(GOOD) do
      local pieces = {}
      for at = 1, #text do pieces[at] = text:sub(at, at) end
      local found = assert(read(pieces))
      assert.equal(json.encode(json.decode(text)), json.encode(found[#found].value))
    end
  end)

  it("gives what stood before a mistake, then refuses for good", function()
    local reader = partial.reader()
    assert.same({ "1=1" }, shown(reader:push "[1,}"))
    for _ = 1, 2 do
      local found, message, code = reader:push "]"
      assert.is_nil(found)
      assert.equal("expected a value at byte 4, found '}'", message)
      assert.equal("invalid", code)
    end
    assert.is_nil(reader:finish())
  end)

  it("bounds depth and length", function()
    assert.is_truthy(read { ("["):rep(64), ("]"):rep(64) })
    assert.equal("limit", select(3, read { ("["):rep(65) }))
    assert.equal("limit", select(3, read({ "[[1]]" }, { max_depth = 1 })))
    assert.equal("limit", select(3, read({ "[1,", "2,3]" }, { max_bytes = 6 })))
  end)

  it("looks at each byte of a long text in small pieces a bounded number of times", function()
    local function work(size)
      local reader, piece = partial.reader(), ("x"):rep(16)
      local before = os.clock()
      reader:push '["'
      for _ = 1, size do reader:push(piece) end
      reader:push '"]'
      return os.clock() - before, reader:finish()
    end
    local small, large = work(2000), work(20000)
    assert.is_true(large < small * 100 + 0.5, ("%g s, then %g s"):format(small, large))
  end)
end)

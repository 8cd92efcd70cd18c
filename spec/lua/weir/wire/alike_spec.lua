local alike = require "weir.wire.alike"
local json = require "weir.native.json"

local function place(value)
  return type(value) == "table" and type(value.delta) == "table" and value.delta, "text"
end

local function new() return alike.new('"text"%s*:%s*"', place) end

-- Decodes texts by turns; each must come out as `json.decode` has it.
local function must_agree(texts)
  local decoder = new()
  for _, text in ipairs(texts) do
    local value, message, code = decoder:decode(text)
    local wanted, wanted_message, wanted_code = json.decode(text)
    assert.same({ wanted, wanted_message, wanted_code }, { value, message, code }, text)
  end
end

describe("a decoder of texts that are alike", function()
  it("gives what json.decode gives, whatever stands in the string", function()
    local texts = {}
    for _, inner in ipairs { "", "a", "b c", 'say \\"hi\\"', "\\\\", "\\u00e9", "é", "\\ud83d\\ude00", "\\n", "\x7f", "null", "}" } do
      for _, form in ipairs { '{"id":1,"delta":{"text":"%s"}}', '{"id":2,"delta":{"text": "%s","more":[]}}' } do
        texts[#texts + 1] = form:format(inner)
        texts[#texts + 1] = form:format(inner)
      end
    end
    must_agree(texts)
  end)

  it("refuses what is no JSON between two that are", function()
    local good = '{"delta":{"text":"%s"}}'
    for _, inner in ipairs { "\\", '"', 'a","text":"b', "\n", "\xff", "\\x", "\\ud800", 'a"}},{"b' } do
      must_agree { good:format "a", good:format "b", good:format(inner), good:format "c" }
    end
    must_agree { good:format "a", good:format "b", '{"delta":{"text":"}}', '{"delta":{"text":"c"}}x', "", '{"delta":{"text":"c"' }
  end)

  it("is not misled by the same words elsewhere", function()
    must_agree { '{"text":"x","delta":{"text":"a"}}', '{"text":"y","delta":{"text":"a"}}', '{"text":"y","delta":{"text":"b"}}' }
    must_agree { '{"a":"\\"text\\":\\"","delta":{"text":"a"}}', '{"a":"\\"text\\":\\"","delta":{"text":"b"}}' }
    must_agree { '{"delta":{"text":"a"},"other":{"text":"b"}}', '{"delta":{"text":"a"},"other":{"text":"c"}}' }
    must_agree { '["text"]', '{"delta":{"text":null}}', '{"delta":7}', "3", '"text"' }
  end)

  it("reads the texts that are alike in one table", function()
    local decoder = new()
    decoder:decode '{"delta":{"text":"a"}}'
    local first = decoder:decode '{"delta":{"text":"b"}}'
    local second = decoder:decode '{"delta":{"text":"c"}}'
    assert.equal(first, second)
    assert.equal("c", second.delta.text)
  end)

  it("learns no more where no two are alike, and goes on to read them", function()
    local decoder = new()
    for index = 1, 20 do decoder:decode(('{"n":%d,"delta":{"text":"a"}}'):format(index)) end
    local first = decoder:decode '{"n":99,"delta":{"text":"b"}}'
    assert.not_equal(first, decoder:decode '{"n":99,"delta":{"text":"c"}}')
  end)
end)

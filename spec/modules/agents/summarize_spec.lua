local testing = require "weir.testing"
local salience = require "weir.text.salience"
local tokens = require "weir.text.tokens"
local chunk = testing.module("agents/chunk")
local summarize = testing.module("agents/summarize")

local RIVER = [[
# The mill

The weir holds the water of the river back above the old mill. Below the weir the mill wheel turns in the river.
A heron stands on the bank in the early morning. The mill wheel drives the stones that grind the grain.

```lua
local weir = "the weir, the mill and the river. The weir again and again, the mill too."
```

| weir | mill |
|------|------|
| The weir and the mill and the river stand here. | No. |

## The river

In spring the river runs over the weir and the mill must stop. The miller, Mr. Brook, opens the gate of the weir
before the river floods the mill. His dog likes to sleep in the sun all afternoon.
The river, the weir and the mill have belonged to one family since 1820.
]]

local OTHERS = {
  german = "Das Wehr staut das Wasser des Flusses oberhalb der alten Mühle. Unterhalb des Wehrs dreht sich das " ..
    "Mühlrad im Wasser des Flusses. Ein Hund schläft am Nachmittag in der warmen Sonne. " ..
    "Am 3. Mai öffnet der Müller das Wehr.",
  french = "Le barrage retient l'eau de la rivière au-dessus du vieux moulin. Sous le barrage, la roue du moulin " ..
    "tourne dans l'eau de la rivière. Un chien dort tout l'après-midi au soleil. " ..
    "M. Dubois ouvre le barrage du moulin en mai.",
  chinese = "水坝在老磨坊上面拦住了河流的水。水坝下面磨坊的水轮在河流中转动。一只狗整个下午都在太阳下睡觉。春天河流的水会漫过水坝和磨坊。",
  arabic = "السد يحجز مياه النهر فوق الطاحونة القديمة. تدور عجلة الطاحونة في مياه النهر تحت السد. " ..
    "ينام الكلب طوال بعد الظهر في الشمس. في الربيع تفيض مياه النهر فوق السد والطاحونة؟",
}

local function run(input, options, more)
  local setup = more or {}
  setup.options = options
  return summarize.execute(testing.context(summarize, setup), input)
end

local WORDS = {}
for word in ([[weir river water mill wheel stone grain gate flood spring miller boat bridge bank heron fish stream canal
  lock barge rope iron timber engine turbine meter gauge level sluice dam pond reed]]):gmatch("%S+") do
  WORDS[#WORDS + 1] = word
end

-- Sentences of words drawn without chance, more often from the front of the list.
local function many(n)
  local parts, seed = {}, 5
  local function word()
    seed = (seed * 1103515245 + 12345) % 2147483648
    local a = seed // 8 % #WORDS
    seed = (seed * 1103515245 + 12345) % 2147483648
    return WORDS[math.min(a, seed // 8 % #WORDS) + 1]
  end
  for index = 1, n do
    parts[index] = ("The %s and %s met %s near %s %s on day %d."):format(word(), word(), word(), word(), word(), index)
  end
  return table.concat(parts, "\n")
end

describe("agent summarize", function()
  for _, method in ipairs(salience.methods) do
    it("takes whole sentences out of the prose, by " .. method, function()
      local output = run({ text = RIVER, source = "mill.md" }, { method = method, words = 45 })
      assert.equal(method, output.method)
      assert.is_true(#output.sentences >= 2 and output.words <= 45)
      local at = 0
      for _, sentence in ipairs(output.sentences) do
        assert.equal(sentence.text, RIVER:sub(sentence.from, sentence.to))
        local _, before = RIVER:sub(1, sentence.from - 1):gsub("\n", "")
        assert.equal(before + 1, sentence.line)
        assert.equal("mill.md", sentence.source)
        assert.is_true(sentence.from > at and sentence.score <= 1)
        assert.is_nil(sentence.text:find("local", 1, true) or sentence.text:find("|", 1, true))
        at = sentence.to
      end
    end)
  end

  for _, method in ipairs({ "textrank", "lexrank" }) do
    it("prefers what the text is about, by " .. method, function()
      local output = run({ text = RIVER, source = "mill.md" }, { method = method, words = 60 })
      assert.is_nil(output.text:find("dog", 1, true))
      assert.is_nil(output.text:find("heron", 1, true))
      for language, text in pairs(OTHERS) do
        local other = run({ text = text }, { method = method, words = language == "chinese" and 40 or 26 })
        assert.is_true(#other.sentences >= 1, language)
        for _, word in ipairs({ "Hund", "chien", "狗", "الكلب" }) do
          assert.is_nil(other.text:find(word, 1, true), language)
        end
      end
    end)
  end

  it("never has more words than asked for, unless its only sentence has", function()
    for words = 1, 120, 7 do
      local output = run({ text = RIVER, source = "a.md", words = words })
      assert.equal(tokens.count(output.text), output.words)
      assert.is_true(output.words <= words or #output.sentences == 1)
    end
  end)

  it("places sentences of chunks in their source", function()
    local cut = chunk.execute(testing.context(chunk, { options = { by = "sections", size = 200 } }),
      { text = RIVER, source = "mill.md" })
    assert.is_true(#cut.chunks > 2)
    for _, sentence in ipairs(run({ chunks = cut.chunks }, { words = 60 }).sentences) do
      assert.equal(sentence.text, RIVER:sub(sentence.from, sentence.to))
      local _, before = RIVER:sub(1, sentence.from - 1):gsub("\n", "")
      assert.equal(before + 1, sentence.line)
    end
  end)

  it("gives the same for the same", function()
    for _, method in ipairs(salience.methods) do
      assert.same(run({ text = many(300) }, { method = method }), run({ text = many(300) }, { method = method }))
    end
  end)

  it("says nothing twice", function()
    local output = run({ text = ("The weir holds the water of the river back. "):rep(5) }, { words = 100 })
    assert.equal(1, #output.sentences)
  end)

  it("condenses more sentences than it ranks at once", function()
    local text = many(2600)
    local output = run({ text = text }, { words = 60 })
    assert.is_true(output.words > 30 and output.words <= 60)
    for _, sentence in ipairs(output.sentences) do assert.equal(sentence.text, text:sub(sentence.from, sentence.to)) end
  end)

  it("works in passes and keeps each level as documents", function()
    local posted, names = {}, {}
    local workspace = { post = function(_, name, document)
      posted[name] = document
      names[#names + 1] = name
    end }
    local output = run({ text = many(60) },
      { words = 20, keep = true, passes = { { words = 30, chunk = 1000 }, { words = 40 } } }, { workspace = workspace })
    assert.is_true(output.words <= 20)
    assert.is_true(#names >= 4)
    assert.is_true(#posted["summary/1/1"].sentences >= 1 and posted["summary/1/1"].words <= 30)
    assert.is_true(posted["summary/2/1"].words <= 40)
    assert.is_nil(posted["summary/2/2"])
  end)

  it("refuses to keep levels without a workspace", function()
    local output, message, code = run({ text = RIVER }, { keep = true, passes = { { words = 30 } } })
    assert.is_nil(output)
    assert.equal("unavailable", code)
    assert.is_truthy(message:find("keep", 1, true))
  end)

  it("moves up what a critic asked for", function()
    local without = run({ text = RIVER, source = "a.md", words = 20 })
    assert.is_nil(without.text:find("dog", 1, true))
    local output = run({ text = RIVER, source = "a.md", words = 20 }, {},
      { feedback = { advice = "mention 'dog', 'sun'" } })
    assert.is_truthy(output.text:find("dog", 1, true))
  end)

  it("quotes fragments only if there is nothing better", function()
    assert.equal("no full stop here at all then", run({ text = "no full stop here at all then" }).text)
    assert.equal("", run({ text = "```\ncode\n```", source = "a.md" }).text)
  end)

  it("gives an empty summary of an empty text", function()
    local output = run({ text = "" })
    assert.equal("", output.text)
    assert.equal(0, output.words)
    assert.equal(0, #output.sentences)
    assert.equal(0, #run({ chunks = {} }).sentences)
  end)

  it("refuses input without text", function()
    local _, message, code = run({})
    assert.equal("invalid", code)
    assert.equal("summarize: the input must have a text (string); give {text} or {chunks = [{text, ...}]}", message)
    _, message = run({ chunks = { { text = "a" }, {} } })
    assert.is_truthy(message:find("chunk 2", 1, true))
  end)
end)

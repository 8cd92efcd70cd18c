local json = require "weir.json"
local model_server = dofile "spec/model_server.lua"
local testing = require "weir.testing"
local tokens = require "weir.text.tokens"
local extractive = testing.module "models/extractive"
local hashing = testing.module "models/hashing"
local keywords = testing.module "models/keywords"

local RIVER = [[
The weir holds the water of the river back above the old mill. Below the weir the mill wheel turns in the river.
A heron stands on the bank in the early morning. The mill wheel drives the stones that grind the grain.
In spring the river runs over the weir and the mill must stop. His dog likes to sleep in the sun all afternoon.
The river, the weir and the mill have belonged to one family since 1820.
]]

local function ask(module, content, fields, options)
  local request = { messages = { { role = "system", content = "Be brief." }, { role = "user", content = content } }, stream = true }
  for name, value in pairs(fields or {}) do request[name] = value end
  local ctx = model_server.context(testing, module, options or {})
  local response, message, code, detail = module.chat(ctx, request)
  return response, ctx, message, code, detail
end

describe("model extractive", function()
  it("answers with sentences of the text, one after the other, and says what it read and wrote", function()
    for _, method in ipairs { "textrank", "lexrank", "sumbasic", "lead" } do
      local response, ctx = ask(extractive, "Summarize in at most 40 words:\n\n" .. RIVER, {}, { method = method })
      local text = response.message.content
      assert.is_true(tokens.count(text) <= 40 and tokens.count(text) >= 10, text)
      assert.equal(text, ctx.text())
      assert.equal("stop", response.finish)
      assert.equal(method, response.model)
      assert.equal(tokens.count "Be brief." + tokens.count("Summarize in at most 40 words:" .. RIVER), response.usage.input_tokens)
      assert.equal(tokens.count(text), response.usage.output_tokens)
      assert.is_nil(response.usage.cached_tokens)
      for sentence in text:gmatch "[^.]+%." do assert.is_truthy(RIVER:gsub("%s+", " "):find(sentence:gsub("^ ", ""), 1, true), sentence) end
      local pieces = 0
      for _, delta in ipairs(ctx.emitted) do pieces = pieces + (delta.text and 1 or 0) end
      assert.equal(select(2, text:gsub("%.", "")), pieces)
    end
  end)

  it("tells what asks from the text", function()
    local short = "The mill stands on the bank of the river."
    for _, asks in ipairs { "Summarize:\n\n", "Please summarize this\nin a few words:\n\n", "Summarize:\n", "In at most 20 words: " } do
      assert.equal(short, ask(extractive, asks .. short).message.content)
    end
    assert.equal("Ends with a colon:", ask(extractive, "Ends with a colon:").message.content)
  end)

  it("has the limits of the request: words of the system, max_tokens, stop", function()
    local of_system = ask(extractive, RIVER, { messages = { { role = "system", content = "Write 15 words." }, { role = "user", content = RIVER } } })
    assert.is_true(tokens.count(of_system.message.content) <= 15)
    local cut = ask(extractive, RIVER, { max_tokens = 4 })
    assert.equal(4, tokens.count(cut.message.content))
    assert.equal("length", cut.finish)
    local stopped = ask(extractive, RIVER, { stop = { "mill" } }, { method = "lead" })
    assert.equal("The weir holds the water of the river back above the old ", stopped.message.content)
    assert.equal("stop", stopped.finish)
  end)

  it("answers nothing to nothing", function()
    local response = ask(extractive, "")
    assert.equal("", response.message.content)
    assert.equal(0, response.usage.output_tokens)
  end)

  it("gives the text in the form of a schema, or says that it has no place there", function()
    local response = ask(extractive, RIVER, { schema = { type = "object", properties = { summary = { type = "string" }, n = { type = "integer" } }, required = json.list { "summary" } } })
    assert.equal(json.encode(response.value), response.message.content)
    assert.is_true(tokens.count(response.value.summary) > 5)
    local none, _, message, code, detail = ask(extractive, RIVER, { schema = { type = "object", properties = { n = { type = "integer" } }, required = json.list { "n" } } })
    assert.is_nil(none)
    assert.matches("no place", message)
    assert.equal("invalid", code)
    assert.equal("invalid_request", detail.class)
  end)

  it("calls no tools, and says so where it must", function()
    local tools = { { name = "find", parameters = { type = "object" } } }
    assert.is_truthy(ask(extractive, RIVER, { tools = tools, tool_choice = "auto" }))
    assert.equal("invalid", select(4, ask(extractive, RIVER, { tools = tools, tool_choice = "required" })))
  end)

  it("emits nothing but usage where no stream was asked for", function()
    local _, ctx = ask(extractive, RIVER, { stream = false })
    assert.equal("", ctx.text())
    assert.equal(2, #ctx.emitted)
  end)
end)

describe("model keywords", function()
  it("answers with the words a text is about, as many as are asked for", function()
    local response, ctx = ask(keywords, "Give 3 keywords:\n\n" .. RIVER)
    assert.equal("mill, river, weir", (function()
      local words = {}
      for word in response.message.content:gmatch "[^, ]+" do words[#words + 1] = word end
      table.sort(words)
      return table.concat(words, ", ")
    end)())
    assert.equal(response.message.content, ctx.text())
  end)

  it("gives a list where the schema asks for a list of texts", function()
    local list = { type = "array", items = { type = "string" }, maxItems = 2 }
    assert.equal(2, #ask(keywords, RIVER, { schema = list }).value)
    local value = ask(keywords, RIVER, { schema = { type = "object", properties = { tags = list }, required = json.list { "tags" } } }).value
    assert.equal(2, #value.tags)
    assert.is_true(json.is_list(value.tags))
    assert.equal("invalid", select(4, ask(keywords, RIVER, { schema = { type = "integer" } })))
  end)
end)

describe("model hashing", function()
  local function vectors(texts, options)
    return hashing.embed(testing.context(hashing, { options = options or {} }), { texts = texts })
  end

  local function cosine(a, b)
    local sum = 0
    for index = 1, #a do sum = sum + a[index] * b[index] end
    return sum
  end

  it("gives vectors of unit length, the same for the same text", function()
    local found = vectors({ RIVER, RIVER, "", "水坝在老磨坊" })
    assert.equal(256, #found.vectors[1])
    assert.same(found.vectors[1], found.vectors[2])
    for _, index in ipairs { 1, 4 } do
      assert.is_true(math.abs(cosine(found.vectors[index], found.vectors[index]) - 1) < 1e-9)
    end
    assert.equal(0, cosine(found.vectors[3], found.vectors[3]))
    assert.equal(2 * tokens.count(RIVER) + 6, found.usage.input_tokens)
  end)

  it("finds the text that shares most with another, in parts of words too", function()
    local found = vectors({ "the miller grinds the grain", "a mill that grinds grains", "the dog sleeps in the sun" }, { dimensions = 1024 }).vectors
    assert.is_true(cosine(found[1], found[2]) > cosine(found[1], found[3]) + 0.1)
  end)

  it("has the dimensions that are asked for", function()
    assert.equal(8, #vectors({ "a" }, { dimensions = 8 }).vectors[1])
  end)

  it("is the same on every machine", function()
    local vector = vectors({ "weir" }, { dimensions = 8 }).vectors[1]
    local shown = {}
    for index, value in ipairs(vector) do shown[index] = ("%.4f"):format(value) end
    assert.equal("0.1783 0.0000 0.0000 0.1783 0.0000 -0.9511 0.0000 0.1783", table.concat(shown, " "))
  end)
end)

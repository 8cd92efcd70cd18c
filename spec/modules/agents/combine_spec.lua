local testing = require "weir.testing"
local weir = require "weir"
local combine = testing.module("agents/combine")

local function run(input, options, more)
  local setup = more or {}
  setup.options = options
  return combine.execute(testing.context(combine, setup), input)
end

local function summary(source, ...)
  local sentences, from = {}, 1
  for index, text in ipairs({ ... }) do
    sentences[index] = { text = text, source = source, from = from, to = from + #text - 1, line = index,
      score = 1 / index, words = 5 }
    from = from + #text + 1
  end
  return { text = table.concat({ ... }, " "), sentences = sentences }
end

local A = summary("a.md", "The weir holds the water.", "The mill grinds grain daily.")
local B = summary("b.md", "The weir holds the water!", "A boat goes up river.")
local C = summary("c.md", "Nobody knows the third thing.")

describe("agent combine", function()
  it("joins texts and things that have one", function()
    assert.equal("a\n\nb", run({ items = { "a", { text = "b" }, "" } }, { mode = "concat" }).text)
    assert.equal("x|a", run({ items = { "a" }, acc = { text = "x" } }, { mode = "concat", separator = "|" }).text)
    assert.equal("", run({ items = {} }, { mode = "concat" }).text)
  end)

  it("collects items into one list, folded or as a tree", function()
    local function list(...) return run({ items = { ... } }, { mode = "list" }) end
    assert.same({ 1, 2, 3 }, { table.unpack(list(1, 2, 3).list) })
    assert.same({ 1, 2, 3, 4 }, { table.unpack(list(list(1, 2), list(3, 4)).list) })
    assert.same({ 1, 2, 3 }, { table.unpack(run({ items = { 3 }, acc = list(1, 2) }, { mode = "list" }).list) })
  end)

  it("merges summaries, says each thing once and keeps its place", function()
    local output = run({ items = { B, A } })
    assert.equal(3, #output.sentences)
    assert.equal("a.md", output.sentences[1].source)
    assert.equal("b.md", output.sentences[3].source)
    assert.equal(2, output.sentences[3].line)
    assert.equal("The weir holds the water. The mill grinds grain daily.\n\nA boat goes up river.", output.text)
    assert.equal(15, output.words)
  end)

  it("gives the same whether merged at once, as a tree or folded", function()
    local whole = run({ items = { A, B, C } })
    assert.same(whole, run({ items = { run({ items = { A, B } }), C }, level = 2 }))
    assert.same(whole, run({ items = { C }, acc = run({ items = { B }, acc = run({ items = { A } }) }) }))
  end)

  it("fits a number of words and lets each source speak", function()
    local output = run({ items = { A, B, C }, words = 10 })
    assert.equal(10, output.words)
    assert.is_not.equal(output.sentences[1].source, output.sentences[2].source)
  end)

  it("skips what failed and what is empty", function()
    assert.equal(2, #run({ items = { weir.null, A, weir.list({}) } }).sentences)
    assert.equal("", run({ items = {} }).text)
  end)

  it("moves up what a critic asked for", function()
    local output = run({ items = { A, B, C }, words = 5 }, {}, { feedback = { advice = "mention 'third thing'" } })
    assert.equal(C.text, output.text)
  end)

  it("leaves its input as it was", function()
    local score = A.sentences[1].score
    run({ items = { A } }, {}, { feedback = { advice = "mention 'mill'" } })
    assert.equal(score, A.sentences[1].score)
  end)

  it("names the item that does not fit", function()
    local _, message, code = run({ items = { A, "text" } })
    assert.equal("invalid", code)
    assert.equal("combine: item 2 must be a summary with sentences, got string", message)
    _, message = run({ items = { 7 } }, { mode = "concat" })
    assert.equal("combine: item 1 must be a text or have one, got number", message)
    _, message = run({})
    assert.equal("combine: input.items is required (list)", message)
  end)
end)

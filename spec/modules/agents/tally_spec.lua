local testing = require "weir.testing"
local weir = require "weir"
local tally = testing.module("agents/tally")

local function run(input, options) return tally.execute(testing.context(tally, { options = options }), input) end

describe("agent tally", function()
  it("counts words in any case and script", function()
    assert.same({ counts = { the = 2, tide = 1, ["über"] = 1 }, words = 4, distinct = 3 }, run { text = "The tide, the Über" })
    assert.same({ counts = { tide = 1 }, words = 1, distinct = 1 }, run({ text = "The tide" }, { min_length = 4 }))
  end)

  it("adds up what it has counted, in any order and grouping", function()
    local parts = { run { text = "a b" }, run { text = "b c" }, run { text = "c c" } }
    local whole = run { text = "a b b c c c" }
    assert.same(whole, run { items = weir.list(parts) })
    assert.same(whole, run { items = weir.list { parts[3] }, acc = run { items = weir.list { parts[2], weir.null }, acc = parts[1] } })
  end)

  it("gives a table, the most frequent first, then by name", function()
    assert.equal("      2 b\n      1 a\n", run({ text = "b a b" }, { table = true }).text)
    assert.equal("      2 b\n", run({ text = "b a b" }, { table = true, top = 1 }).text)
  end)

  it("refuses what it has not counted", function()
    assert.equal("invalid", select(3, run {}))
    local ok, err = pcall(run, { items = weir.list { { text = "x" } } })
    assert.same({ false, "invalid" }, { ok, err.code })
  end)
end)

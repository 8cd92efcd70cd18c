local running = require "weir.text.running"

local function paragraph(n)
  return ("On day %d the harbour master of port %d wrote down that %d boats had come in. The log of day %d says no more than that.\n\n")
    :format(n, n % 7, n * 3, n)
end

local function new(more)
  local options = { words = 60, every = 100, method = "sumbasic", markup = "plain" }
  for name, value in pairs(more or {}) do options[name] = value end
  return running.new(options)
end

describe("a running summary", function()
  it("is bounded, however long the text becomes", function()
    local summary, most = new(), 0
    for n = 1, 2000 do
      summary:add(paragraph(n))
      most = math.max(most, #summary.pending)
      assert.is_true(summary.words <= 60)
    end
    assert.is_true(summary.bytes > 200000 and most < 2000, most)
    assert.is_true(summary.updates > 100)
  end)

  it("is of all that has come, each sentence with its bytes and line in it", function()
    local summary, all = new { method = "lead" }, {}
    for n = 1, 50 do
      all[n] = paragraph(n)
      summary:add(all[n])
    end
    summary:finish()
    local text = table.concat(all)
    for _, sentence in ipairs(summary.sentences) do
      assert.equal(sentence.text, text:sub(sentence.from, sentence.to))
      assert.equal(select(2, text:sub(1, sentence.from - 1):gsub("\n", "")) + 1, sentence.line)
    end
    assert.equal("On day 1", summary:text():sub(1, 8)) -- what came first has not been pushed out by its age
  end)

  it("is the same however the text is cut into pieces", function()
    local text = ""
    for n = 1, 40 do text = text .. paragraph(n) end
    local function of(size)
      local summary = new()
      for at = 1, #text, size do summary:add(text:sub(at, at + size - 1)) end
      summary:finish()
      return summary:text()
    end
    assert.equal(of(1), of(7))
    assert.equal(of(1), of(50))
  end)

  it("takes a text without paragraphs in pieces of a bounded size", function()
    local summary, most = new(), 0
    for _ = 1, 3000 do
      summary:add "one line after the other and never an end of it "
      most = math.max(most, #summary.pending)
    end
    assert.is_true(most < 70000)
    assert.is_false(new():finish())
  end)
end)

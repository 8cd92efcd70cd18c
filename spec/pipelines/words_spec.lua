local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"
local tokens = require "weir.text.tokens"

describe("pipeline words", function()
  local folder
  before_each(function() folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX")) end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  -- One after the other, in plain Lua.
  local function counted(path)
    local counts, total = {}, 0
    for _, name in ipairs(assert(files.list(path, { glob = "*.{md,txt}", recursive = true }))) do
      for _, word in ipairs(tokens.words(assert(files.read(path .. "/" .. name)))) do
        if utf8.len(word) >= 4 then counts[word], total = (counts[word] or 0) + 1, total + 1 end
      end
    end
    local words = {}
    for word in pairs(counts) do words[#words + 1] = word end
    table.sort(words, function(a, b)
      if counts[a] ~= counts[b] then return counts[a] > counts[b] end
      return a < b
    end)
    local lines = {}
    for index = 1, math.min(1000, #words) do lines[index] = ("%7d %s\n"):format(counts[words[index]], words[index]) end
    return table.concat(lines), total, #words
  end

  local function run(options)
    options = options or {}
    options.input, options.modules = { out = folder .. "/words.txt" }, { ["agents/files"] = { roots = { folder, "." } } }
    local of = testing.run("pipelines/words.lua", options)
    assert.equal("finished", of.status, of.error and of.error.message)
    return of, assert(files.read(folder .. "/words.txt"))
  end

  it("counts the documents of the source tree to the byte as one loop over them does", function()
    local of, text = run { real_time = true }
    local expected, total, distinct = counted "docs"
    assert.equal(expected, text)
    assert.same({ total, distinct }, { of.output.words, of.output.distinct })
  end)

  it("gives the same for every order in which the files may be read", function()
    local expected = counted "docs"
    for seed = 1, 3 do assert.equal(expected, (select(2, run { seed = seed }))) end
  end)
end)

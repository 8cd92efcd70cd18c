local bench = require "weir.bench"
local json = require "weir.native.json"

local function writer()
  local parts = {}
  return { write = function(self, ...)
    for _, part in ipairs { ... } do parts[#parts + 1] = part end
    return self
  end, flush = function() return true end, text = function() return table.concat(parts) end }
end

local function run(options)
  options.out, options.err = writer(), writer()
  local status = bench.run(options)
  return status, options.out.text(), options.err.text()
end

describe("weir bench", function()
  it("measures three sizes beside their floor and says how the cost grows", function()
    local status, out, err = run { json = true, quick = true, only = "^task switch$" }
    assert.equal(0, status, err)
    local rows = assert(json.decode(out)).rows
    assert.equal(3, #rows)
    for _, row in ipairs(rows) do
      assert.equal("task switch", row.name)
      assert.equal("switches/s", row.unit)
      assert.is_true(row.value > 0 and row.floor > 0)
      assert.is_true(math.abs(row.ratio - row.value / row.floor) < 1e-9 * row.ratio)
      assert.equal(json.null, row.goal_ratio)
      assert.equal(rows[1].exponent, row.exponent)
    end
  end)

  it("prints a table otherwise, and leaves nothing behind", function()
    local _, out = run { quick = true, only = "^task switch$" }
    assert.truthy(out:find("task switch +1,000 +[%d,]+/s"))
    local folder = assert(out:match "below (%S+) ")
    assert.is_nil(io.open(folder))
  end)

  it("says so when nothing matches", function()
    local status, out, err = run { only = "no such thing" }
    assert.equal(2, status)
    assert.equal("", out)
    assert.truthy(err:find("'no such thing'", 1, true))
  end)
end)

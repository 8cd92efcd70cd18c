local pages = require "weir.pages"
local store_port = require "weir.port.store"
local sweep = require "weir.sweep"

describe("a sweep", function()
  local store
  before_each(function() store = assert(store_port.open ":memory:") end)
  after_each(function() store:close() end)

  local function fill(rows)
    for n = 1, rows do assert(store:put("s", ("%05d"):format(n), n)) end
  end

  local function left()
    local values = {}
    for row in pages.rows(store, "s", {}) do values[#values + 1] = row.value end
    return values
  end

  local function is_even(row) return row.value % 2 == 0 end

  it("removes what is over, in transactions of so many rows, and tells each of them", function()
    fill(11)
    local told = {}
    local removed = sweep.rows(store, "s", pages.keys(store, "s"), is_even, { together = 2, on_removed = function(operations)
      told[#told + 1] = #operations
    end })
    assert.equal(5, removed)
    assert.same({ 2, 2, 1 }, told)
    assert.same({ 1, 3, 5, 7, 9, 11 }, left())
  end)

  it("removes more than a transaction takes unless told otherwise", function()
    fill(401)
    assert.equal(200, sweep.rows(store, "s", pages.keys(store, "s"), is_even))
    assert.equal(201, #left())
  end)

  it("leaves what was written anew since it was read, and those of its transaction until the next time", function()
    fill(6)
    local function is_over(row)
      if row.value == 4 then store:put("s", row.key, 40) end
      return is_even(row)
    end
    assert.equal(1, sweep.rows(store, "s", pages.keys(store, "s"), is_over, { together = 2 }))
    assert.same({ 1, 2, 3, 40, 5 }, left())
    assert.equal(2, sweep.rows(store, "s", pages.keys(store, "s"), is_even))
    assert.same({ 1, 3, 5 }, left())
  end)

  it("does not ask of what is damaged, and leaves it", function()
    fill(2)
    local each = pages.keys(store, "s")
    local function rows()
      local row = each()
      if row and row.value == 1 then row.damaged, row.value = true, nil end
      return row
    end
    assert.equal(1, sweep.rows(store, "s", rows, is_even))
    assert.same({ 1 }, left())
  end)

  it("raises what the store refuses with", function()
    fill(2)
    local full = { batch = function() return nil, "the disk is full", "full" end }
    local ok, err = pcall(sweep.rows, full, "s", pages.keys(store, "s"), is_even)
    assert.is_false(ok)
    assert.equal("full", err.code)
    assert.same({ 1, 2 }, left())
  end)
end)

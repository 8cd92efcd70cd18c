local pages = require "weir.pages"
local store_port = require "weir.port.store"

-- Reads all that an iterator gives; each only once.
local function count(each, name_of)
  local seen, number = {}, 0
  for one in each do
    local name = name_of(one)
    assert.is_nil(seen[name])
    seen[name], number = true, number + 1
  end
  return number
end

local function key_of(row) return row.key end

describe("what goes through a store page by page", function()
  local store
  before_each(function() store = assert(store_port.open ":memory:") end)
  after_each(function() store:close() end)

  local function fill(rows, long)
    for first = 1, rows, 500 do
      local operations = {}
      for n = first, math.min(rows, first + 499) do
        operations[#operations + 1] = { op = "put", space = "s", key = (long or "") .. ("%05d"):format(n), value = n }
      end
      assert(store:batch(operations))
    end
  end

  it("gives every row once, at the borders of pages and beyond them", function()
    for _, rows in ipairs { 199, 200, 201, 400, 1001 } do
      fill(rows)
      assert.equal(rows, count(pages.rows(store, "s", {}), key_of))
      assert.equal(rows, count(pages.rows(store, "s", { reverse = true, limit = 100 }), key_of))
      assert.equal(rows, count(pages.keys(store, "s"), key_of))
    end
  end)

  it("gives every row once also where keys are longer than those of the store's tables, such as paths of files", function()
    local folder = "watch\n" .. ("a-rather-long-name-of-a-folder/"):rep(20)
    fill(1001, folder)
    assert.equal(1001, count(pages.rows(store, "s", { prefix = folder }), key_of))
    assert.equal(1001, count(pages.rows(store, "s", { prefix = "watch\n", reverse = true }), key_of))
    assert.equal(1001, count(pages.keys(store, "s", "watch\n"), key_of))
  end)

  it("gives every row that stays once, while others are removed and come before it", function()
    fill(1000)
    local stayed, number = {}, 0
    for row in pages.rows(store, "s", { limit = 50 }) do
      number = number + 1
      if number % 2 == 0 then stayed[#stayed + 1] = row.key else store:delete("s", row.key) end
      if number % 50 == 0 then store:put("s", ("%05d+"):format(number // 2), true) end
    end
    assert.equal(500, #stayed)
    assert.equal(1000, number)
  end)

  it("gives every run, journal and entry once", function()
    for n = 1, 401 do
      local id = ("r_%020d"):format(n)
      local entries = { { op = "entry", journal = store:new_run(id, 1), entry = { "run", {} }, row = { status = n % 2 == 0 and "a" or "b" } } }
      for more = 2, n == 7 and 1001 or 1 do
        entries[more] = { op = "entry", journal = entries[1].journal, entry = { "n", more } }
      end
      assert(store:batch(entries))
    end
    assert.equal(401, count(pages.runs(store), function(found) return found.id end))
    assert.equal(200, count(pages.runs(store, { status = "a", reverse = true }), function(found) return found.id end))
    assert.equal(401, count(pages.journals(store), function(id) return id end))
    assert.equal(1001, count(pages.entries(store, ("r_%020d"):format(7)), function(entry) return entry[2] end))
  end)
end)

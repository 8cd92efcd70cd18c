local testing = require "weir.testing"
local fair = testing.module("policies/fair")
local fifo = testing.module("policies/fifo")
local priority = testing.module("policies/priority")

local function waiting(...)
  local list = {}
  for index, entry in ipairs({ ... }) do
    entry.id, entry.queued_at = entry.id or ("r%d"):format(index), entry.queued_at or index
    list[index] = entry
  end
  return list
end

-- Serves candidates until `n` are served; what is served leaves.
local function serve(candidates, n, state)
  local order = {}
  for _ = 1, n do
    local index = fair.pick(candidates, nil, state)
    if not index then break end
    order[#order + 1] = table.remove(candidates, index).key
  end
  return table.concat(order)
end

local function keys(text)
  local list = {}
  for key in text:gmatch(".") do list[#list + 1] = { key = key } end
  return waiting(table.unpack(list))
end

describe("policy fifo", function()
  it("picks who has waited longest, the lower id of two", function()
    assert.equal(2, fifo.pick(waiting({ queued_at = 5 }, { queued_at = 3 }, { queued_at = 4 })))
    assert.equal(1, fifo.pick(waiting({ id = "a", queued_at = 1 }, { id = "b", queued_at = 1 })))
    assert.is_nil(fifo.pick({}))
  end)

  it("admits while there is room", function()
    assert.is_true(fifo.admit({ queued = 9, limit = 10 }))
    local admitted, message, code = fifo.admit({ queued = 10, limit = 10 })
    assert.is_false(admitted)
    assert.equal("queue is full: 10 of 10 wait", message)
    assert.equal("full", code)
  end)
end)

describe("policy priority", function()
  local state = priority.setup({ age = 60 })

  it("picks the highest, and of equals who has waited longest", function()
    local list = waiting({ priority = 1 }, { priority = 5 }, { priority = 5, queued_at = 0 }, {})
    assert.equal(3, priority.pick(list, nil, state))
    assert.is_nil(priority.pick({}, nil, state))
  end)

  it("lets nobody starve", function()
    local list = waiting({ priority = 0, queued_at = 0 }, { priority = 3, queued_at = 100 })
    assert.equal(2, priority.pick(list, { now = 110 }, state))
    local later = waiting({ priority = 0, queued_at = 0 }, { priority = 3, queued_at = 300 })
    assert.equal(1, priority.pick(later, { now = 301 }, state))
    assert.equal(2, priority.pick(later, { now = 301 }, priority.setup({ age = 0 })))
  end)

  it("keeps the last tenth of the room for priorities", function()
    assert.is_false((priority.admit({ queued = 90, limit = 100 })))
    assert.is_true(priority.admit({ queued = 90, limit = 100, candidate = { priority = 1 } }))
    assert.is_false((priority.admit({ queued = 100, limit = 100, candidate = { priority = 9 } })))
  end)
end)

describe("policy fair", function()
  local function new(options)
    return fair.setup({ quantum = options and options.quantum or 1, weights = options and options.weights or {} })
  end

  it("serves keys in turn, however many one has queued", function()
    assert.equal("abababaaa", serve(keys("aaaaaabbb"), 9, new()))
    assert.equal("abcaaaa", serve(keys("aaaaabc"), 7, new()))
  end)

  it("serves the oldest of a key first", function()
    local list = waiting({ key = "a", queued_at = 9 }, { key = "a", queued_at = 2 })
    assert.equal(2, fair.pick(list, nil, new()))
  end)

  it("gives a key its weight", function()
    assert.equal("aabaabaab", serve(keys("aaaaaabbb"), 9, new({ weights = { a = 2 } })))
  end)

  it("charges what a run costs", function()
    local list = {}
    for _ = 1, 3 do list[#list + 1] = { key = "a", cost = 3 } end
    for _ = 1, 9 do list[#list + 1] = { key = "b", cost = 1 } end
    local order = serve(waiting(table.unpack(list)), 12, new())
    local spent_a = select(2, order:sub(1, 8):gsub("a", "")) * 3
    local spent_b = select(2, order:sub(1, 8):gsub("b", ""))
    assert.is_true(math.abs(spent_a - spent_b) <= 3)
    assert.equal(12, #order)
  end)

  it("picks at once even if everything costs very much", function()
    local list = waiting({ key = "a", cost = 2e9 }, { key = "b", cost = 1e9 })
    assert.equal(2, fair.pick(list, nil, new()))
    assert.equal(1, fair.pick(list, nil, new({ weights = { a = 4 } })))
  end)

  it("forgets keys that have nothing left", function()
    local state = new()
    serve(keys("abcdefgh"), 8, state)
    assert.is_nil(fair.pick({}, nil, state))
    assert.same({}, state.order)
    assert.same({}, state.deficit)
  end)

  it("goes on where the version before stopped", function()
    local state, list = new(), keys("aaabbb")
    serve(list, 1, state)
    assert.equal("babab", serve(list, 5, fair.setup({ quantum = 1, weights = {} }, state)))
  end)

  it("stays fair over ten thousand runs of one tenant", function()
    local list = {}
    for index = 1, 2000 do list[index] = { key = "big" } end
    list[#list + 1] = { key = "small" }
    local state = new()
    local candidates = waiting(table.unpack(list))
    fair.pick(candidates, nil, state)
    local index = fair.pick(candidates, nil, state)
    assert.equal("small", candidates[index].key)
  end)

  it("refuses a key that has its share once half the room is taken", function()
    assert.is_true(fair.admit({ queued = 40, limit = 100, keys = 2, queued_of_key = 40 }))
    assert.is_true(fair.admit({ queued = 60, limit = 100, keys = 2, queued_of_key = 20 }))
    local admitted, message, code = fair.admit({ queued = 60, limit = 100, keys = 2, queued_of_key = 55,
      candidate = { key = "a" } })
    assert.is_false(admitted)
    assert.equal("full", code)
    assert.equal("key 'a' has its share of the queue: 55 of 100 wait", message)
    assert.is_false((fair.admit({ queued = 100, limit = 100 })))
  end)
end)

local candidates = require "weir.candidate"
local store_port = require "weir.port.store"

describe("the history of candidates", function()
  local store
  before_each(function() store = assert(store_port.open(":memory:", {})) end)
  after_each(function() store:close() end)

  local function put(pipeline, number)
    assert(store:batch { candidates.operation { id = ("c_%020d"):format(number), pipeline = pipeline, state = "kept" } })
  end

  local function numbers(query)
    local list = {}
    for index, one in ipairs(candidates.list(store, query)) do list[index] = tonumber(one.id:sub(3)) end
    return list
  end

  it("lists those of several pipelines by their time, the newest last", function()
    assert.same({}, numbers())
    for number, pipeline in ipairs { "b", "a", "b-c", "b0", "a", "b" } do put(pipeline, number) end
    assert.same({ 1, 2, 3, 4, 5, 6 }, numbers())
    assert.same({ 5, 6 }, numbers { limit = 2 })
    assert.same({ 1, 6 }, numbers { pipeline = "b" })
  end)

  it("goes on before one that was listed", function()
    for number, pipeline in ipairs { "b", "a", "b", "a", "b" } do put(pipeline, number) end
    assert.same({ 3, 4 }, numbers { limit = 2, before = ("c_%020d"):format(5) })
    assert.same({ 1, 2 }, numbers { limit = 2, before = ("c_%020d"):format(3) })
    assert.same({ 3 }, numbers { pipeline = "b", limit = 1, before = ("c_%020d"):format(5) })
  end)

  local function fill(pipeline, count, fields)
    for first = 1, count, 500 do
      local operations = {}
      for number = first, math.min(count, first + 499) do
        local record = { id = ("c_%020d"):format(number), pipeline = pipeline, state = "refused", at_ms = number }
        for name, value in pairs(fields or {}) do record[name] = value end
        operations[#operations + 1] = candidates.operation(record)
      end
      assert(store:batch(operations))
    end
  end

  it("settles one that was on trial, however many have come since", function()
    assert(store:batch { candidates.operation { id = "c_0", pipeline = "old", state = "canary", version = "v", at_ms = 1 } })
    fill("other", 600)
    local operations = candidates.settled(store, "pipelines/old", "v", "promoted")
    assert.same({ 1, "kept" }, { #operations, operations[1] and operations[1].value.state })
  end)

  it("forgets what is over and old, but for the newest thousand of each pipeline", function()
    fill("many", 1250)
    fill("few", 10)
    assert(store:batch { candidates.operation { id = "c_" .. ("0"):rep(20), pipeline = "many", state = "proposed", at_ms = 0 } })
    assert.equal(0, candidates.expire(store, 1000))
    assert.equal(100, candidates.expire(store, 90 * 86400000 + 100))
    assert.equal(150, candidates.expire(store, 91 * 86400000))
    assert.equal(1001, #candidates.list(store, { pipeline = "many", limit = 5000 }))
    assert.equal(10, #candidates.list(store, { pipeline = "few" }))
  end)
end)

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
end)

local place = require "weir.view.place"

local CHILD = { groups = { { name = "inside", steps = { { name = "one", agent = "echo" }, { name = "two", agent = "files" } } } } }
local NORMAL = { groups = {
  { name = "read", steps = { { name = "read", agent = "files" } } },
  { name = "draft", steps = { { name = "write", agent = "summarize" }, { name = "count", agent = "counter" } } },
  { name = "parts", steps = { { name = "parts", map = { chunk = { agent = "chunk" }, reduce = { agent = "combine" },
    each = { name = "each", groups = { { name = "text", steps = { { name = "text", agent = "files" } } } } } } } } },
  { name = "call", steps = { { name = "call", pipeline = "child" } } },
} }

describe("the place of a key", function()
  local places = place.new(NORMAL, { child = CHILD })

  local function found(key)
    local where = places:find(key)
    return { where.group, where.name, where.visit, place.done_by(where.node) }
  end

  it("is found for bare steps, groups and visits", function()
    assert.same({ "read", "read", 1, "files" }, found "read")
    assert.same({ "read", "read", 3, "files" }, found "read#3")
    assert.same({ "draft", "write", 1, "summarize" }, found "draft/write")
    assert.same({ "draft", "count", 2, "counter" }, found "draft#2/count")
  end)

  it("is found inside maps, bodies and child pipelines", function()
    assert.same({ "parts", "parts", 1, "map" }, found "parts")
    assert.same({ "parts", "each", 1, "groups" }, found "parts[12]/each")
    assert.same({ "text", "text", 1, "files" }, found "parts[12]/each/text")
    assert.same({ "parts", "chunk", 1, "chunk" }, found "parts/chunk")
    assert.same({ "parts", "reduce", 1, "combine" }, found "parts/reduce/2.1")
    assert.same({ "inside", "two", 1, "files" }, found "call/inside/two")
  end)

  it("is what the key itself says where the definition is silent", function()
    local where = place.new(nil):find "list#2/inner#3"
    assert.same({ name = "inner", visit = 3 }, { name = where.name, visit = where.visit })
    assert.is_nil(where.group)
    assert.is_nil(places:find("no/such/step").group)
  end)
end)

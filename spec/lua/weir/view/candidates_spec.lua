local json = require "weir.native.json"
local store_port = require "weir.port.store"
local view = require "weir.view.candidates"

describe("a candidate as it is shown", function()
  local store
  before_each(function()
    store = assert(store_port.open(":memory:", {}))
    assert(store:batch { { op = "put", space = "definitions", key = "aa", value = { normal = { name = "p", groups = {} } } } })
  end)
  after_each(function() store:close() end)

  local function whole(record)
    record.id, record.pipeline, record.parent, record.reason, record.state = "c_1", "p", record.parent or "aa", "", "proposed"
    local shown = view.whole(store, record)
    assert(json.encode(shown))
    return shown
  end

  it("has the definition before and after, and what changes", function()
    local shown = whole { patch = json.list { { op = "add", path = "/doc", value = "short" } } }
    assert.same({ "p", json.null, "short" }, { shown.before.name, shown.before.doc or json.null, shown.after.doc })
    assert.same({ "+ /doc  short" }, { table.unpack(shown.changes) })
  end)

  it("has what changes where the definition is not kept, or the patch does not apply", function()
    local shown = whole { parent = "bb", patch = json.list { { op = "add", path = "/doc", value = "short" } } }
    assert.same({ json.null, json.null, "+ /doc  short" }, { shown.before, shown.after, shown.changes[1] })
    shown = whole { patch = json.list { { op = "remove", path = "/nothing" } } }
    assert.same({ "p", json.null, "- /nothing" }, { shown.before.name, shown.after, shown.changes[1] })
  end)

  it("has the lines of a source that changes", function()
    local shown = whole { module = "agents/x", diff = json.list { "-2 a", "+2 b" } }
    assert.same({ json.null, json.null, "-2 a", "+2 b" }, { shown.before, shown.after, table.unpack(shown.changes) })
  end)

  it("shows what a module proposed that is no patch as it is", function()
    for _, odd in ipairs { 7, "text", { op = "add" }, json.list { 1, 2 }, json.list { { path = 7 } } } do
      local shown = whole { patch = odd }
      assert.same({ json.null, json.null, "? " .. json.encode(odd) }, { shown.before, shown.after, shown.changes[1] })
    end
    assert.equal(0, #whole({}).changes)
  end)
end)

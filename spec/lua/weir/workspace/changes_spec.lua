local support = dofile "spec/lua/weir/workspace/support.lua"
local task = require "weir.task"
local workspace = require "weir.workspace"

describe("watching", function()
  local store
  before_each(function() store = support.store() end)
  after_each(function() store:close() end)

  -- Takes n changes.
  local function take(changes, n)
    local list = {}
    for index = 1, n do list[index] = changes() end
    return list
  end

  it("gives what was there, in order, and waits for what comes", function()
    support.post(store, "a", 1, { tags = { "t" } })
    support.post(store, "b", 1)
    local seen = {}
    task.within({}, function(scope)
      task.spawn(function()
        for change in support.view(store):watch({}, 0) do
          seen[#seen + 1] = ("%d %s %s %d"):format(change.offset, change.kind, change.name, change.version)
          if #seen == 5 then scope:cancel() end
        end
      end)
      task.yield()
      support.post(store, "a", 2)
      support.delete(store, "b")
      support.post(store, "b", 2)
    end)
    assert.same({ "1 post a 1", "2 post b 1", "3 post a 2", "4 delete b 2", "5 post b 3" }, seen)
  end)

  it("goes on from an offset, or from now", function()
    for n = 1, 3 do support.post(store, "x", n) end
    local view = support.view(store)
    assert.equal(3, view:offset())
    assert.equal(0, view:offset { scope = "project" })
    local from_two, from_now = view:watch({}, 2), view:watch()
    support.post(store, "x", 4)
    assert.equal(3, from_two().version)
    assert.equal(4, from_now().version)
  end)

  it("lets through what fits, and tells deletions", function()
    support.post(store, "a/1", 1, { type = "note", tags = { "red", "blue" } })
    support.post(store, "b/1", 1, { type = "draft", tags = { "red" } })
    support.post(store, "a/2", 1, { type = "note" }, { author = "ann" })
    support.delete(store, "a/1")
    local view = support.view(store)
    assert.equal("b/1", take(view:watch({ type = "draft" }, 0), 1)[1].name)
    assert.equal("b/1", take(view:watch({ tag = "red" }, 0), 2)[2].name)
    assert.equal("a/2", take(view:watch({ author = "ann" }, 0), 1)[1].name)
    local list = take(view:watch({ prefix = "a/" }, 0), 3)
    assert.same({ "post", "post", "delete" }, { list[1].kind, list[2].kind, list[3].kind })
    assert.equal("delete", take(view:watch({ tag = "blue" }, 0), 2)[2].kind)
    assert.equal("delete", take(view:watch({ type = "note" }, 0), 3)[3].kind)
    assert.same({ "blue", "red" }, list[1].meta.tags)
    assert.equal("r_1", list[1].meta.run)
  end)

  it("misses nothing and gives nothing twice, whoever commits, however often it starts again", function()
    local wanted, seen, offset = 400, {}, 0
    local ok, err = task.within({}, function()
      for writer = 1, 4 do
        task.spawn(function()
          for n = 1, wanted // 4 do support.post(store, ("w%d"):format(writer), n) end
        end)
      end
      task.spawn(function()
        while #seen < wanted do
          local changes = support.view(store):watch({}, offset)
          for _ = 1, math.min(7, wanted - #seen) do
            local change = changes()
            assert.equal(offset + 1, change.offset)
            offset, seen[#seen + 1] = change.offset, change
          end
        end
      end)
    end)
    assert.is_true(ok, tostring(err))
    local latest = {}
    for _, change in ipairs(seen) do
      assert.equal((latest[change.name] or 0) + 1, change.version)
      latest[change.name] = change.version
    end
    assert.same({ w1 = 100, w2 = 100, w3 = 100, w4 = 100 }, latest)
  end)

  it("does not tell what was never committed", function()
    local view = support.view(store)
    pcall(view.transaction, view, function(tx)
      tx:post("dropped", 1)
      error "no"
    end)
    view:post("kept", 1)
    workspace.commit(view)
    assert.equal(1, view:offset())
    assert.equal("kept", view:watch({}, 0)().name)
  end)

  it("ends with the task, and holds nobody up afterwards", function()
    local ok, err = task.within({ timeout = 0.005 }, function()
      support.view(store):watch({}, 0)()
    end)
    assert.is_false(ok)
    assert.equal("timeout", err.code)
    support.post(store, "x", 1)
  end)
end)

local changes_of = require "weir.workspace.changes"
local support = dofile "spec/lua/weir/workspace/support.lua"
local store_port = require "weir.port.store"
local system = require "weir.port.system"
local task = require "weir.task"
local workspace = require "weir.workspace"

-- How many scopes of a store are known to be waited for.
local function waited_for(store)
  for at = 1, 10 do
    local name, value = debug.getupvalue(changes_of.wake, at)
    if name == "waiting" then
      local count = 0
      for _ in pairs(value[store] or {}) do count = count + 1 end
      return count
    end
  end
  error "changes.wake knows nobody who waits"
end

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

  local HERE = { scope = "project" }

  local function post(name, count)
    for n = 1, count do support.post(store, name, n, HERE) end
  end

  it("misses nothing and gives nothing twice when the log is cut again and again while others write", function()
    local writers, each, seen, offset, cuts = 4, 150, {}, 0, 0
    local ok, err = task.within({}, function()
      for writer = 1, writers do
        task.spawn(function() post("w" .. writer, each) end)
      end
      task.spawn(function()
        local changes = support.view(store):watch(HERE, 0)
        while #seen < writers * each do
          local change = changes()
          assert.is_true(change.offset > offset)
          offset, seen[#seen + 1] = change.offset, change
          -- What a watcher has not read may go with the second cut that follows.
          if #seen % 40 == 0 and changes_of.cut(store, "project", 30) then cuts = cuts + 1 end
        end
      end)
    end)
    assert.is_true(ok, tostring(err))
    assert.is_true(cuts > 5, cuts)
    local latest = {}
    for _, change in ipairs(seen) do
      assert.equal((latest[change.name] or 0) + 1, change.version)
      latest[change.name] = change.version
    end
    assert.same({ w1 = each, w2 = each, w3 = each, w4 = each }, latest)
    assert.is_true(support.view(store):offset(HERE) >= offset)
    assert.same({}, select(2, store:verify()))
  end)

  it("goes on over a cut from an offset that was kept, until what follows it is forgotten", function()
    post("a", 5)
    assert.is_false(changes_of.cut(store, "project", 6))
    assert.is_true(changes_of.cut(store, "project", 5))
    assert.is_false(changes_of.cut(store, "project", 1))
    local view = support.view(store)
    local last = view:offset(HERE)
    post("b", 2)
    local names = {}
    for index, change in ipairs(take(view:watch(HERE, 3), 4)) do names[index] = change.name .. change.version end
    assert.same({ "a4", "a5", "b1", "b2" }, names)
    assert.equal(1, view:watch(HERE, last)().version)
    assert.is_true(changes_of.cut(store, "project", 1))
    local ok, refused = pcall(view:watch(HERE, 3))
    assert.same({ false, "not_found" }, { ok, refused.code })
    assert.equal("b", view:watch(HERE, last)().name)
    assert.same({ "workspace/project\0011" }, store:journals())
  end)

  it("has a writer whose operations were computed before a cut compute them again", function()
    post("a", 3)
    local view = support.view(store)
    view:post("late", 1, HERE)
    local operations = view:operations()
    assert.is_true(changes_of.cut(store, "project", 1))
    local _, _, code = store:batch(operations)
    assert.equal("conflict", code)
    workspace.commit(view)
    assert.equal("late", take(support.view(store):watch(HERE, 2), 2)[2].name)
  end)

  it("goes on in another life where it was cut", function()
    local folder = system.temporary_folder "weir-changes"
    store:close()
    store = assert(store_port.open(folder .. "/store"))
    post("a", 2)
    assert.is_true(changes_of.cut(store, "project", 1))
    post("a", 1)
    store:close()
    store = assert(store_port.open(folder .. "/store"))
    post("a", 1)
    local versions = {}
    for index, change in ipairs(take(support.view(store):watch(HERE, 0), 4)) do versions[index] = change.version end
    assert.same({ 1, 2, 3, 4 }, versions)
    require("weir.port.process").run({ "rm", "-rf", "--", folder }, {})
  end)

  it("never cuts the log of a run", function()
    support.post(store, "a", 1)
    assert.is_false(changes_of.cut(store, "run:r_1", 1))
  end)

  it("leaves nothing behind of runs that were watched until somebody had enough", function()
    for n = 1, 20 do
      local watching = task.spawn(function() changes_of.wait(store, ("run:r_%d"):format(n), 0) end)
      task.yield()
      assert.equal(1, waited_for(store))
      watching:cancel "enough"
      watching:join()
    end
    assert.equal(0, waited_for(store))
  end)
end)

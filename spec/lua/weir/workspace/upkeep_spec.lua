local support = dofile "spec/lua/weir/workspace/support.lua"
local workspace = require "weir.workspace"

local function wall_ms()
  return require("weir.port.clock").wall_ms()
end

describe("trimming", function()
  local store
  before_each(function() store = support.store() end)
  after_each(function() store:close() end)

  local function rows(space)
    return #store:scan("workspace." .. space, { limit = 1000 })
  end

  local function kept(name)
    local list = {}
    for index, entry in ipairs(support.view(store):history(name)) do list[index] = entry.version end
    return table.concat(list, " ")
  end

  it("removes what no snapshot from the lowest on reads", function()
    local moments = {}
    for n = 1, 6 do
      support.post(store, "x", "word" .. n)
      moments[n] = workspace.snapshot(store)
    end
    assert.equal(2, workspace.trim(store, moments[3]))
    assert.equal("6 5 4 3", kept "x")
    for n = 3, 6 do
      local view = support.view(store, { snapshot = moments[n] })
      assert.equal("word" .. n, view:get("x").value)
      assert.equal("x", support.names(view:search("word" .. n)))
      assert.equal("", support.names(view:search("word" .. n - 1)))
    end
    assert.is_nil(support.view(store, { snapshot = moments[2] }):get "x")
    assert.equal(0, workspace.trim(store, moments[3]))
    assert.equal(0, workspace.trim(store, moments[6], 4))
    assert.equal(1, workspace.trim(store, moments[6], 3))
    assert.equal(2, workspace.trim(store, moments[6]))
    assert.equal("6", kept "x")
    assert.same({ 1, 1, 0 }, { rows "versions", rows "terms", rows "closed" })
    assert.equal(1, rows "postings")
  end)

  it("forgets a deleted document entirely, but not how far its versions went", function()
    for n = 1, 3 do support.post(store, "x", "text " .. n) end
    local before = workspace.snapshot(store)
    support.delete(store, "x")
    support.post(store, "other", 1)
    assert.equal(2, workspace.trim(store, before))
    assert.equal(3, support.view(store, { snapshot = before }):get("x").version)
    assert.equal(2, workspace.trim(store, workspace.snapshot(store)))
    assert.equal("", kept "x")
    for _, space in ipairs { "heads", "versions", "terms" } do assert.equal(1, rows(space), space) end
    assert.same({ 0, 0 }, { rows "closed", #support.view(store):search "text" })
    support.post(store, "x", 9)
    assert.equal(5, support.view(store):get("x").version)
  end)

  it("forgets many deleted documents at once, in each scope by its own numbers", function()
    local view = support.view(store)
    for n = 1, 300 do view:post("d" .. n, 1) end
    view:post("x", 1, { scope = "project" })
    workspace.commit(view)
    for _ = 1, 3 do support.post(store, "d7", 2) end
    for n = 1, 300 do view:delete("d" .. n) end
    view:delete("x", { scope = "project" })
    workspace.commit(view)
    local commits = store:stats().commits
    assert.equal(605, workspace.trim(store, workspace.snapshot(store)))
    assert.is_true(store:stats().commits - commits < 10)
    for _, space in ipairs { "heads", "versions", "postings", "terms", "closed" } do assert.equal(0, rows(space), space) end
    assert.same({ 2, 5 }, { (store:get("workspace.floors", "project")), (store:get("workspace.floors", "run:r_1")) })
  end)

  it("goes through more documents than one batch holds", function()
    for n = 1, 5 do
      local view = support.view(store)
      for document = 1, 300 do view:post("d" .. document, { n, "text of version " .. n }) end
      workspace.commit(view)
    end
    assert.equal(1200, workspace.trim(store, workspace.snapshot(store)))
    assert.equal(300, rows "versions")
    assert.equal(0, rows "closed")
  end)
end)

describe("a document's time", function()
  local store
  before_each(function() store = support.store() end)
  after_each(function() store:close() end)

  -- Posts what ran out a second ago.
  local function post_expired(name, value)
    local view = support.view(store)
    view:post(name, value, { ttl = 60 })
    local operations, expires_ms = view:operations(), wall_ms() - 1000
    for _, operation in ipairs(operations) do
      if type(operation.value) == "table" and operation.value.expires_ms then operation.value.expires_ms = expires_ms end
      if operation.space == "workspace.expiry" then
        operation.key = string.pack(">I8", expires_ms) .. operation.key:sub(9)
      end
    end
    assert(store:batch(operations))
    view:committed()
  end

  it("is kept with it, and is given in seconds or as a duration", function()
    local before = wall_ms()
    support.post(store, "x", 1, { ttl = 90 })
    support.post(store, "y", 1, { ttl = "2h" })
    local x, y = support.view(store):get "x", support.view(store):get "y"
    assert.is_true(x.expires_ms >= before + 90000 and x.expires_ms <= wall_ms() + 90000)
    assert.is_true(y.expires_ms >= before + 7200000)
  end)

  it("makes it absent when it has run out, for every way of reading", function()
    post_expired("old", "river")
    support.post(store, "new", "river")
    local view = support.view(store)
    assert.is_nil(view:get "old")
    assert.is_nil(view:get("old", { version = 1 }))
    assert.equal("new", support.names(view:list()))
    assert.equal("new", support.names(view:search "river"))
    assert.is_false(view:delete "old")
    view = support.view(store)
    view:post("old", 5, { merge = "counter", version = 0 })
    workspace.commit(view)
    assert.same({ 5, 2 }, { view:get("old").value, view:get("old").version })
    assert.is_nil(view:get("old").expires_ms)
    assert.equal(0, #store:scan "workspace.expiry")
  end)

  it("ends in a tombstone, the oldest first, as many as the budget says", function()
    for n = 1, 40 do post_expired(("d%02d"):format(n), n) end
    support.post(store, "later", 1, { ttl = 60 })
    assert.equal(5, workspace.expire(store, wall_ms(), 5))
    assert.equal(36, #store:scan "workspace.expiry")
    assert.equal("delete", support.view(store):history("d01")[1].kind)
    assert.equal(35, workspace.expire(store, wall_ms()))
    assert.equal(0, workspace.expire(store, wall_ms()))
    assert.equal("later", support.names(support.view(store):list()))
    assert.equal(1, workspace.expire(store, wall_ms() + 61000))
    assert.equal(82, support.view(store):offset())
  end)

  it("can be changed by whoever writes it again", function()
    support.post(store, "x", 1, { ttl = 60 })
    support.post(store, "x", 2, { ttl = 3600 })
    assert.equal(0, workspace.expire(store, wall_ms() + 61000))
    support.post(store, "x", 3)
    assert.equal(0, workspace.expire(store, wall_ms() + 3601000))
    assert.equal(3, support.view(store):get("x").value)
  end)

  it("cuts the logs of pipelines and of the project that are long, and of no run", function()
    for n = 1, 6 do
      support.post(store, "a", n, { scope = "project" })
      support.post(store, "b", n, { scope = "pipeline" })
      support.post(store, "c", n)
    end
    support.post(store, "a", 7, { scope = "project" })
    assert.equal(0, workspace.cut_logs(store))
    assert.equal(1, workspace.cut_logs(store, 7))
    assert.equal(1, workspace.cut_logs(store, 6))
    assert.same({ "workspace/pipeline:p", "workspace/project", "workspace/run:r_1" }, store:journals())
    support.post(store, "b", 7, { scope = "pipeline" })
    assert.equal(7, support.view(store):watch({ scope = "pipeline" }, 6)().version)
  end)
end)

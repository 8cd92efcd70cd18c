local support = dofile "spec/lua/weir/workspace/support.lua"
local workspace = require "weir.workspace"

describe("an overlay", function()
  local store
  before_each(function() store = support.store() end)
  after_each(function() store:close() end)

  local function branch(name, snapshot)
    local overlay = workspace.overlay(store, { run = "r_1", branch = name })
    return overlay, function(author) return support.view(store, { overlay = overlay, snapshot = snapshot, author = author }) end
  end

  local function adopt(overlay)
    assert(store:batch(workspace.adopt(overlay)))
    overlay:committed()
  end

  local function rows()
    return #store:scan "workspace.overlays"
  end

  it("is read by its branch and by nobody else", function()
    support.post(store, "plan", "old")
    local snapshot = workspace.snapshot(store)
    local _, left = branch("left", snapshot)
    local _, right = branch("right", snapshot)
    local view = left "ann"
    view:post("plan", "left")
    view:post("more", ("long "):rep(1000))
    workspace.commit(view)
    assert.equal("left", left():get("plan").value)
    assert.equal(("long "):rep(1000), left():get("more").value)
    assert.equal("more plan", support.names(left():list()))
    assert.equal("plan", support.names(left():search "left"))
    assert.equal("old", right():get("plan").value)
    assert.equal("old", support.view(store):get("plan").value)
    assert.equal("plan", support.names(right():list()))
    assert.equal("", support.names(support.view(store):search "left"))
    assert.equal(1, support.view(store):offset())
  end)

  it("of the winner becomes real, with who wrote what; those of the others leave nothing", function()
    support.post(store, "plan", "old")
    support.post(store, "gone", 1)
    local winner, win = branch "a"
    local loser, lose = branch "b"
    for author, open in pairs { ann = win, bob = lose } do
      local view = open(author)
      view:post("plan", author, { type = "t" })
      view:delete "gone"
      workspace.commit(view)
    end
    adopt(winner)
    assert(store:batch(workspace.discard(loser)))
    assert.equal(0, rows())
    local document = support.view(store):get "plan"
    assert.same({ "ann", "ann", "t", 2 }, { document.value, document.author, document.type, document.version })
    assert.is_nil(support.view(store):get "gone")
    assert.equal("ann", lose():get("plan").value)
    assert.same({}, workspace.adopt(loser))
    assert.same({}, workspace.discard(winner))
    assert.equal(4, support.view(store):offset())
  end)

  it("is refused when a document that it put has changed since", function()
    support.post(store, "plan", 1)
    local overlay, open = branch("a", workspace.snapshot(store))
    local view = open()
    view:post("plan", 2)
    view:post("new", 2)
    workspace.commit(view)
    support.post(store, "plan", 3)
    local err = support.refused("conflict", workspace.adopt, overlay)
    assert.same({ scope = "run:r_1", name = "plan", expected = 1, found = 2 }, err.details)
    assert.equal(3, support.view(store):get("plan").value)
    assert.is_nil(support.view(store):get "new")
  end)

  it("is refused by the store when the change comes between, and not the next time if it only merges", function()
    support.post(store, "n", 1)
    local overlay, open = branch "a"
    local view = open()
    view:post("n", 10, { merge = "counter" })
    workspace.commit(view)
    view = open()
    view:post("n", 10, { merge = "counter" })
    view:post("list", { "a" }, { merge = "append" })
    workspace.commit(view)
    assert.equal(21, open():get("n").value)
    local operations = workspace.adopt(overlay)
    support.post(store, "n", 100, { merge = "counter" })
    support.post(store, "list", { "b" }, { merge = "append" })
    assert.equal(21, open():get("n").value)
    local _, _, code = store:batch(operations)
    assert.equal("conflict", code)
    adopt(overlay)
    assert.equal(121, support.view(store):get("n").value)
    assert.same({ "b", "a" }, support.view(store):get("list").value)
  end)

  it("is written by steps side by side", function()
    local _, open = branch "a"
    local first, second = open(), open()
    first:post("set", { 1 }, { merge = "set" })
    second:post("set", { 2 }, { merge = "set" })
    local late = second:operations()
    workspace.commit(first)
    assert.equal("conflict", select(3, store:batch(late)))
    workspace.commit(second)
    assert.same({ 1, 2 }, open():get("set").value)
  end)

  it("expects versions as its branch sees them", function()
    support.post(store, "x", 1)
    local _, open = branch("a", workspace.snapshot(store))
    support.post(store, "x", 2)
    local view = open()
    view:post("x", 9, { version = view:get("x").version })
    workspace.commit(view)
    view = open()
    view:post("x", 9, { version = 2 })
    support.refused("conflict", workspace.commit, view)
  end)

  it("takes the longest names", function()
    local long = { run = ("r"):rep(100), pipeline = ("p"):rep(100) }
    local overlay = workspace.overlay(store, { run = long.run, branch = ("b"):rep(100) })
    long.overlay = overlay
    local view = workspace.view(store, long)
    for _, ending in ipairs { "a", "b" } do
      view:post(("n"):rep(199) .. ending, "text " .. ending, { scope = "pipeline", ttl = 60 })
    end
    workspace.commit(view)
    view = workspace.view(store, long)
    assert.equal("text a", view:get(("n"):rep(199) .. "a", { scope = "pipeline" }).value)
    assert.equal(2, #view:list { scope = "pipeline" })
    adopt(overlay)
    long.overlay = nil
    view = workspace.view(store, long)
    assert.equal(2, #view:search("text", { scope = "pipeline" }))
    assert.equal("text b", view:get(("n"):rep(199) .. "b", { scope = "pipeline" }).value)
    assert.equal(0, rows())
  end)

  it("of one branch is none of another whose name begins alike", function()
    local overlay, open = branch "a"
    local _, longer = branch "ab"
    for _, make in ipairs { open, longer } do
      local view = make()
      view:post("x", 1)
      workspace.commit(view)
    end
    assert(store:batch(workspace.discard(overlay)))
    assert.equal(1, rows())
    assert.equal(1, longer():get("x").value)
    support.refused("invalid", workspace.overlay, store, { run = "r_1" })
  end)

  it("merges the texts of its branch against what the branch saw", function()
    local long = ("the same line again and again\n"):rep(200)
    support.post(store, "report", "a\n" .. long .. "z\n")
    local overlay, of = branch("left", workspace.snapshot(store))
    local view = of "ann"
    view:post("report", "A\n" .. long .. "z\n", { merge = "text" })
    workspace.commit(view)
    support.post(store, "report", "a\n" .. long .. "Z\n")
    assert.equal("A\n" .. long .. "z\n", of():get("report").value)
    adopt(overlay)
    assert.equal("A\n" .. long .. "Z\n", support.view(store):get("report").value)
    assert.equal(0, rows())
  end)
end)

local clock = require "weir.port.clock"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/upkeep/support.lua"
local upkeep = require "weir.upkeep"
local waking = require "weir.run.waking"
local workspace = require "weir.workspace"

local DERIVED = { "timers", "workspace.heads", "workspace.terms", "workspace.postings", "workspace.closed", "workspace.expiry" }

describe("rebuilding", function()
  local folder, store
  before_each(function()
    native.use_virtual_clock(3)
    folder = support.folder()
    store = support.open(folder .. "/store")
  end)
  after_each(function()
    store:close()
    native.use_real_clock()
    support.remove(folder)
  end)

  -- Runs in every state, and documents that were written, changed, deleted, and that will expire.
  local function world()
    local own = support.engine(store)
    local of = {}
    for _, kind in ipairs { "plain", "large", "fails", "asks", "hears", "notes", "sleeps" } do
      of[kind] = support.run(own, kind, { text = ("x"):rep(2000) }).id
    end
    of.decided, of.heard = support.run(own, "asks").id, support.run(own, "hears").id
    waking.decide(own, store:row(of.decided).waiting[1].id, { decision = "approve", by = "ada" })
    waking.signal(own, of.heard, "word", 7)
    for round = 1, 3 do
      local view = workspace.view(store, { run = of.plain, pipeline = "p", author = "ada" })
      view:post("about/tide", { text = ("ebb and flow "):rep(round), n = round }, { type = "note", tags = { "sea" }, scope = "project" })
      view:post("gone", "round " .. round, { scope = "project" })
      view:post("later", ("long "):rep(1000 * round), { scope = "project", ttl = "2h" })
      workspace.commit(view)
    end
    local view = workspace.view(store, {})
    view:delete("gone", { scope = "project" })
    workspace.commit(view)
    return of
  end

  local function space(name)
    local all = {}
    for found in pages.keys(store, name) do all[found.key] = found.value end
    return all
  end

  local function rows()
    local all = {}
    for found in pages.runs(store) do all[found.id] = found.row end
    return all
  end

  local function empty(name)
    for key in pairs(space(name)) do assert(store:delete(name, key)) end
    assert.same({}, space(name))
  end

  local function must_be_sound()
    assert.same({}, (select(2, store:verify())))
  end

  it("changes nothing where nothing is missing", function()
    world()
    local before = support.everything(store)
    local result = upkeep.rebuild(store)
    assert.same({ 0, 0, 0, 0 }, { result.rows, result.timers, result.heads, #result.damaged })
    assert.equal(before, support.everything(store))
    must_be_sound()
  end)

  for _, name in ipairs(DERIVED) do
    it("brings back exactly what was in " .. name, function()
      world()
      local before = space(name)
      assert.is_not_nil(next(before))
      empty(name)
      upkeep.rebuild(store)
      assert.same(before, space(name))
      must_be_sound()
    end)
  end

  it("finds documents again by their words, at every moment", function()
    world()
    local view = workspace.view(store, {})
    local now = view:search("ebb flow", { scope = "project" })
    assert.equal("about/tide", now[1].name)
    for _, name in ipairs(DERIVED) do empty(name) end
    assert.same({}, workspace.view(store, {}):search("ebb flow", { scope = "project" }))
    upkeep.rebuild(store)
    assert.same(now, workspace.view(store, {}):search("ebb flow", { scope = "project" }))
    assert.is_nil(workspace.view(store, {}):get("gone", { scope = "project" }))
  end)

  -- Flips a bit of each row in a copy of the file.
  local function spoil_rows(ids)
    store:close()
    local path = folder .. "/store/data.mdb"
    local bytes = support.read(path)
    local file = assert(io.open(path, "r+b"))
    local count = 0
    for _, id in ipairs(ids) do
      local from = 1
      while true do -- key and record stand side by side: id, format, ..., status, row
        local at, to = bytes:find(id .. "\1\0[\6-\11]\0", from)
        if not at then break end
        file:seek("set", to + 24)
        file:write(string.char(bytes:byte(to + 25) ~ 1))
        from, count = to, count + 1
      end
    end
    file:close()
    assert.is_true(count >= #ids)
    store = assert(store_port.open(folder .. "/store", { force = true }))
  end

  it("makes damaged rows anew from the journals, and what waits goes on", function()
    local of = world()
    local before = rows()
    local list = {}
    for _, id in pairs(of) do list[#list + 1] = id end
    spoil_rows(list)
    for _, id in ipairs(list) do assert.equal("corrupt", select(3, store:row(id))) end
    local result = upkeep.rebuild(store)
    assert.equal(#list, result.rows)
    assert.same({}, result.damaged)
    must_be_sound()
    local after = rows()
    for kind, id in pairs(of) do
      local was, is = before[id], after[id]
      if was.ended_ms then
        was.active_s = nil -- nothing else keeps it
        assert.same(json.encode(was, { canonical = true }), json.encode(is, { canonical = true }), kind)
      elseif kind == "asks" then
        assert.same({ "waiting", was.waiting[1].id, was.waiting[1].since_ms }, { is.status, is.waiting[1].id, is.waiting[1].since_ms })
      else
        assert.equal("running", is.status, kind) -- whoever goes on with it finds out what it waits for
      end
    end
    local own = support.engine(store)
    recovery.all(own)
    after = rows()
    for kind, id in pairs(of) do
      local expected = before[id].ended_ms and before[id].status or (kind == "decided" or kind == "heard") and "finished" or "waiting"
      assert.equal(expected, after[id].status, kind)
    end
    clock.sleep(3700)
    recovery.all(own)
    assert.equal("finished", store:row(of.sleeps).status)
    waking.decide(own, store:row(of.asks).waiting[1].id, { decision = "approve", by = "ada" })
    recovery.all(own)
    assert.equal("finished", store:row(of.asks).status)
  end)

  it("names what it cannot make again, and goes on with the rest", function()
    world()
    local row = store:scan("workspace.versions", { limit = 1000 })
    for _, found in ipairs(row) do
      if found.value.blob then store:put("workspace.versions", found.key, { dead = nil, at_ms = 1, blob = ("0"):rep(64), size = 1, words = 1 }) end
    end
    empty "workspace.heads"
    local result = upkeep.rebuild(store)
    assert.equal(1, #result.damaged)
    assert.matches("document 'later' of project", result.damaged[1].what)
    assert.is_not_nil(workspace.view(store, {}):get("about/tide", { scope = "project" }))
  end)
end)

local audit = require "weir.audit"
local listing = require "weir.registry.listing"
local reload = require "weir.registry.reload"
local revise = require "weir.registry.revise"
local support = dofile "spec/lua/weir/registry/support.lua"

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "talk" { weir.step "talk" { agent = "talk" }, weir.approval "ask" {}, output = "$.talk.%s" }
]]

describe("the version that serves", function()
  local place, own
  before_each(function()
    place = support.place()
    place:agent("talk", "return { text = 'one' }")
    place:write("pipelines/talk.lua", PIPELINE:format "text")
    own = place:life()
  end)
  after_each(function() place:close() end)

  local function registry() return own.project.registry end
  local function entry() return assert(registry():lookup("agent", "talk")) end
  local function said() return entry().module.execute().text end
  local function save(text)
    place:agent("talk", ("return { text = '%s' }"):format(text))
    return reload.changed(registry(), { place.folder .. "/modules/agents/talk.lua" })
  end
  local function restart() own = place:life() end

  it("is the one before after a rollback, and further back after another", function()
    assert.equal("one", said())
    save "two"
    save "three"
    local three = entry().version
    local done = revise.rollback(registry(), "agents/talk", { by = "ada", via = "repl" })
    assert.equal(three, done.from)
    assert.equal(entry().version, done.to)
    assert.equal("two", said())
    revise.rollback(registry(), "agents/talk")
    assert.equal("one", said())
    local ok, err = pcall(revise.rollback, registry(), "agents/talk")
    assert.is_false(ok)
    assert.equal("not_found", err.code)
    assert.match("'agents/talk' has no version before", err.message)
    assert.equal("one", said())
  end)

  it("stays the one before until the file says something else, also after a restart", function()
    entry()
    save "two"
    revise.rollback(registry(), "agents/talk")
    restart()
    assert.equal("one", said())
    assert.same({}, save("two").reloaded) -- the same text once more
    assert.equal("one", said())
    save "three"
    assert.equal("three", said())
    restart()
    assert.equal("three", said())
    revise.rollback(registry(), "agents/talk")
    assert.equal("one", said())
  end)

  it("is that of the file again after a reload of its name", function()
    entry()
    save "two"
    revise.rollback(registry(), "agents/talk")
    local report = revise.reload(registry(), "agents/talk", { by = "ada" })
    assert.equal(1, #report.reloaded)
    assert.equal("two", said())
    restart()
    assert.equal("two", said())
  end)

  it("can be taken back in a process that has only the store: to what runs have left there", function()
    support.run(own, "talk")
    place:agent("talk", "return { text = 'two' }")
    restart()
    support.run(own, "talk")
    restart()
    assert.equal("two", said())
    revise.rollback(registry(), "agents/talk")
    assert.equal("one", said())
    restart()
    assert.equal("one", said())
  end)

  it("of a pipeline is rolled back the same way", function()
    local old = assert(own.project:pipeline "talk")
    place:write("pipelines/talk.lua", PIPELINE:format "more")
    reload.changed(registry(), { place.folder .. "/pipelines/talk.lua" })
    assert.not_equal(old.version, assert(own.project:pipeline "talk").version)
    revise.rollback(registry(), "pipelines/talk")
    assert.equal(old.version, assert(own.project:pipeline "talk").version)
    restart()
    assert.equal(old.version, assert(own.project:pipeline "talk").version)
    assert.equal("waiting", support.run(own, "talk").status)
  end)

  it("is one with a patched function, which sees what the file's functions see, until it is rolled back", function()
    place:write("modules/agents/talk.lua", [[
local word = "one"
local M = { kind = "agent", name = "talk", api = 1 }
function M.execute() return { text = word } end
return M
]])
    restart()
    local before = entry().version
    revise.patch(registry(), "agents/talk", "execute", "function M.execute() return { text = word:upper() .. '!' } end", { via = "repl" })
    assert.equal("ONE!", said())
    restart()
    assert.equal("ONE!", said())
    revise.rollback(registry(), "agents/talk")
    assert.equal(before, entry().version)
    restart()
    assert.equal("one", said())
  end)

  it("is patched where the file returns its table at once", function()
    revise.patch(registry(), "agents/talk", "execute", "function(_, input) return { text = 'patched' } end")
    assert.equal("patched", said())
  end)

  for what, text in pairs { ["is no function"] = "7 7", ["is no text of Lua"] = "function(", ["breaks the contract"] = "'seven'" } do
    it("stays what it is when a patch " .. what, function()
      local before = entry()
      local ok, err = pcall(revise.patch, registry(), "agents/talk", "execute", text)
      assert.is_false(ok)
      assert.equal("invalid", err.code)
      assert.equal(before, entry())
    end)
  end

  it("is found by its name alone when there is only one of that name", function()
    assert.equal("agents/echo", revise.resolve(registry(), "echo"))
    assert.equal("agents/talk", revise.resolve(registry(), "agents/talk"))
    local ok, err = pcall(revise.resolve, registry(), "talk")
    assert.is_false(ok)
    assert.match("may be agents/talk or pipelines/talk", err.message, 1, true)
    ok, err = pcall(revise.resolve, registry(), "tolk")
    assert.is_false(ok)
    assert.equal("not_found", err.code)
  end)

  it("changes with a record of who did it, and not when it is the watch", function()
    entry()
    save "two"
    revise.rollback(registry(), "agents/talk", { by = "ada", via = "repl" })
    revise.patch(registry(), "agents/talk", "execute", "function() return {} end", { by = "ben", via = "http" })
    revise.reload(registry(), "agents/talk", { by = "cy" })
    local lines = {}
    for index, found in ipairs(audit.list(own.store)) do
      lines[index] = ("%s %s %s %s"):format(found.value.by, found.value.via, found.value.action, found.value.what)
    end
    assert.same({ "ada repl rollback agents/talk", "ben http patch agents/talk", "cy cli reload agents/talk" }, lines)
  end)

  it("is listed with the runs that hold it, and older ones as long as one does", function()
    local first = support.run(own, "talk")
    save "two"
    support.run(own, "talk")
    support.run(own, "talk")
    local function rows()
      local lines = {}
      for _, row in ipairs(listing.rows(own.project, own)) do
        if row.name == "talk" then lines[#lines + 1] = ("%s %s %d"):format(row.kind, row.active and "active" or "old", row.runs) end
      end
      return lines
    end
    assert.same({ "agent active 2", "agent old 1", "pipeline active 3" }, rows())
    for _, row in ipairs(listing.rows(own.project, own, "agent")) do
      if row.name == "talk" and not row.active then assert.same({ first.id }, row.run_ids) end
    end
    own:cancel(first.id, "enough")
    assert.same({ "agent active 2", "pipeline active 2" }, rows())
    place:write("modules/agents/talk.lua", "broken")
    reload.changed(registry(), { place.folder .. "/modules/agents/talk.lua" })
    local row = listing.rows(own.project, own, "agent")
    for _, one in ipairs(row) do
      if one.name == "talk" then
        assert.is_true(one.active)
        assert.match("cannot be loaded", one.error)
      end
    end
  end)

  it("can be rolled back to after a prune has removed what no run holds", function()
    entry()
    save "two"
    require("weir.upkeep.pins").sweep(own.store, function() end)
    restart()
    revise.rollback(registry(), "agents/talk")
    assert.equal("one", said())
  end)

  it("leaves the memory when nobody needs it: a thousand reloads leave one", function()
    for number = 1, 1000 do save("text " .. number) end
    local count = 0
    for _, found in ipairs(registry().versions:list()) do
      if found.name == "agents/talk" then count = count + 1 end
    end
    assert.equal(1, count)
    local kept = 0
    for key in pairs(registry().sources) do
      if key:find "^agents/talk@" then kept = kept + 1 end
    end
    assert.equal(9, kept)
  end)
end)

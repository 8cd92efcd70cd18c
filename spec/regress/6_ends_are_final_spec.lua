-- `weir resume` went on with a run that had ended meanwhile, because the flow that had started it went on with it
-- first; its journal got a second end.

local support = dofile "spec/lua/weir/cli/support.lua"
local failure = require "weir.failure"
local project = require "weir.project"
local store = require "weir.port.store"
local system = require "weir.port.system"

local CHILD = [[
local weir = require "weir"
return weir.pipeline "child" { weir.step "a" { agent = "echo", input = { n = 1 } }, output = "$.a.n" }
]]
local PARENT = [[
local weir = require "weir"
return weir.flow "parent" {
  function(run)
    local first, second = weir.start("child", {}), weir.start("child", {})
    return { first:wait(), second:wait() }
  end,
}
]]

describe("a run that has ended", function()
  local folder, path
  before_each(function()
    folder = support.folder()
    path = folder .. "/store"
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "pipelines/child.lua", CHILD)
    support.write(folder, "pipelines/parent.lua", PARENT)
  end)
  after_each(function() support.remove(folder) end)

  local function ends_of(kept, id)
    local count = 0
    for _, entry in ipairs(assert(kept:load(id))) do
      if entry[1] == "end" then count = count + 1 end
    end
    return count
  end

  it("is not gone on with when its flow went on with it", function()
    -- the fifth entry: both children have been started, none has ended
    local life = support.host({ "run", folder .. "/pipelines/parent.lua", "--store", path },
      { env = { WEIR_FAILPOINT = "after_commit:5" } })
    assert.equal(137, life.status)
    assert.equal(0, support.host({ "resume", "--store", path }, { cwd = folder }).status)
    local kept <close> = assert(store.open(path, {}))
    local runs = assert(kept:runs { limit = 10 })
    assert.equal(3, #runs)
    for _, found in ipairs(runs) do
      assert.equal("finished", found.row.status)
      assert.equal(1, ends_of(kept, found.id))
    end
  end)

  it("is refused by the engine", function()
    assert.equal(0, support.host({ "run", folder .. "/pipelines/child.lua", "--store", path }).status)
    local kept <close> = assert(store.open(path, {}))
    local engine = require("weir.run.engine").new(project.open(system.real_path(folder)), kept)
    local id = assert(kept:runs { limit = 1 })[1].id
    local ok, err = pcall(engine.reopen, engine, id)
    assert.is_false(ok)
    assert.equal("conflict", failure.of(err).code)
    assert.match("has finished already", failure.of(err).message)
  end)
end)

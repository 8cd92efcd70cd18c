local binding = require "weir.run.binding"
local rehearsal = require "weir.run.rehearsal"
local support = dofile "spec/lua/weir/registry/support.lua"

describe("a binding", function()
  local place, own, plan
  before_each(function()
    place = support.place()
    place:agent("word", "return 1")
    place:agent("other", "return 2")
    place:write("pipelines/talk.lua", [[
local weir = require "weir"
return weir.pipeline "talk" { weir.step "word" { agent = "word" } }
]])
    own = place:life()
    plan = own:plan_of(assert(own.project:pipeline "talk"))
  end)
  after_each(function() place:close() end)

  -- Every version with how many hold it.
  local function held()
    local pins = {}
    for _, one in ipairs(own.project.registry.versions:list()) do pins[one.name .. "@" .. one.version] = one.pins end
    return pins
  end

  it("that cannot be made holds nothing of what it had found before", function()
    local word = own.project.registry:get("agents/word").version
    local before = held()
    local ok, err = pcall(binding.hold_all, own, plan, { ["agents/word"] = word, ["agents/other"] = ("0"):rep(64) })
    assert.is_false(ok)
    assert.equal("not_found", err.code)
    assert.same(before["agents/word@" .. word], held()["agents/word@" .. word])
  end)

  it("to a rehearsal of a run that is not there is let go", function()
    local word = own.project.registry:get("agents/word").version
    local before = held()["agents/word@" .. word]
    local ok, err = pcall(rehearsal.replay, own, "r_nobody", plan, binding.hold_own(own, plan))
    assert.is_false(ok)
    assert.equal("not_found", err.code)
    assert.equal(before, held()["agents/word@" .. word])
  end)
end)

local candidates = require "weir.candidate"
local engine = require "weir.run.engine"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"

describe("pipeline tuned", function()
  local here, store, own
  before_each(function()
    here, store = project.open ".", assert(store_port.open ":memory:")
    own = engine.new(here, store)
  end)
  after_each(function()
    own:close()
    store:close()
  end)

  local function run()
    local definition, err = here:pipeline "tuned"
    assert(definition, err and err.message)
    local of = own:run(definition, {})
    assert.equal("finished", of.status, of.error and of.error.message)
    return of, definition
  end

  it("tunes the size of chunks, the length and the method for coverage per word, and keeps only what is better on both sides", function()
    local first, before = run()
    local cycle = recovery.open(own, first.reflection):execute()
    assert.equal("finished", cycle.status, cycle.error and cycle.error.message)
    local list = candidates.list(store, { pipeline = "tuned" })
    assert.is_true(#list >= 4, #list)
    local tried, kept = {}, 0
    for _, one in ipairs(list) do
      tried[one.reason:match "^[%w.]+"] = true
      if one.state == "kept" then
        kept = kept + 1
        assert.is_true(one.tuning.after > one.tuning.before * 1.01)
        assert.is_true(one.holdout.after > one.holdout.before * 1.01)
      else
        assert.equal("no_gain", one.code)
      end
      assert.is_true(one.cost.reused > 0, "nothing was used again")
    end
    assert.is_truthy(tried["cut.size"] and tried["short.words"])
    assert.equal(kept, #cycle.output.kept)
    local scores = cycle.output.scores
    assert.is_true(scores.tuning.after >= scores.tuning.before and scores.holdout.after >= scores.holdout.before)
    local second, after = run()
    assert.equal(cycle.output.to, after.version)
    assert.equal(kept > 0, after.version ~= before.version)
    assert.is_number(second.output.score)
  end)
end)

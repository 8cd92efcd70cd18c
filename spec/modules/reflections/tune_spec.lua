local guard = require "weir.reflection.guard"
local testing = require "weir.testing"
local value_of = require "weir.value"
local tune = testing.module "reflections/tune"

local VARY = {
  { step = "cut", option = "size", values = { 10, 20, 40 } },
  { step = "short", option = "method", values = { "lead", "textrank", "lexrank" } },
}

local function definition(size, method)
  return { name = "p", groups = {
    { name = "cut", steps = { { name = "cut", agent = "chunk", options = { size = size } } } },
    { name = "parts", steps = { { name = "parts", map = { over = "$.cut", each = { name = "short", agent = "summarize",
      options = method and { method = method } or nil } } } } },
  } }
end

local function propose(record, vary)
  local ctx = testing.context(tune, { options = { vary = vary or VARY } })
  record.candidates = record.candidates or {}
  return tune.propose(ctx, record)
end

-- Climbs by a score until nothing is proposed; gives the places that were tried, and where it ended.
local function climb(start, better)
  local at, candidates, tried = start, {}, {}
  for _ = 1, 100 do
    local proposal = propose { definition = at, candidates = candidates }
    if not proposal then return tried, at end
    local there = assert(guard.apply(at, proposal.patch, { changes = 8, bytes = 4096 }))
    tried[#tried + 1] = proposal.reason
    local is_kept = better(there) > better(at)
    candidates[#candidates + 1] = { state = is_kept and "kept" or "reverted", note = proposal.note }
    if is_kept then at = there end
  end
  error "it never ends"
end

describe("reflection tune", function()
  it("tries the numbers beside that of the definition, then every other word", function()
    local tried, at = climb(definition(20, "lead"), function() return 0 end)
    assert.same({ "cut.size from 20 to 40", "cut.size from 20 to 10", "short.method from lead to textrank",
      "short.method from lead to lexrank" }, tried)
    assert.is_true(value_of.equal(definition(20, "lead"), at))
  end)

  it("climbs to what is best beside everything, and tries no place twice", function()
    local function better(normal)
      local method = normal.groups[2].steps[1].map.each.options.method
      return normal.groups[1].steps[1].options.size + (method == "lexrank" and 100 or method == "lead" and 50 or 0)
    end
    local tried, at = climb(definition(10, "lead"), better)
    assert.is_true(value_of.equal(definition(40, "lexrank"), at))
    assert.is_true(#tried <= 9, #tried)
    local seen = {}
    for _, reason in ipairs(tried) do seen[reason] = true end
    assert.is_truthy(seen["cut.size from 10 to 20"] and seen["cut.size from 20 to 40"])
  end)

  it("sets an option that the definition leaves out", function()
    local proposal = propose({ definition = definition(20) }, { VARY[2] })
    assert.same({ { op = "add", path = "/groups/1/steps/0/map/each/options", value = { method = "lead" } } }, { proposal.patch[1] })
  end)

  it("tries again what a limit or somebody else's change kept from being measured", function()
    local first = propose { definition = definition(20, "lead") }
    local function next_after(code)
      return propose({ definition = definition(20, "lead"), candidates = { { state = "reverted", code = code, note = first.note } } }).reason
    end
    assert.equal(first.reason, next_after "limit")
    assert.equal(first.reason, next_after "stale")
    assert.not_equal(first.reason, next_after "no_gain")
  end)

  it("says which step is not there", function()
    local proposal, message, code = propose({ definition = definition(20, "lead") }, { { step = "cot", option = "size", values = { 1, 2 } } })
    assert.same({ nil, "tune: the pipeline has no step 'cot'", "invalid" }, { proposal, message, code })
  end)
end)

local testing = require "weir.testing"
local review = testing.module "critics/skill_review"

local function judge(cases, fields, options)
  local passed = 0
  for _, case in ipairs(cases) do passed = passed + (case.ok and 1 or 0) end
  local draft = { manifest = { tests = {} }, source = "return {}\n", cases = cases, passed = passed }
  for name, value in pairs(fields or {}) do draft[name] = value end
  return review.review(testing.context(review, { options = options }), draft)
end

local GOOD = { { name = "a", ok = true }, { name = "b", ok = true } }

describe("critic skill_review", function()
  it("approves a skill all of whose tests pass, and scores those higher that show bad input", function()
    local verdict = judge(GOOD)
    assert.equal("approve", verdict.verdict)
    assert.equal(0.8, verdict.score)
    assert.match("bad input", verdict.advice)
    assert.equal(1, judge(GOOD, { manifest = { tests = { { error = "invalid" } } } }).score)
  end)

  it("refuses a skill with a test that does not pass, and says which and why", function()
    local verdict = judge { { name = "a", ok = true }, { name = "b", ok = false, why = "gave 1, expected 2" } }
    assert.equal("abort", verdict.verdict)
    assert.equal(0.5, verdict.score)
    assert.equal("1 of 2 tests do not pass: 'b' gave 1, expected 2", verdict.advice)
  end)

  it("asks a person about a skill with too few tests", function()
    assert.equal("escalate", judge({}).verdict)
    assert.equal("escalate", judge({ GOOD[1] }).verdict)
    assert.equal("approve", judge({ GOOD[1] }, {}, { tests = 1 }).verdict)
  end)

  it("refuses a source that nobody would read", function()
    assert.equal("abort", judge(GOOD, { source = ("x\n"):rep(3000) }).verdict)
  end)
end)

local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

-- Runs one step, whose agent counts its drafts, under critics that are given as functions.
local function review(critic, critics, agent)
  local here = project.open "."
  local seen = {}
  here.registry:put { kind = "agent", name = "writer", api = 1, options = { type = "object" }, execute = agent or function(ctx)
    seen[#seen + 1] = ctx.feedback or false
    return "draft " .. #seen
  end }
  for name, body in pairs(critics) do
    here.registry:put { kind = "critic", name = name, api = 1, options = { type = "object" }, review = body }
  end
  local definition, errors = here:check(P "critic" { S "write" { agent = "writer", critic = critic, retry = { attempts = 2, backoff = 1, jitter = 0 } } })
  assert(definition, errors and errors[1].message)
  native.use_virtual_clock(nil, 0)
  local run = engine.new(here, nil):run(definition, {}, {})
  native.use_real_clock()
  return run, seen
end

local function says(list)
  local count = 0
  return function()
    count = count + 1
    local verdict = {}
    for name, value in pairs(list[math.min(count, #list)]) do verdict[name] = value end
    return verdict
  end
end

local APPROVE, RETRY, ABORT = { verdict = "approve", score = 1 }, { verdict = "retry", score = 0.5, advice = "be brief" }, { verdict = "abort", advice = "never" }

describe("a critic", function()
  it("lets an approved draft pass", function()
    local run, seen = review({ use = "judge" }, { judge = says { APPROVE } })
    assert.same({ "finished", "draft 1", 1 }, { run.status, run.output, #seen })
  end)

  it("gets the draft, the step's input and the earlier drafts with their verdicts", function()
    local got = {}
    review({ use = "judge", attempts = 3 }, { judge = function(ctx, draft)
      got[#got + 1] = { draft = draft, earlier = #ctx.drafts, last = ctx.drafts[#ctx.drafts] }
      return #got < 3 and RETRY or APPROVE
    end })
    assert.same({ "draft 1", "draft 2", "draft 3" }, { got[1].draft, got[2].draft, got[3].draft })
    assert.same({ 0, 1, 2 }, { got[1].earlier, got[2].earlier, got[3].earlier })
    local last = got[3].last
    assert.same({ "draft 2", "retry", 0.5, "be brief", "judge" }, { last.draft, last.verdict, last.score, last.advice, last.critic })
  end)

  it("sends its advice to the next draft, with the draft it is about", function()
    local run, seen = review({ use = "judge" }, { judge = says { RETRY, APPROVE } })
    assert.same({ "finished", "draft 2" }, { run.status, run.output })
    assert.is_false(seen[1])
    assert.same({ verdict = "retry", score = 0.5, advice = "be brief", draft = "draft 1" }, seen[2])
  end)

  it("rejects when no draft is left, and says why", function()
    for attempts = 1, 4 do
      local run, seen = review({ use = "judge", attempts = attempts, otherwise = "fail" }, { judge = says { RETRY } })
      assert.same({ "failed", "rejected", "write", attempts }, { run.status, run.error.code, run.error.step, #seen })
      assert.matches(("after %d draft"):format(attempts), run.error.message)
      assert.matches("be brief", run.error.message)
    end
  end)

  it("may take the best of the drafts then", function()
    local scores = { 0.2, 0.9, 0.9, 0.4 }
    local count = 0
    local run = review({ use = "judge", attempts = 4, otherwise = "accept_best" }, { judge = function()
      count = count + 1
      return { verdict = "retry", score = scores[count] }
    end })
    assert.same({ "finished", "draft 2" }, { run.status, run.output })
  end)

  it("may put its own value in the place of the draft", function()
    local run = review({ use = "judge" }, { judge = says { { verdict = "edit", value = { text = "better" } } } })
    assert.same({ "finished", { text = "better" } }, { run.status, run.output })
  end)

  it("stops the step at once with abort", function()
    local run, seen = review({ use = "judge", attempts = 5, otherwise = "accept_best" }, { judge = says { ABORT } })
    assert.same({ "failed", "rejected", 1 }, { run.status, run.error.code, #seen })
    assert.matches("stopped it: never", run.error.message)
  end)

  it("fails when nobody can be asked and it escalates", function()
    local run, seen = review({ use = "judge", attempts = 5 }, { judge = says { { verdict = "escalate", advice = "ask a person" } } })
    assert.same({ "failed", "rejected", 1 }, { run.status, run.error.code, #seen })
  end)

  it("in a chain is asked in order, until one does not approve", function()
    local asked = {}
    local function named(name, verdict) return function() asked[#asked + 1] = name return verdict end end
    local run = review({ use = { "first", "second", "third" }, attempts = 1, otherwise = "fail" },
      { first = named("first", APPROVE), second = named("second", RETRY), third = named("third", APPROVE) })
    assert.same({ "failed", { "first", "second" } }, { run.status, asked })
    assert.matches("critic 'second'", run.error.message)
    run = review({ use = { "first", "third" } }, { first = named("first", APPROVE), third = named("third", APPROVE) })
    assert.equal("finished", run.status)
  end)

  it("in a panel counts with the others: so many approvals are enough, one abort is too much", function()
    local function panel(quorum, ...)
      local critics = {}
      for i, verdict in ipairs { ... } do critics["c" .. i] = says { verdict } end
      return review({ use = { "c1", "c2", "c3" }, quorum = quorum, attempts = 1, otherwise = "fail" }, critics).status
    end
    assert.equal("finished", panel(2, APPROVE, RETRY, APPROVE))
    assert.equal("failed", panel(3, APPROVE, RETRY, APPROVE))
    assert.equal("failed", panel(1, APPROVE, ABORT, APPROVE))
    assert.equal("finished", panel(1, RETRY, RETRY, APPROVE))
  end)

  it("whose verdict is none fails the step with invalid", function()
    for _, verdict in ipairs { false, 7, "approve", {}, { verdict = "maybe" }, { verdict = "approve", score = "high" }, { verdict = "edit" } } do
      local run = review({ use = "judge" }, { judge = function() return verdict or nil end })
      assert.same({ "failed", "invalid", "write" }, { run.status, run.error.code, run.error.step })
      assert.matches("critic 'judge'", run.error.message)
    end
  end)

  it("that raises fails the step with its error", function()
    local run = review({ use = "judge" }, { judge = function() error { code = "unavailable", message = "asleep" } end })
    assert.same({ "failed", "unavailable", "asleep" }, { run.status, run.error.code, run.error.message })
  end)

  it("leaves each draft its own retries", function()
    local count = 0
    local run = review({ use = "judge", attempts = 2 }, { judge = says { RETRY, APPROVE } }, function(ctx)
      count = count + 1
      if ctx.attempt == 1 then error "the first try of each draft fails" end
      return count
    end)
    assert.same({ "finished", 4 }, { run.status, run.output })
  end)
end)

local gate = require "weir.gate"
local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/run/support.lua"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local closed, undone

local agents = {
  work = function(ctx, given)
    local _ <close> = setmetatable({}, { __close = function() closed[#closed + 1] = given.name end })
    if given.tokens then ctx:metric("tokens", given.tokens) end
    ctx:sleep(given.seconds or 1)
    if given.fails then error { code = given.fails, message = given.name .. " failed" } end
    return given.value or given.name
  end,
  say = function(ctx, given)
    for n = 1, given.items do
      ctx:sleep(given.gap or 1)
      ctx:emit(given.word .. " ")
      if given.stops_at == n then ctx:sleep(1e6) end
    end
  end,
  post = function(ctx, given)
    ctx.workspace:post("note", given.text)
    ctx:sleep(given.seconds or 1)
    return given.text
  end,
  read = function(ctx)
    local note = ctx.workspace:get "note"
    return { note = note and note.value or "none" }
  end,
  echo = function(_, input) return input end,
  undo = function(_, given)
    undone[#undone + 1] = given.name
    return true
  end,
}

local function branch(name, seconds, more)
  local input = { name = name, seconds = seconds }
  for key, value in pairs(more or {}) do input[key] = value end
  return S(name) { agent = "work", input = input }
end

-- A judge that scores outputs as a table says.
local function by(scores)
  return function(_, branches)
    local verdicts = {}
    for index, one in ipairs(branches) do
      local said = scores[one.output] or 0
      verdicts[index] = type(said) == "table" and said or { verdict = "approve", score = said }
    end
    return verdicts
  end
end

local function run(fields, options)
  closed, undone = {}, {}
  options = options or {}
  options.agents = agents
  options.judges = options.judges or { fair = by { a = 0.2, b = 0.9, c = 0.5 } }
  return testing.run(P "spec" { weir.speculate "best" (fields), table.unpack(options.after or {}) }, options)
end

local function decision_of(of)
  for _, event in ipairs(of.events) do
    if event.kind == "decision" then return event end
  end
end

local function statuses(of)
  local found = {}
  for _, event in ipairs(of.events) do
    if event.kind == "step" and event.step:find "^best/" then found[event.name] = event.status end
  end
  return found
end

describe("a speculation", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  it("runs its branches side by side and takes the one that its judge scores best", function()
    local of = run { judge = "fair", branch("a", 3), branch("b", 5), branch("c", 1) }
    assert.same({ "finished", "b", 5 }, { of.status, of.output, of.seconds })
    assert.same({ "b", 0.9 }, { decision_of(of).winner, decision_of(of).branches.b.verdict.score })
  end)

  it("takes the earlier branch on a tie", function()
    local of = run({ judge = "fair", branch("c", 1), branch("b", 2), branch("a", 3) }, { judges = { fair = by { a = 0.5, b = 0.5, c = 0.4 } } })
    assert.equal("b", of.output)
  end)

  it("shows its judge name, output, usage and seconds of each branch, and its own input", function()
    local got
    run({ judge = "fair", input = { goal = "x" }, branch("a", 3, { tokens = 7 }), branch("b", 5) }, { judges = { fair = function(ctx, branches)
      got = { input = ctx.input, branches = branches }
      return { { verdict = "approve" }, { verdict = "approve" } }
    end } })
    assert.same({ goal = "x" }, got.input)
    assert.same({ { name = "a", output = "a", usage = { tokens = 7 }, seconds = 3 }, { name = "b", output = "b", usage = {}, seconds = 5 } }, got.branches)
  end)

  it("joins with the first success, and cancels the others at once", function()
    local of = run { join = "first", branch("a", 50), branch("b", 1, { fails = "denied" }), branch("c", 2) }
    assert.same({ "finished", "c", 2 }, { of.status, of.output, of.seconds })
    assert.same({ a = "cancelled", b = "failed", c = "finished" }, statuses(of))
    assert.same({ "b", "c", "a" }, closed) -- the loser closed what it held before the run went on
  end)

  it("joins with the first that its judge accepts", function()
    local of = run({ join = "first", judge = "fair", branch("a", 1), branch("b", 3), branch("c", 100) },
      { judges = { fair = by { a = { verdict = "retry", score = 0.1 }, b = 0.6 } } })
    assert.same({ "b", 3 }, { of.output, of.seconds })
  end)

  it("joins with k of n, of which the judge picks", function()
    local of = run { join = { at_least = 2 }, judge = "fair", branch("a", 1), branch("b", 100), branch("c", 3) }
    assert.same({ "c", 3 }, { of.output, of.seconds })
    assert.equal("cancelled", statuses(of).b)
    of = run { join = { at_least = 2 }, judge = "fair", branch("a", 1), branch("b", 1, { fails = "limit" }), branch("c", 1, { fails = "limit" }) }
    assert.same({ "failed", "1 of its branches finished, 2 were asked for" }, { of.status, of.error.message:match ": (.*)" })
  end)

  it("joins at a deadline with what has finished by then", function()
    local of = run { join = { deadline = "4s" }, judge = "fair", branch("a", 1), branch("b", 100), branch("c", 3) }
    assert.same({ "c", 4 }, { of.output, of.seconds })
    of = run { join = { deadline = "4s" }, judge = "fair", branch("a", 10), branch("b", 100) }
    assert.same({ "failed", "timeout" }, { of.status, of.error.code })
    assert.matches("no branch finished within 4 s", of.error.message)
  end)

  it("fails with the first failure when no branch finishes, and says which it was", function()
    local of = run { judge = "fair", branch("a", 2, { fails = "limit" }), branch("b", 1, { fails = "denied" }) }
    assert.same({ "failed", "denied" }, { of.status, of.error.code })
    assert.matches("no branch finished; the first to fail was 'b': b failed", of.error.message)
  end)

  it("does not count a branch that is skipped", function()
    local skipped = S "c" { agent = "work", when = "$.input.x == 1", input = { name = "c" } }
    assert.equal("a", run { judge = "fair", branch("a", 1), skipped }.output)
    assert.same({ "failed", "invalid" }, { run({ judge = "fair", skipped }).status, run({ judge = "fair", skipped }).error.code })
  end)

  it("gives each branch its own time limit and retries", function()
    local of = run { judge = "fair", S "a" { agent = "work", input = { name = "a", seconds = 9 }, timeout = 3 }, branch("c", 2) }
    assert.same({ "c", 3 }, { of.output, of.seconds })
    assert.equal("failed", statuses(of).a)
  end)

  it("gives each branch its own budget, and stops one that has used it", function()
    local of = run { judge = "fair", S "a" { budget = { tokens = 10 }, S "one" { agent = "work", input = { name = "a", tokens = 8 } },
      S "two" { agent = "work", input = { name = "a", tokens = 8, seconds = 50 } } }, branch("c", 2, { tokens = 90 }) }
    assert.same({ "c", 2, "failed" }, { of.output, of.seconds, statuses(of).a })
    local failed
    for _, event in ipairs(of.events) do
      if event.kind == "step" and event.step == "best/a" and event.error then failed = event.error end
    end
    assert.same({ "limit", "step 'best/a' has used its budget of 10 tokens" }, { failed.code, failed.message })
  end)

  it("lets a branch of higher priority compute first", function()
    local order, all, come = {}, gate.new(), 0
    agents.turns = function(_, given)
      come = come + 1
      if come == 3 then native.atomic(all.open, all) end -- all are ready at once
      all:wait "the others"
      for _ = 1, 40 do -- the lowest has a turn now and then
        order[#order + 1] = given.name
        native.yield()
      end
      return given.name
    end
    local function step(name, priority) return S(name) { agent = "turns", input = { name = name }, priority = priority } end
    run { judge = "fair", step("a", "low"), step("b", "high"), step("c") }
    local last = {}
    for index, name in ipairs(order) do last[name] = index end
    assert.is_true(last.b < last.c and last.c < last.a, table.concat(order, " "))
  end)

  it("as a whole may have a budget, which the losers use too", function()
    local of = run { join = "first", budget = { tokens = 10 }, branch("a", 9, { tokens = 6 }), branch("b", 9, { tokens = 6 }) }
    assert.same({ "failed", "limit" }, { of.status, of.error.code })
  end)

  it("may have branches of several steps, which are scopes of their own", function()
    local of = run { judge = "fair", input = { x = 1 },
      S "a" { S "one" { agent = "echo", input = { v = "b" } }, S "two" { agent = "echo", input = "$.one.v" } }, branch("c", 1) }
    assert.same({ "finished", "b" }, { of.status, of.output })
    assert.is_nil(of:data "one")
  end)

  it("emits the winner's name as label where the group has a branch", function()
    local fields = { judge = "fair", branch("a", 1), branch("b", 2), branch = { cases = { b = "good" }, default = "bad" } }
    local of = run(fields, { after = { S "bad" { agent = "echo", input = "bad", branch = { default = "end" } }, S "good" { agent = "echo", input = "good" } } })
    assert.same({ "finished", "good" }, { of.status, of.output })
  end)

  describe("in which one is late", function()
    it("begins the next branch after the hedge, and takes whoever is first", function()
      local of = run { hedge = "2s", branch("a", 30), branch("b", 3) }
      assert.same({ "finished", "b", 5 }, { of.status, of.output, of.seconds })
      of = run { hedge = "2s", branch("a", 30), branch("b", 30), branch("c", 1) }
      assert.same({ "c", 5 }, { of.output, of.seconds })
    end)

    it("begins no other when the first is quick, or shows a sign of life", function()
      local of = run { hedge = "2s", branch("a", 1), branch("b", 1) }
      assert.same({ "a", 1, nil }, { of.output, of.seconds, statuses(of).b })
      of = run { hedge = "2s", S "a" { agent = "say", input = { items = 9, word = "x" } }, branch("b", 1) }
      assert.same({ 9, nil }, { of.seconds, statuses(of).b })
      assert.equal("unstarted", decision_of(of).branches.b.status)
    end)

    it("begins the next at once when the one before fails", function()
      local of = run { hedge = "20s", branch("a", 1, { fails = "failed" }), branch("b", 1) }
      assert.same({ "b", 2 }, { of.output, of.seconds })
    end)
  end)

  it("leaves the worse half behind while the branches still stream, and again at twice as many items", function()
    local names = { "w1", "w2", "w3", "w4" }
    local fields = { judge = "fair", halve = 2 }
    for _, name in ipairs(names) do fields[#fields + 1] = S(name) { agent = "say", input = { items = 20, word = name, gap = 1 } } end
    local seen = {}
    local of = run(fields, { judges = { fair = function(_, branches)
      local verdicts, list = {}, {}
      for index, one in ipairs(branches) do
        list[index] = one.name
        verdicts[index] = { verdict = "approve", score = tonumber(one.output:match "w(%d)") / 10 }
      end
      seen[#seen + 1] = table.concat(list, " ")
      return verdicts
    end } })
    assert.same({ "finished", 20 }, { of.status, of.seconds })
    assert.matches("^w4 w4 ", of.output)
    assert.same({ "w1 w2 w3 w4", "w3 w4", "w4" }, seen)
    assert.same({ w1 = "cancelled", w2 = "cancelled", w3 = "cancelled", w4 = "finished" }, statuses(of))
    assert.same({ "dropped", 2 }, { decision_of(of).branches.w1.status, decision_of(of).branches.w1.items })
  end)

  describe("whose judge", function()
    local function with(verdict_of, options)
      options = options or {}
      options.judges = { fair = verdict_of }
      return run({ judge = "fair", branch("a", 1), branch("b", 2) }, options)
    end

    it("accepts none fails with rejected and all the advice", function()
      local of = with(by { a = { verdict = "retry", advice = "too long" }, b = { verdict = "retry", advice = "too short" } })
      assert.same({ "failed", "rejected" }, { of.status, of.error.code })
      assert.matches("a: retry, too long; b: retry, too short", of.error.message)
    end)

    it("edits an output has the edit taken", function()
      assert.equal("B", with(by { a = 0.1, b = { verdict = "edit", score = 1, value = "B" } }).output)
    end)

    it("says abort for one fails the step", function()
      assert.equal("rejected", with(by { a = 1, b = { verdict = "abort" } }).error.code)
    end)

    it("returns no verdicts fails it with invalid and says what was expected", function()
      for _, wrong in ipairs { 7, {}, { { verdict = "approve" } }, { { verdict = "approve" }, { verdict = "fine" } }, { { verdict = "approve" }, { verdict = "approve", score = 3 } } } do
        local of = with(function() return wrong end)
        assert.same({ "failed", "invalid" }, { of.status, of.error.code })
        assert.matches("judge 'fair'", of.error.message)
      end
      assert.equal("invalid", with(function() return nil end).error.code)
    end)

    it("raises fails the step with its error, also while the branches race", function()
      local function asleep() error { code = "unavailable", message = "asleep" } end
      assert.same({ "unavailable", "asleep" }, { with(asleep).error.code, with(asleep).error.message })
      local of = run({ join = "first", judge = "fair", branch("a", 1), branch("b", 9) }, { judges = { fair = asleep } })
      assert.same({ "failed", "unavailable", 1 }, { of.status, of.error.code, of.seconds })
    end)

    it("cannot decide has a person pick, who sees every branch", function()
      local asked
      local of = with(by { a = { verdict = "escalate", advice = "close" }, b = { verdict = "retry" } }, { decisions = { best = function(record)
        asked = record
        return { decision = "approve", answer = { winner = "b" } }
      end } })
      assert.same({ "finished", "b", "a", "close" }, { of.status, of.output, asked.show.a.output, asked.show.a.advice })
      of = with(by { a = { verdict = "escalate" }, b = { verdict = "retry" } }, { decisions = { best = { decision = "reject", comment = "neither" } } })
      assert.same({ "failed", "rejected" }, { of.status, of.error.code })
      assert.matches("neither", of.error.message)
    end)
  end)

  it("has a critic as its judge, asked branch by branch", function()
    local asked = {}
    local of = run({ judge = "picky", branch("a", 1), branch("b", 1) }, { critics = { picky = function(_, draft)
      asked[#asked + 1] = draft
      return draft == "a" and { verdict = "retry", score = 0.9 } or { verdict = "approve", score = 0.2 }
    end } })
    assert.same({ "finished", "b", { "a", "b" } }, { of.status, of.output, asked })
  end)

  it("has a judge as the critic of a step, given one branch", function()
    local of = testing.run(P "spec" { S "a" { agent = "echo", input = "x", critic = { use = "fair", attempts = 1, otherwise = "fail" } } },
      { agents = agents, judges = { fair = function(_, branches) return { { verdict = #branches == 1 and "approve" or "abort", score = 1 } } end } })
    assert.same({ "finished", "x" }, { of.status, of.output })
  end)

  it("commits the winner's documents only", function()
    local fields = { judge = "fair", S "a" { agent = "post", input = { text = "a" } }, S "b" { agent = "post", input = { text = "b" } } }
    assert.same({ note = "b" }, run(fields, { after = { S "read" { agent = "read" } } }).output)
  end)

  it("keeps no document when no branch wins", function()
    local fields = { judge = "fair", optional = true, S "a" { agent = "post", input = { text = "a" } } }
    local of = run(fields, { judges = { fair = by { a = { verdict = "retry" } } }, after = { S "read" { agent = "read" } } })
    assert.same({ note = "none" }, of.output)
  end)

  it("counts what the losers used", function()
    local of = run { join = "first", budget = nil, branch("a", 1, { tokens = 5 }), branch("b", 9, { tokens = 7 }) }
    assert.same({ tokens = 5 }, decision_of(of).branches.a.usage)
    assert.same({ tokens = 7 }, decision_of(of).branches.b.usage)
  end)

  it("undoes what a loser had finished, the latest first, and keeps what the winner did", function()
    local function two(name, last)
      return S(name) { S(name .. "1") { agent = "work", input = { name = name .. "1" }, undo = { agent = "undo", input = { name = name .. "1" } } },
        S(name .. "2") { agent = "work", input = { name = name .. "2" }, undo = { agent = "undo", input = { name = name .. "2" } } },
        S(name .. "3") { agent = "work", input = { name = name, seconds = last } } }
    end
    local of = run { join = "first", two("a", 1), two("b", 50) }
    assert.same({ "finished", "a", { "b2", "b1" } }, { of.status, of.output, undone })
  end)

  it("may be said in a flow", function()
    closed = {}
    local of = testing.run(weir.flow "f" { function(run_of)
      return run_of:speculate "best" { join = "first", weir.step "a" { agent = "work", input = { name = "a", seconds = 9 } },
        weir.step "b" { function(step) step:sleep(1) return "by hand" end } }
    end }, { agents = agents })
    assert.same({ "finished", "by hand", 1 }, { of.status, of.output, of.seconds })
  end)

  it("may be said in YAML", function()
    closed = {}
    local of = testing.run_text("spec.yaml", [[
name: spec
groups:
  - name: best
    speculate:
      join: {deadline: 5s}
      judge: longest
      branches:
        - {name: a, agent: work, input: {name: short}}
        - {name: b, agent: work, input: {name: "a longer text"}}
]], { agents = agents })
    assert.same({ "finished", "a longer text" }, { of.status, of.output })
  end)

  it("without a judge takes the first success, and is refused where it would have to compare", function()
    assert.equal("a", run({ branch("a", 1), branch("b", 2) }).output)
    for _, fields in ipairs { { join = "best" }, { halve = 2 } } do
      fields[1] = branch("a", 1)
      local ok, message = pcall(run, fields)
      assert.is_false(ok)
      assert.matches("step 'best': judge is missing", message)
    end
  end)
end)

describe("a speculation in the journal", function()
  local world
  after_each(function() if world then world:close() end world = nil end)

  local function race()
    return P "spec" { weir.speculate "best" { join = "first", branch("a", 50, { tokens = 3 }), branch("b", 2) },
      S "last" { agent = "echo", input = "$.best" } }
  end

  it("says who won, what each used and took, and that the losers were stopped", function()
    closed = {}
    world = support.world(agents)
    local made = world:begin(race())
    world:settle(made.id)
    local decided, loser
    for _, entry in ipairs(world:ending(made.id).entries) do
      if entry[1] == "choice" and entry[2] == "best/(decided)" then decided = entry[3] end
      if entry[1] == "step" and entry[2] == "best/a" then loser = entry end
    end
    assert.same({ "b", 2, { tokens = 3 } }, { decided.winner, decided.branches.b.seconds, decided.branches.a.usage })
    assert.same({ "cancelled", { { what = "sleep", count = 1 } }, 3 }, { loser[4], loser[9].stopped, loser[9].usage.tokens })
    assert.is_true(decided.stopped_s >= 0 and decided.stopped_s < 0.1)
  end)

  it("has one winner wherever the process ends, and nobody is asked twice", function()
    for writes = 1, 14 do
      closed, undone = {}, {}
      world = support.world(agents, { seed = writes })
      world:life(writes)
      local definition = world:define(race())
      local made = world:begin(definition)
      world:life()
      local id = made and made.id or (assert(world.store:runs { limit = 1 })[1] or {}).id
      if id then
        local row = world:settle(id)
        assert.equal("finished", row.status, "after write " .. writes)
        assert.equal("b", world:ending(id).value)
      end
      world:close()
    end
    world = nil
  end)

  it("waits durably for the person who picks, and asks no branch again", function()
    closed = {}
    world = support.world({ work = agents.work, echo = agents.echo })
    world.here.registry:put { kind = "judge", name = "fair", api = 1, options = { type = "object" }, judge = by { a = { verdict = "escalate" },
      b = { verdict = "retry" } } }
    local made = world:begin(P "spec" { weir.speculate "best" { judge = "fair", branch("a", 1), branch("b", 1) } })
    local row = world:settle(made.id, support.actor { best = { decision = "approve", answer = { winner = "b" } } })
    assert.equal("finished", row.status)
    assert.equal("b", world:ending(made.id).value)
    assert.same({ ["best/a"] = 1, ["best/b"] = 1 }, world.done)
    assert.equal(1, #assert(world.store:scan("decisions", {}))) -- a person was asked once
    assert.same({}, world:left())
  end)
end)

describe("a speculation under every order and crash that is drawn", function()
  it("has one winner, whose document is the one that is there", function()
    for seed = 1, 60 do
      closed, undone = {}, {}
      local fields = { S "a" { agent = "post", input = { text = "a", seconds = seed % 3 + 1 } }, S "b" { agent = "post", input = { text = "b", seconds = 2 } },
        S "c" { S "made" { agent = "work", input = { name = "made" }, undo = { agent = "undo", input = { name = "made" } } },
          S "noted" { agent = "post", input = { text = "c", seconds = seed % 2 + 1 } } } }
      local kinds = { { join = "first" }, { judge = "fair" }, { join = { at_least = 2 }, judge = "fair" }, { hedge = 1 }, { judge = "fair", join = { deadline = 60 } } }
      for name, value in pairs(kinds[seed % #kinds + 1]) do fields[name] = value end
      local of = testing.run(P "spec" { weir.speculate "best" (fields), S "read" { agent = "read" },
        output = { won = "$.best", note = "$.read.note" } }, { agents = agents, seed = seed, crashes = 3, judges = { fair = by { a = 0.2, b = 0.9, c = 0.5 } } })
      assert.equal("finished", of.status, ("seed %d: %s"):format(seed, of.error and of.error.message))
      assert.equal(of.output.won, of.output.note, "seed " .. seed)
    end
  end)
end)

describe("a group of which not all steps count", function()
  it("takes back what those that do not had done inside", function()
    closed, undone = {}, {}
    local of = testing.run(P "spec" { G "any" { join = "any", branch("quick", 3),
      S "slow" { S "made" { agent = "work", input = { name = "made" }, undo = { agent = "undo", input = { name = "made" } } }, branch("rest", 50) } } },
      { agents = agents })
    assert.same({ "finished", { "made" } }, { of.status, undone })
  end)
end)

local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step
local log

local agents = {
  ok = function(_, input) return input.value or true end,
  after = function(ctx, input)
    local _ <close> = setmetatable({}, { __close = function() log[#log + 1] = input.name end })
    ctx:sleep(input.seconds)
    if input.fails then error({ code = input.fails, message = input.name .. " failed" }) end
    return input.name
  end,
  fail = function() error("it broke", 0) end,
  label = function(ctx, input)
    ctx.branch = input.label
    return ctx.visit
  end,
  echo = function(_, input) return input end,
}

local function after(name, seconds, fails)
  return S(name) { agent = "after", input = { name = name, seconds = seconds, fails = fails } }
end

local function run(name, fields, input)
  log = {}
  return testing.run(P(name)(fields), { agents = agents, input = input })
end

local function statuses(of)
  local found = {}
  for _, event in ipairs(of.events) do
    if event.kind == "step" then found[event.name] = event.status end
  end
  return found
end

describe("a group", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  describe("that joins all", function()
    it("waits for every step, also when one has failed, and fails with the one that failed first", function()
      local of = run("all", { G "g" { after("slow", 5), after("late", 3, "limit"), after("early", 1, "rejected") } })
      assert.same({ "failed", "rejected", "g/early", 5 }, { of.status, of.error.code, of.error.step, of.seconds })
      assert.same({ slow = "finished", late = "failed", early = "failed" }, statuses(of))
    end)

    it("cancels the others at once with fail_fast", function()
      local of = run("fast", { G "g" { fail_fast = true, after("slow", 5), after("early", 1, "failed") } })
      assert.same({ "failed", "g/early", 1 }, { of.status, of.error.step, of.seconds })
      assert.same({ slow = "cancelled", early = "failed" }, statuses(of))
      assert.same({ "early", "slow" }, log) -- what was cancelled closed what it held
    end)

    it("does not mind the failure of an optional step, which leaves no entry", function()
      local of = run("optional", { G "g" { fail_fast = true, after("good", 2),
        S "bad" { agent = "fail", optional = true } }, S "show" { agent = "echo", input = { bad = "$.bad?", good = "$.good" } } })
      assert.same({ "finished", { good = "good" } }, { of.status, of.output })
    end)
  end)

  describe("that joins any", function()
    it("takes the first success and cancels the rest", function()
      local of = run("any", { G "g" { join = "any", after("bad", 1, "failed"), after("good", 2), after("slow", 100) } })
      assert.same({ "finished", { good = "good" }, 2 }, { of.status, of.output, of.seconds })
      assert.equal("cancelled", statuses(of).slow)
    end)

    it("fails with the first failure when there is no success", function()
      local of = run("none", { G "g" { join = "any", after("b", 2, "limit"), after("a", 1, "rejected") } })
      assert.same({ "failed", "rejected", "g/a" }, { of.status, of.error.code, of.error.step })
    end)
  end)

  describe("that joins the first", function()
    it("takes whoever ends first, a success", function()
      local of = run("first", { G "g" { join = "first", after("good", 1), after("slow", 100) } })
      assert.same({ "finished", { good = "good" }, 1 }, { of.status, of.output, of.seconds })
    end)

    it("or a failure", function()
      local of = run("first", { G "g" { join = "first", after("bad", 1, "failed"), after("slow", 100) } })
      assert.same({ "failed", "g/bad", 1 }, { of.status, of.error.step, of.seconds })
    end)
  end)

  describe("that joins at least some", function()
    it("goes on when so many have succeeded", function()
      local of = run("least", { G "g" { join = { at_least = 2 }, after("a", 1), after("b", 2, "failed"), after("c", 3), after("d", 100) } })
      assert.same({ "finished", { a = "a", c = "c" }, 3 }, { of.status, of.output, of.seconds })
    end)

    it("fails when fewer have", function()
      local of = run("fewer", { G "g" { join = { at_least = 2 }, after("a", 1), after("b", 2, "limit"), after("c", 3, "failed") } })
      assert.same({ "failed", "limit", "g/b" }, { of.status, of.error.code, of.error.step })
    end)
  end)

  describe("with a deadline", function()
    it("takes what has finished by then and cancels the rest", function()
      local of = run("deadline", { G "g" { join = { deadline = "3s" }, after("a", 1), after("b", 2, "failed"), after("c", 100) } })
      assert.same({ "finished", { a = "a" }, 3 }, { of.status, of.output, of.seconds })
      assert.equal("cancelled", statuses(of).c)
    end)

    it("does not wait for it when all have ended", function()
      local of = run("early", { G "g" { join = { deadline = "100s" }, after("a", 1), after("b", 2) } })
      assert.same({ { a = "a", b = "b" }, 2 }, { of.output, of.seconds })
    end)
  end)

  it("counts a step that is skipped as done, and its name gives nothing", function()
    local of = run("when", { input = { n = "integer" },
      G "g" { S "a" { agent = "ok", when = "$.input.n > 3" }, S "b" { agent = "ok", when = "$.input.n <= 3" } },
      S "show" { agent = "echo", input = { a = "$.a?", b = "$.b?" } } }, { n = 1 })
    assert.same({ "finished", { b = true } }, { of.status, of.output })
    assert.same({ a = "skipped", b = "finished", show = "finished" }, statuses(of))
  end)

  describe("with a branch", function()
    local function branching(label, branch, more)
      local fields = { S "choose" { agent = "label", input = { label = label }, branch = branch }, S "one" { agent = "ok", input = { value = 1 } },
        S "two" { agent = "ok", input = { value = 2 } } }
      for _, extra in ipairs(more or {}) do fields[#fields + 1] = extra end
      return run("branch", fields)
    end

    local function visited(of)
      local names = {}
      for _, event in ipairs(of.events) do
        if event.kind == "step" and event.status == "running" then names[#names + 1] = event.name end
      end
      return table.concat(names, " ")
    end

    it("goes where the case of the label says", function()
      assert.equal("choose two", visited(branching("x", { cases = { x = "two", y = "one" } })))
      assert.equal("choose one two", visited(branching("y", { cases = { x = "two", y = "one" } })))
    end)

    it("goes to the default for a label of no case, and without a label", function()
      assert.equal("choose two", visited(branching("z", { cases = { y = "one" }, default = "two" })))
      assert.equal("choose two", visited(branching(nil, { cases = { y = "one" }, default = "two" })))
    end)

    it("goes on in order without a label and a default", function()
      assert.equal("choose one two", visited(branching(nil, { cases = { y = "two" } })))
    end)

    it("goes to the group of the label's name when there are no cases", function()
      assert.equal("choose two", visited(branching("two", { max_visits = 3 })))
    end)

    it("ends the run at the label or case end", function()
      assert.equal("choose", visited(branching("end", { max_visits = 3 })))
      assert.equal("choose", visited(branching("x", { cases = { x = "end" } })))
      assert.equal("choose", visited(branching("z", { cases = { x = "one" }, default = "end" })))
    end)

    it("fails with invalid when the label leads nowhere", function()
      for _, branch in ipairs { { cases = { x = "two" } }, { max_visits = 2 } } do
        local of = branching("nowhere", branch)
        assert.same({ "failed", "invalid" }, { of.status, of.error.code })
        assert.matches("branch label 'nowhere'", of.error.message)
      end
    end)

    it("goes round as often as max_visits allows, then fails with limit", function()
      local of = run("loop", { S "again" { agent = "label", input = { label = "again" }, branch = { max_visits = 4 } } })
      assert.same({ "failed", "limit" }, { of.status, of.error.code })
      assert.equal(4, of:attempts "again")
      assert.matches("more than 4 times", of.error.message)
    end)

    it("tells each visit its number, and the latest one counts", function()
      local of = run("count", {
        S "step" { agent = "label", input = { label = "next" } },
        S "next" { agent = "echo", input = "$.step", branch_label = "$.next", branch = { cases = { ["1"] = "step", ["2"] = "step" }, default = "end" } },
      })
      assert.same({ "finished", 3 }, { of.status, of.output })
    end)

    it("goes to `failed` when the group fails, which finds the error", function()
      local of = run("failed", { S "bad" { agent = "fail", branch = { failed = "rescue" } }, S "skipped" { agent = "ok" },
        S "rescue" { agent = "echo", input = "$.error" } })
      assert.equal("finished", of.status)
      assert.same({ code = "failed", step = "bad" }, { code = of.output.code, step = of.output.step })
      assert.equal("it broke", of.output.message)
      assert.equal(0, of:attempts "skipped")
    end)

    it("takes the label of the step that `on` names, and refuses two labels without it", function()
      local function two(on)
        return run("two", { G "g" { S "a" { agent = "label", input = { label = "x" } }, S "b" { agent = "label", input = { label = "y" } },
          branch = { on = on, cases = { x = "end", y = "last" }, max_visits = 2 } }, S "middle" { agent = "ok" }, S "last" { agent = "ok" } })
      end
      assert.equal(0, two("a"):attempts "last")
      local by_b = two "b"
      assert.same({ 0, 1 }, { by_b:attempts "middle", by_b:attempts "last" })
      assert.same({ "failed", "invalid" }, { two().status, two().error.code })
    end)
  end)

  describe("in a body", function()
    it("sees what is around it; only its output leaves it", function()
      local of = run("body", { input = { n = "integer" },
        S "outer" { agent = "ok", input = { value = "$.input.n" } },
        S "box" { S "inner" { agent = "ok", input = { value = "$.outer" } }, S "last" { agent = "echo", input = { n = "$.inner", from = "$.input.n" } } },
        S "show" { agent = "echo", input = { box = "$.box" } } }, { n = 7 })
      assert.same({ box = { n = 7, from = 7 } }, of.output)
      assert.is_nil(of:data "inner")
      assert.is_nil(of:data "last")
    end)

    it("names the inner step that failed", function()
      local of = run("body", { S "box" { S "inner" { agent = "fail" } } })
      assert.same({ "failed", "box/inner" }, { of.status, of.error.step })
    end)
  end)

  it("gives the run's output as `output` says, else the last group's", function()
    local of = run("output", { S "a" { agent = "ok" }, S "b" { agent = "echo", input = { x = 1 } }, output = { seen = "$.a", all = "${b}" } })
    assert.same({ seen = true, all = '{"x":1}' }, of.output)
    of = run("none", { G "g" { S "a" { agent = "ok" }, S "b" { agent = "fail", optional = true } } })
    assert.same({ a = true }, of.output)
  end)

  it("gives the same result for every order in which its steps may run", function()
    local expected
    for seed = 1, 50 do
      log = {}
      local of = testing.run(P "orders" { G "g" { after("a", 1), after("b", 1), after("c", 1, "failed"), after("d", 1) } }, { agents = agents, seed = seed })
      local outcome = ("%s %s %s %g"):format(of.status, of.error.code, of.error.step, of.seconds)
      expected = expected or outcome
      assert.equal(expected, outcome)
    end
  end)
end)

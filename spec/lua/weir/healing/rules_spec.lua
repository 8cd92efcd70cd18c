local decide = require "weir.healing.decide"
local limits = require "weir.healing.limits"
local remedies = require "weir.healing.remedies"
local rules = require "weir.healing.rules"
local tree = require "weir.healing.tree"

local function incident(fields)
  local one = { kind = "step", at = 100, code = "failed", message = "it broke", fingerprint = "f", family = "g", pipeline = "p", run = "r",
    step = "s", name = "s", seen = {}, before = {} }
  for name, value in pairs(fields or {}) do one[name] = value end
  return one
end

local function supervisor(on, options)
  return { name = "x", module = { on = on }, options = options or {}, limits = limits.of(options) }
end

local NONE = { of_step = {}, of_pipeline = {} }

describe("rules", function()
  it("choose the first that fits: fields equal or one of a list, a text in the message", function()
    local list = { { when = { code = { "timeout", "unavailable" } }, remedy = "retry" }, { when = { message = "column" }, remedy = "quarantine" },
      { when = { step = "s", code = "failed" }, remedy = "pause" }, { remedy = "escalate" } }
    local function chosen(fields) return (rules.choose(list, incident(fields))).remedy end
    assert.equal("retry", chosen { code = "unavailable" })
    assert.equal("quarantine", chosen { message = "line 3: 4 columns" })
    assert.equal("pause", chosen())
    assert.equal("escalate", chosen { step = "t" })
    assert.is_nil(rules.choose({}, incident()))
  end)

  it("wait until so many of a family have come in a while, this one among them", function()
    local rule = { { count = 3, within = 10, remedy = "retry" } }
    assert.is_nil(rules.choose(rule, incident { seen = { 95 } }))
    assert.is_nil(rules.choose(rule, incident { seen = { 80, 90, 95 } })) -- 90 is as old as the window
    assert.is_truthy(rules.choose(rule, incident { seen = { 91, 95 } }))
    assert.equal(4, rules.count(incident { seen = { 1, 2, 3 } }))
  end)
end)

describe("limits of remedies", function()
  it("let a step have three and then call a person, whatever a supervisor says", function()
    local retry = supervisor(function() return { remedy = "retry" } end)
    for tried = 0, 5 do
      local of_step = {}
      for index = 1, tried do of_step[index] = index end
      local decision = decide.decide(incident(), { retry }, { of_step = of_step, of_pipeline = of_step })
      assert.equal(tried < 3 and "remedied" or "escalated", decision.state)
    end
    local eager = supervisor(function() return { remedy = "retry" } end, { attempts = 1000 })
    local many = {}
    for index = 1, 20 do many[index] = index end
    assert.equal("escalated", decide.decide(incident(), { eager }, { of_step = many, of_pipeline = {} }).state)
  end)

  it("hold a cool-down between two, and a cap for the pipeline within a time", function()
    local given = limits.of { cooldown = 30, cap = 2, within = 60 }
    assert.is_nil(limits.refusal(given, { of_step = { 70 }, of_pipeline = { 70 } }, 100))
    assert.is_truthy(limits.refusal(given, { of_step = { 71 }, of_pipeline = {} }, 100):find "29 s ago")
    assert.is_truthy(limits.refusal(given, { of_step = {}, of_pipeline = { 41, 90 } }, 100):find "2 remedies in 60 s")
    assert.is_nil(limits.refusal(given, { of_step = {}, of_pipeline = { 40, 90 } }, 100))
  end)

  it("know no cool-down where none is set, also when the clock was set back", function()
    assert.is_nil(limits.refusal(limits.of {}, { of_step = { 3700 }, of_pipeline = {} }, 100))
    local refusal = limits.refusal(limits.of { cooldown = 30 }, { of_step = { 3700 }, of_pipeline = {} }, 100)
    assert.equal("the last remedy was 0 s ago, and there are 30 s between two", refusal)
  end)

  it("allow none for what a supervisor or a remedy has done", function()
    local retry = supervisor(function() error "it is asked" end)
    for _, fields in ipairs { { kind = "supervisor" }, { kind = "remedy" }, { caused_by = "i_1" } } do
      local decision, faults = decide.decide(incident(fields), { retry }, NONE)
      assert.same({ "escalated", 0, false }, { decision.state, #faults, decision.remedy.args.ask })
    end
  end)
end)

describe("deciding", function()
  it("asks supervisors in order, and the first that has an answer decides", function()
    local silent = supervisor(function() return nil end)
    local asked = 0
    local pauses, never = supervisor(function() return { remedy = "pause", reason = "why" } end), supervisor(function() asked = asked + 1 end)
    assert.same({ state = "remedied", by = "x", remedy = { name = "pause", args = {} }, reason = "why" },
      (decide.decide(incident(), { silent, pauses, never }, NONE)))
    assert.equal(0, asked)
    assert.same({ state = "passed" }, (decide.decide(incident(), { silent }, NONE)))
    assert.same({ state = "passed" }, (decide.decide(incident(), {}, NONE)))
  end)

  it("takes a supervisor that raises, or gives what is no remedy, for a fault of its own, and asks the next", function()
    local bad = { function() error "boom" end, function() return { remedy = "reboot" } end, function() return { remedy = "parameter" } end,
      function() return { remedy = "retry", args = { delay = "soon" } } end, function() return { remedy = "retry", args = { dealy = 1 } } end,
      function() return 7 end, function() return { remedy = {} } end }
    for _, on in ipairs(bad) do
      local decision, faults = decide.decide(incident(), { supervisor(on) }, NONE)
      assert.same({ "escalated", 1, "x" }, { decision.state, #faults, faults[1].by })
      decision, faults = decide.decide(incident(), { supervisor(on), supervisor(function() return { remedy = "retry" } end) }, NONE)
      assert.same({ "remedied", 1 }, { decision.state, #faults })
    end
  end)

  it("reads durations of remedies, and names those there are when one is not known", function()
    local remedy = remedies.read({ remedy = "retry", args = { delay = "2m" } }, function() return true end)
    assert.equal(120, remedy.args.delay)
    local _, refusal = remedies.read({ remedy = "x" }, function() return true end)
    assert.is_truthy(refusal:find("breaker, concurrency, escalate", 1, true))
  end)
end)

describe("a supervision tree", function()
  it("restarts who failed, with all after it, or everybody", function()
    local children = { "a", "b", "c" }
    assert.same({ "b" }, tree.restarted("one_for_one", children, "b"))
    assert.same({ "b", "c" }, tree.restarted("rest_for_one", children, "b"))
    assert.same(children, tree.restarted("one_for_all", children, "b"))
  end)

  it("gives up over more restarts than its intensity within its period", function()
    assert.is_false(tree.is_too_many({ 1, 2, 50 }, 60, 3, 30))
    assert.is_true(tree.is_too_many({ 31, 40, 50 }, 60, 3, 30))
    assert.is_false(tree.is_too_many({ 30, 40, 50 }, 60, 3, 30)) -- 30 is as old as the period
  end)
end)

local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local agents = {
  ok = function() return 1 end,
  spend = function(ctx, input)
    ctx:metric("tokens", input.tokens or 0, { model = "m" })
    ctx:metric("usd", input.usd or 0)
    return input.tokens
  end,
  slow = function(ctx, input) ctx:sleep(input.seconds) return 1 end,
}

local function run(budget, steps)
  local fields = { budget = budget }
  for _, step in ipairs(steps) do fields[#fields + 1] = step end
  return testing.run(P "budget" (fields), { agents = agents })
end

describe("a budget", function()
  it("of steps lets so many begin, and the next one fails the run with limit", function()
    local steps = { S "a" { agent = "ok" }, S "b" { agent = "ok" }, S "c" { agent = "ok" } }
    assert.equal("finished", run({ steps = 3 }, steps).status)
    local of = run({ steps = 2 }, { S "a" { agent = "ok" }, S "b" { agent = "ok" }, S "c" { agent = "ok" } })
    assert.same({ "failed", "limit", 0 }, { of.status, of.error.code, of:attempts "c" })
    assert.matches("budget of 2 steps", of.error.message)
  end)

  it("counts the steps of bodies, maps and groups", function()
    local of = run({ steps = 4 }, { weir.map "m" { over = weir.list { 1, 2, 3, 4 }, concurrency = 1, S "one" { agent = "ok" } } })
    assert.same({ "failed", "limit", 3 }, { of.status, of.error.code, of:attempts "one" })
    of = run({ steps = 3 }, { G "g" { S "a" { agent = "ok" }, S "b" { agent = "ok" }, S "c" { agent = "ok" } } })
    assert.equal("finished", of.status)
  end)

  it("of tokens and money stops the run before the next step", function()
    local function spending(budget)
      return run(budget, { S "a" { agent = "spend", input = { tokens = 60, usd = 0.6 } }, S "b" { agent = "spend", input = { tokens = 60, usd = 0.6 } },
        S "c" { agent = "ok" } })
    end
    assert.equal("finished", spending({ tokens = 121 }).status)
    for _, budget in ipairs { { tokens = 100 }, { usd = 1 } } do
      local of = spending(budget)
      assert.same({ "failed", "limit", 1, 0 }, { of.status, of.error.code, of:attempts "b", of:attempts "c" })
    end
  end)

  it("of seconds cancels what runs when they are over", function()
    local of = run({ seconds = 5 }, { S "a" { agent = "slow", input = { seconds = 3 } }, S "b" { agent = "slow", input = { seconds = 3 } } })
    assert.same({ "failed", "limit", 5 }, { of.status, of.error.code, of.seconds })
    assert.equal("finished", run({ seconds = 7 }, { S "a" { agent = "slow", input = { seconds = 6 } } }).status)
  end)

  it("reports what steps measure", function()
    local of = run(nil, { S "a" { agent = "spend", input = { tokens = 7 } } })
    local found
    for _, event in ipairs(of.events) do
      if event.kind == "metric" and event.name == "tokens" then found = event end
    end
    assert.same({ "a", 7, { model = "m" } }, { found.step, found.value, found.labels })
  end)
end)

local clock = require "weir.port.clock"
local native = require "weir.native.scheduler"
local retry = require "weir.run.retry"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

-- Runs a step that fails so many times, with these codes in turn; gives the run and when each attempt began.
local function attempt(fields, failures, codes)
  local began = {}
  local run = testing.run(P "retry" { S "flaky" { agent = "flaky", retry = fields } }, { agents = {
    flaky = function(ctx)
      began[#began + 1] = ctx:now()
      assert(ctx.attempt == #began)
      if #began <= failures then error { code = codes and codes[#began] or "failed", message = "attempt " .. #began } end
      return #began
    end,
  } })
  return run, began
end

local function gaps(began)
  local list = {}
  for i = 2, #began do list[i - 1] = began[i] - began[i - 1] end
  return list
end

describe("retry", function()
  it("tries as often as attempts says, the first one included, and fails with the last error", function()
    for attempts = 1, 5 do
      local run, began = attempt({ attempts = attempts, backoff = 1 }, 100)
      assert.equal(attempts, #began)
      assert.equal(attempts, run:attempts "flaky")
      assert.same({ "failed", "attempt " .. attempts }, { run.status, run.error.message })
    end
  end)

  it("does not try again after a success", function()
    local run, began = attempt({ attempts = 10, backoff = 1 }, 2)
    assert.same({ "finished", 3, 3 }, { run.status, run.output, #began })
  end)

  it("never waits without a backoff, and never longer than max with its jitter, also after thousands of attempts", function()
    for _, number in ipairs { 1, 2, 1024, 1026, 100000 } do
      assert.equal(0, retry.delay(retry.policy { attempts = 200000, backoff = 0 }, number))
      local delay = retry.delay(retry.policy { attempts = 200000, backoff = 1, max = 10, jitter = 0.5 }, number)
      assert.is_true(delay >= 0.5 and delay <= 15)
    end
  end)

  for _, durability in ipairs { "step", "none" } do
    it(("waits no longer when the clock is set back meanwhile, with durability '%s'"):format(durability), function()
      local wall_ms, began = clock.wall_ms, {}
      local ok, run = pcall(testing.run, P "retry" { durability = durability, S "flaky" { agent = "flaky", retry = { attempts = 2, jitter = 0 } } },
        { agents = { flaky = function()
          began[#began + 1] = clock.now()
          if #began == 2 then return 1 end
          native.spawn_root(function()
            clock.sleep(0.5)
            clock.wall_ms = function() return wall_ms() - 3600000 end
          end)
          error "once"
        end } })
      clock.wall_ms = wall_ms
      assert(ok, run)
      assert.equal("finished", run.status)
      assert.near(1, began[2] - began[1], 0.01)
    end)
  end

  it("does not happen without the field", function()
    local run, began = attempt(nil, 1)
    assert.same({ "failed", 1 }, { run.status, #began })
  end)

  it("waits backoff, then factor times as long each time, at most max, exactly without jitter", function()
    local _, began = attempt({ attempts = 7, backoff = "500ms", factor = 3, max = "10s", jitter = 0 }, 100)
    local waited = gaps(began)
    for i, expected in ipairs { 0.5, 1.5, 4.5, 10, 10, 10 } do assert.near(expected, waited[i], 0.0011) end
  end)

  it("spreads its delays by no more than the jitter, and does spread them", function()
    local low, high = math.huge, 0
    for _ = 1, 20 do
      local _, began = attempt({ attempts = 5, backoff = 100, factor = 1, max = 1000, jitter = 0.2 }, 100)
      for _, waited in ipairs(gaps(began)) do
        low, high = math.min(low, waited), math.max(high, waited)
        assert.is_true(waited >= 80 - 0.01 and waited <= 120 + 0.01, waited)
      end
    end
    assert.is_true(high - low > 20, high - low)
  end)

  it("happens for the codes of `on` only, and never for those of `not_on`", function()
    local function count(fields, codes) return #(select(2, attempt(fields, 100, codes))) end
    assert.equal(2, count({ attempts = 9, backoff = 0, on = { "unavailable" } }, { "unavailable", "limit" }))
    assert.equal(1, count({ attempts = 9, backoff = 0, on = { "unavailable" } }, { "failed" }))
    assert.equal(3, count({ attempts = 9, backoff = 0, not_on = { "limit" } }, { "failed", "unavailable", "limit" }))
    assert.equal(2, count({ attempts = 2, backoff = 0, on = { "invalid" } }, { "invalid", "invalid" }))
  end)

  it("does not happen for what would end the same way again", function()
    for _, code in ipairs { "invalid", "denied", "rejected", "conflict" } do
      local run, began = attempt({ attempts = 5, backoff = 0 }, 100, { code, code, code, code, code })
      assert.same({ 1, code }, { #began, run.error.code })
    end
  end)

  it("gives each attempt its whole timeout", function()
    local run = testing.run(P "timeouts" { S "slow" { agent = "slow", timeout = 3, retry = { attempts = 3, backoff = 1, factor = 1, jitter = 0 } } },
      { agents = { slow = function(ctx) ctx:sleep(ctx.attempt < 3 and 100 or 2.5) return ctx.attempt end } })
    assert.same({ "finished", 3 }, { run.status, run.output })
    assert.near(3 + 1 + 3 + 1 + 2.5, run.seconds, 0.01)
  end)

  it("keeps the step's memory over attempts", function()
    local run = testing.run(P "memory" { S "x" { agent = "x", retry = { attempts = 4, backoff = 0 } } }, { agents = { x = function(ctx)
      ctx.memory.count = (ctx.memory.count or 0) + 1
      if ctx.attempt < 4 then error "again" end
      return ctx.memory.count
    end } })
    assert.equal(4, run.output)
  end)

  it("takes its delay from a policy and the number that failed", function()
    local policy = retry.policy { attempts = 3, backoff = 2, factor = 4, max = 20, jitter = 0 }
    assert.same({ 2, 8, 20 }, { retry.delay(policy, 1), retry.delay(policy, 2), retry.delay(policy, 3) })
    assert.is_true(retry.again(policy, 2, "failed"))
    assert.is_false(retry.again(policy, 3, "failed"))
    assert.is_false(retry.again(retry.policy(nil), 1, "failed"))
  end)
end)

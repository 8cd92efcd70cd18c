local decisions = require "weir.model.decisions"
local keeper = require "weir.model.keeper"
local port = require "weir.port.store"
local replay = require "weir.model.replay"
local support = dofile "spec/lua/weir/model/support.lua"

local DAY = 86400000
local NOON = 20000 * DAY + DAY // 2

local function open(store)
  local kept = keeper.new(store)
  return decisions.new(store, nil, { keeper = kept, draw = support.draws(4) }), kept
end

local function choice(at_ms, fields)
  local one = { at_ms = at_ms, policy = "ordered", chosen = "a", candidates = { { name = "a", running = 0 } }, of = {}, left = {}, outcomes = {} }
  for name, value in pairs(fields or {}) do one[name] = value end
  return one
end

local function count(log, since_ms)
  local found = 0
  for _ in log:each(since_ms or 0) do found = found + 1 end
  return found
end

describe("the log of choices", function()
  it("keeps what was seen, chosen and what came of it", function()
    local store <close> = assert(port.open ":memory:")
    local log, kept = open(store)
    local one = choice(NOON, { label = "draft", outcomes = { { model = "a", ok = true, seconds = 1.5, usd = 0.01 } } })
    log:note(one)
    assert.is_true(kept:close())
    local again = open(store)
    assert.same(one, again:each(0)())
    assert.equal(0, count(again, NOON + 1))
  end)

  it("keeps 400 of a day, each with the same chance, and says how many there were", function()
    local store <close> = assert(port.open ":memory:")
    local log, kept = open(store)
    for n = 1, 2000 do log:note(choice(NOON + n)) end
    kept:close()
    assert.equal(400, count(log))
    assert.equal(2000, log:count(NOON))
    local early = 0
    for one in log:each(0) do early = early + (one.at_ms <= NOON + 1000 and 1 or 0) end
    assert.is_true(early > 150 and early < 250, early)
  end)

  it("goes on counting a day after a restart", function()
    local store <close> = assert(port.open ":memory:")
    for _ = 1, 3 do
      local log, kept = open(store)
      for n = 1, 10 do log:note(choice(NOON + n)) end
      kept:close()
    end
    assert.equal(30, count((open(store))))
  end)

  it("lets a day go after 30 days", function()
    local store <close> = assert(port.open ":memory:")
    for _, days in ipairs { 0, 5, 29 } do
      local log, kept = open(store)
      log:note(choice(NOON + days * DAY))
      kept:close()
    end
    assert.equal(3, count((open(store))))
    local log, kept = open(store)
    log:note(choice(NOON + 31 * DAY))
    kept:close()
    assert.equal(3, count(log))
    assert.equal(3, log:count(0))
  end)

  it("is silent without a store", function()
    local log = open(nil)
    log:note(choice(NOON))
    assert.equal(0, count(log))
    assert.equal(0, log:count(0))
  end)
end)

describe("a replay", function()
  local function known(fields)
    local metrics = { calls = 10, scores = 0, classes = {}, idle_s = 1, recent = { calls = 5, scores = 0 } }
    for name, value in pairs(fields) do metrics[name] = value end
    return metrics
  end

  -- Ten choices of `dear`, ten of `cheap`, each with what it cost; one model was never asked.
  local function log_of(store, extra)
    local log, kept = open(store)
    local candidates = { { name = "dear", price = { input = 10, output = 30 }, estimate = { input_tokens = 1000, output_tokens = 100 }, running = 0 },
      { name = "cheap", price = { input = 1, output = 3 }, estimate = { input_tokens = 1000, output_tokens = 100 }, running = 0 }, extra }
    local of = { dear = known { score = 0.9 }, cheap = known { score = 0.6 }, new = { calls = 0, scores = 0, classes = {}, recent = { calls = 0, scores = 0 } } }
    for n = 1, 10 do
      log:note(choice(NOON + 2 * n, { chosen = "dear", candidates = candidates, of = of, outcomes = { { model = "dear", ok = true, seconds = 2, usd = 0.013 } } }))
      log:note(choice(NOON + 2 * n + 1, { chosen = "cheap", candidates = candidates, of = of,
        outcomes = { { model = "cheap", ok = n > 2, class = "server", seconds = 1, usd = 0.0013 }, { model = "dear", ok = true, seconds = 2, usd = 0.013 } } }))
    end
    kept:close()
    return log
  end

  it("takes what happened where the policy agrees, and the model's mean where it does not", function()
    local store <close> = assert(port.open ":memory:")
    local done = replay.replay(log_of(store), 0, support.policy "cheapest", support.draws(1))
    assert.equal(20, done.choices)
    assert.equal(10, done.same)
    assert.equal(0, done.unknown)
    assert.same({ cheap = 10, dear = 10 }, done.was.by_model)
    assert.same({ cheap = 20 }, done.would.by_model)
    assert.is_true(math.abs(done.was.usd - 0.143) < 1e-9, done.was.usd)
    assert.is_true(math.abs(done.would.usd - 0.026) < 1e-9, done.would.usd)
    assert.is_true(math.abs(done.was.success - 0.9) < 1e-9)
    assert.is_true(math.abs(done.would.success - 0.8) < 1e-9)
    assert.is_true(math.abs(done.would.seconds - 1) < 1e-9)
    assert.is_true(math.abs(done.would.score - 0.6) < 1e-9)
  end)

  it("leaves out a model of which nothing is known", function()
    local store <close> = assert(port.open ":memory:")
    local free = { name = "new", price = { input = 0, output = 0 }, estimate = { input_tokens = 1, output_tokens = 1 }, running = 0 }
    local done = replay.replay(log_of(store, free), 0, support.policy "cheapest", support.draws(1))
    assert.equal(0, done.choices)
    assert.equal(20, done.unknown)
    assert.is_nil(done.would.usd)
  end)

  it("lets a bandit stay with what it would have chosen itself", function()
    local store <close> = assert(port.open ":memory:")
    local done = replay.replay(log_of(store), 0, support.policy("bandit", { spread = 0, cost = 0 }), support.draws(1))
    assert.same({ dear = 20 }, done.would.by_model)
  end)
end)

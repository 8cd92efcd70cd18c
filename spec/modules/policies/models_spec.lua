--- Policies that choose among models, one choice at a time; over many calls: spec/lua/weir/model/choosing_spec.lua.

local support = dofile "spec/lua/weir/model/support.lua"

local function known(fields)
  local metrics = { calls = 10, scores = 0, classes = {}, success = 1, idle_s = 0, recent = { calls = 5, success = 1, scores = 0 } }
  for name, value in pairs(fields) do
    if name == "recent" then for key, one in pairs(value) do metrics.recent[key] = one end else metrics[name] = value end
  end
  return metrics
end

local UNKNOWN = { calls = 0, scores = 0, classes = {}, recent = { calls = 0, scores = 0 } }

-- Asks a policy: models are lists of {name, candidate's fields, metrics}.
local function pick(policy, models, metrics, options)
  local candidates, of = {}, {}
  for index, model in ipairs(models) do
    local candidate = { name = model[1], module = "m", state = "closed", ready_in = 0, running = 0 }
    for name, value in pairs(model[2] or {}) do candidate[name] = value end
    candidates[index], of[model[1]] = candidate, model[3] or UNKNOWN
  end
  local seen = { of = of, left = {}, draw = support.draws(1), now = 0 }
  for name, value in pairs(metrics or {}) do seen[name] = value end
  local one = support.policy(policy, options)
  local names, reason = one.module.pick(candidates, seen, {}, one.state)
  assert.equal(#models, #names)
  assert.equal("string", type(reason))
  return table.concat(names, " "), reason
end

describe("policy ordered", function()
  it("names models in the order of the settings, or of its option", function()
    assert.equal("a b c", (pick("ordered", { { "a" }, { "b" }, { "c" } })))
    local names, reason = pick("ordered", { { "a" }, { "b" }, { "c" } }, nil, { order = { "c", "x", "a" } })
    assert.equal("c a b", names)
    assert.equal("'c' is the first that is ready", reason)
  end)
end)

describe("policy weighted", function()
  it("draws each model as often as its weight says", function()
    local draw, first = support.draws(5), { a = 0, b = 0, c = 0 }
    for _ = 1, 4000 do
      local names = pick("weighted", { { "a", { weight = 3 } }, { "b" }, { "c", { weight = 0 } } }, { draw = draw })
      first[names:sub(1, 1)] = first[names:sub(1, 1)] + 1
      assert.equal("c", names:sub(-1))
    end
    assert.is_true(math.abs(first.a / 4000 - 0.75) < 0.03, first.a)
    assert.equal(0, first.c)
  end)

  it("takes weights of its options over those of the settings", function()
    assert.equal("b a", (pick("weighted", { { "a", { weight = 3 } }, { "b" } }, nil, { weights = { a = 0 } })))
  end)
end)

describe("policy fastest", function()
  local quick, slow = known { recent = { seconds = 1 } }, known { recent = { seconds = 3 } }

  it("names the model whose latest calls took least", function()
    local names, reason = pick("fastest", { { "slow", nil, slow }, { "quick", nil, quick } }, nil, { explore = 0 })
    assert.equal("quick slow", names)
    assert.equal("'quick' is the fastest, about 1.00 s", reason)
  end)

  it("counts what failures cost, and first words where that is asked", function()
    local failing = known { recent = { seconds = 1, success = 0.2 }, first_token_p50 = 0.1 }
    local models = { { "failing", nil, failing }, { "slow", nil, known { recent = { seconds = 3 }, first_token_p50 = 2 } } }
    assert.equal("slow failing", (pick("fastest", models, nil, { explore = 0 })))
    assert.equal("failing slow", (pick("fastest", models, nil, { explore = 0, by = "first_token" })))
  end)

  it("tries one that is hardly known first", function()
    local names, reason = pick("fastest", { { "quick", nil, quick }, { "new" } }, nil, { explore = 0 })
    assert.equal("new quick", names)
    assert.equal("'new' is hardly known yet", reason)
  end)

  it("stays with the one that was chosen last unless another is clearly quicker", function()
    local models = { { "a", nil, known { recent = { seconds = 1.1 } } }, { "b", nil, quick } }
    assert.equal("a b", (pick("fastest", models, { last = { name = "a", ages = {} } }, { explore = 0 })))
    assert.equal("b a", (pick("fastest", models, { last = { name = "a", ages = {} } }, { explore = 0, margin = 0.05 })))
  end)

  it("tries another one now and then", function()
    local draw, others = support.draws(9), 0
    for _ = 1, 1000 do
      if pick("fastest", { { "quick", nil, quick }, { "slow", nil, slow } }, { draw = draw }, { explore = 0.1 }) == "slow quick" then others = others + 1 end
    end
    assert.is_true(others > 60 and others < 140, others)
  end)
end)

describe("policy cheapest", function()
  local estimate = { input_tokens = 1000, output_tokens = 100 }
  local function priced(input, output) return { price = { input = input, output = output }, estimate = estimate } end

  it("names the model that this call costs least at", function()
    local names, reason = pick("cheapest", { { "dear", priced(10, 30) }, { "cheap", priced(1, 2) } })
    assert.equal("cheap dear", names)
    assert.equal("'cheap' costs least, about 0.001200 usd", reason)
  end)

  it("goes by what calls have cost where no price is known, and takes an unknown cost for no low one", function()
    local models = { { "unknown" }, { "dear", priced(10, 30) }, { "measured", nil, known { usd_per_call = 0.001 } } }
    assert.equal("measured dear unknown", (pick("cheapest", models)))
  end)

  it("puts a model last that mostly fails, or is not good enough", function()
    local failing, bad = known { recent = { success = 0.3 } }, known { recent = { score = 0.2 } }
    assert.equal("dear cheap", (pick("cheapest", { { "cheap", priced(1, 2), failing }, { "dear", priced(10, 30) } })))
    assert.equal("dear cheap", (pick("cheapest", { { "cheap", priced(1, 2), bad }, { "dear", priced(10, 30) } }, nil, { min_score = 0.5 })))
  end)
end)

describe("policy least_busy", function()
  it("names the model with the fewest calls for its size", function()
    local models = { { "small", { running = 1, limits = { concurrency = 2 } } }, { "large", { running = 3, limits = { concurrency = 10 } } } }
    local names, reason = pick("least_busy", models)
    assert.equal("large small", names)
    assert.equal("'large' has the fewest calls for its size, 3", reason)
    assert.equal("b a", (pick("least_busy", { { "a", nil, known { recent = { seconds = 2 } } }, { "b", nil, known { recent = { seconds = 1 } } } })))
  end)
end)

describe("policy deadline", function()
  local best = known { total_p95 = 20, recent = { score = 0.9 } }
  local quick = known { total_p95 = 2, recent = { score = 0.6 } }

  it("names the best model that is done in time", function()
    local models = { { "quick", nil, quick }, { "best", nil, best } }
    assert.equal("best quick", (pick("deadline", models)))
    assert.equal("best quick", (pick("deadline", models, { left = { seconds = 60 } })))
    local names, reason = pick("deadline", models, { left = { seconds = 20 } })
    assert.equal("quick best", names)
    assert.equal("'quick' is the best that fits (2.0 s of 20.0 s)", reason)
  end)

  it("names the fastest when none is sure to be", function()
    local names, reason = pick("deadline", { { "best", nil, best }, { "quick", nil, quick } }, { left = { seconds = 1 } })
    assert.equal("quick best", names)
    assert.equal("'quick' is the fastest, and none is sure to fit (2.0 s of 1.0 s)", reason)
  end)

  it("keeps to the money that is left", function()
    local dear = known { total_p95 = 1, usd_per_call = 0.5, recent = { score = 0.95 } }
    assert.equal("quick dear", (pick("deadline", { { "dear", nil, dear }, { "quick", nil, quick } }, { left = { usd = 0.1 } })))
  end)

  it("assumes something of a model that was never called", function()
    assert.equal("quick new", (pick("deadline", { { "new" }, { "quick", nil, quick } }, { left = { seconds = 5 } })))
    assert.equal("new", (pick("deadline", { { "new" } }, { left = { seconds = 5 } })))
  end)
end)

describe("policy bandit", function()
  local function scored(score, idle, fields)
    local metrics = known { score = score, scores = 10, idle_s = idle or 0, recent = { calls = 10, score = score, scores = 10, seconds = 1 } }
    for name, value in pairs(fields or {}) do metrics[name] = value end
    return metrics
  end

  it("says what it expects of each model", function()
    local names, reason = pick("bandit", { { "poor", nil, scored(0.4) }, { "good", nil, scored(0.9) } }, nil, { spread = 0 })
    assert.equal("good poor", names)
    assert.matches("^'good' is the first: reward 0%.92; next 'poor' 0%.5%d$", reason)
  end)

  it("stays with a model while no other is better by the margin", function()
    local models = { { "a", nil, scored(0.80) }, { "b", nil, scored(0.82) } }
    local last = { name = "a", since_s = 1000, ages = { 1000 } }
    assert.equal("a b", (pick("bandit", models, { last = last }, { spread = 0 })))
    assert.equal("b a", (pick("bandit", models, { last = last }, { spread = 0, margin = 0 })))
  end)

  it("changes twice in a minute at most, but for a model that is not ready any more", function()
    local models = { { "a", nil, scored(0.2) }, { "b", nil, scored(0.9) } }
    local function last(...) return { last = { name = "a", since_s = 5, ages = { ... } } } end
    assert.equal("b a", (pick("bandit", models, last(5), { spread = 0 })))
    assert.equal("a b", (pick("bandit", models, last(5, 40), { spread = 0 })))
    assert.equal("b a", (pick("bandit", models, last(5, 61), { spread = 0 })))
    local names, reason = pick("bandit", { { "b", nil, scored(0.9) } }, last(5, 40), { spread = 0 })
    assert.equal("b", names)
    assert.equal("'b' takes over: reward 0.92", reason)
  end)

  it("tries a model that it has never asked, and again one that it has not asked for long", function()
    local last = { last = { name = "a", since_s = 1000, ages = { 1000 } } }
    local function tries(metrics)
      local draw, count = support.draws(2), 0
      for _ = 1, 400 do
        last.draw = draw
        if pick("bandit", { { "a", nil, scored(0.8) }, { "b", nil, metrics } }, last) == "b a" then count = count + 1 end
      end
      return count
    end
    assert.is_true(tries(UNKNOWN) > 100)
    local soon, later = tries(scored(0.4, 60)), tries(scored(0.4, 86400))
    assert.is_true(soon <= 2 and later > 20, soon .. " " .. later)
  end)

  it("takes slow and dear models for worth less", function()
    local slow = scored(0.8)
    slow.recent.seconds = 10
    assert.equal("b a", (pick("bandit", { { "a", nil, slow }, { "b", nil, scored(0.8) } }, nil, { spread = 0 })))
    assert.equal("b a", (pick("bandit", { { "a", nil, scored(0.8, 0, { usd_per_call = 0.1 }) }, { "b", nil, scored(0.8, 0, { usd_per_call = 0.01 }) } }, nil,
      { spread = 0 })))
  end)

  it("goes by success alone where nothing else is known", function()
    assert.equal("b a", (pick("bandit", { { "a", nil, known { success = 0.5, recent = { success = 0.5 } } }, { "b", nil, known {} } }, nil, { spread = 0 })))
  end)
end)

local native = require "weir.native.scheduler"
local reaction = require "weir.model.reaction"
local route = require "weir.model.route"
local support = dofile "spec/lua/weir/model/support.lua"
local task = require "weir.task"

local answers, refuses, models, choice_of = support.answers, support.refuses, support.models, support.choice

local function virtual(title, body)
  it(title, function() support.virtually(body) end)
end

local function tried(decision)
  local list = {}
  for index, one in ipairs(decision.attempts) do list[index] = one.model .. (one.class and " " .. one.class or "") end
  return list
end

describe("a call of a model", function()
  virtual("is made at the first model of the policy, and says why", function()
    local choice = choice_of { "a", "b" }
    local response, message, code, detail, decision = route.call(choice, {}, (models { a = answers("hello", 2) }))
    assert.equal("hello", response.message.content)
    assert.same({}, { message, code, detail })
    assert.same({ "hello" }, choice.texts)
    assert.equal(decision, choice.decisions[1])
    assert.equal("a", decision.model)
    assert.equal("ordered", decision.policy)
    assert.equal("'a' is the first that is ready", decision.reason)
    assert.same({ "a" }, tried(decision))
    assert.same({ name = "b", state = "closed", ready_in = 0, running = 0 }, decision.candidates[2])
    local metrics = choice.router.statistics:of "a"
    assert.equal(1, metrics.calls)
    assert.is_true(math.abs(metrics.total_p50 - 2) < 0.11)
  end)

  local FAIL = { auth = "denied", invalid_request = "invalid", redirect = "denied", refusal = "rejected" }
  for class, code in pairs(FAIL) do
    virtual("is refused at once when " .. class .. " stands against it", function()
      local choice = choice_of { "a", "b" }
      local call, calls = models { a = refuses(class, { code = code }), b = answers "b" }
      local response, message, given, detail = route.call(choice, {}, call)
      assert.is_nil(response)
      assert.equal(class .. " it is", message)
      assert.equal(code, given)
      assert.equal(class, detail.class)
      assert.same({ a = 1 }, calls)
      assert.is_false(choice.decisions[1].ok)
    end)
  end

  for _, class in ipairs { "not_found", "context_length", "too_large" } do
    virtual("falls back to the next model at once on " .. class, function()
      local choice = choice_of { "a", "b" }
      local call, calls = models { a = refuses(class), b = answers "b" }
      local began = task.now()
      assert.equal("b", route.call(choice, {}, call).message.content)
      assert.same({ a = 1, b = 1 }, calls)
      assert.equal(began, task.now())
    end)
  end

  for _, class in ipairs { "rate_limit", "overloaded", "server", "timeout", "connection", "protocol", "cut" } do
    virtual("is made again at the same model, three times, then falls back on " .. class, function()
      local choice = choice_of { "a", "b" }
      local call, calls = models { a = refuses(class), b = answers "b" }
      assert.equal("b", route.call(choice, {}, call).message.content)
      assert.same({ a = 3, b = 1 }, calls)
      assert.is_true(choice.decisions[1].waited_s <= 0.5 + 1)
      assert.same({ "a " .. class, "a " .. class, "a " .. class, "b" }, tried(choice.decisions[1]))
    end)
  end

  virtual("is made again at the same model only, on a conflict", function()
    local choice = choice_of { "a", "b" }
    local call, calls = models { a = refuses("conflict", { code = "conflict" }), b = answers "b" }
    local response, message, code = route.call(choice, {}, call)
    assert.is_nil(response)
    assert.equal("conflict", code)
    assert.equal("conflict it is (after 3 attempts at 'a')", message)
    assert.same({ a = 3 }, calls)
  end)

  virtual("falls back at once when the refusal says that a retry cannot help", function()
    local choice = choice_of { "a", "b" }
    local call, calls = models { a = refuses("connection", { at_once = true }), b = answers "b" }
    assert.is_truthy(route.call(choice, {}, call))
    assert.same({ a = 1, b = 1 }, calls)
  end)

  virtual("does by class what the options say", function()
    local choice = choice_of({ "a", "b" }, { options = { on = { auth = "fall_back", server = "fail" } } })
    assert.is_truthy(route.call(choice, {}, (models { a = refuses "auth", b = answers "b" })))
    local call, calls = models { a = refuses "server", b = answers "b" }
    assert.is_nil((route.call(choice, {}, call)))
    assert.same({ a = 1 }, calls)
  end)

  virtual("waits as long as the server asked, and not shorter", function()
    local choice = choice_of { "a" }
    local began = task.now()
    local response = route.call(choice, {}, (models { a = { refuses("rate_limit", { retry_after = 7 }), answers "a" } }))
    assert.equal("a", response.message.content)
    local took = task.now() - began
    assert.is_true(took >= 7 and took <= 8, took)
  end)

  virtual("asks another model meanwhile when the pause is long, and leaves the first alone", function()
    local choice = choice_of { "a", "b" }
    local call, calls = models { a = refuses("rate_limit", { retry_after = 60 }), b = answers "b" }
    for _ = 1, 3 do assert.equal("b", route.call(choice, {}, call).message.content) end
    assert.same({ a = 1, b = 3 }, calls)
    assert.equal("cooling", choice.decisions[2].candidates[1].state)
    assert.is_true(choice.decisions[2].candidates[1].ready_in > 59)
  end)

  virtual("tells the latest failure when all models have failed", function()
    local choice = choice_of({ "a", "b" }, { options = { attempts = 2 } })
    local response, message, code, detail = route.call(choice, {}, (models { a = refuses "server", b = refuses("overloaded", { status = 529 }) }))
    assert.is_nil(response)
    assert.equal("overloaded it is (after 4 attempts at 'a', 'b')", message)
    assert.equal("unavailable", code)
    assert.equal(529, detail.status)
    assert.equal(4, #detail.attempts)
  end)

  virtual("does not begin when no time, money or tokens are left, and not again once they are used up", function()
    for _, case in ipairs { { "seconds", "timeout" }, { "usd", "limit" }, { "tokens", "limit" } } do
      local call, calls = models { a = answers "a" }
      local _, _, code = route.call(choice_of({ "a" }, { left = function() return { [case[1]] = 0 } end }), {}, call)
      assert.equal(case[2], code)
      assert.same({}, calls)
    end
    local ends = task.now() + 5
    local choice = choice_of({ "a", "b" }, { left = function() return { seconds = ends - task.now() } end })
    local requests = {}
    local function slow(request)
      requests[#requests + 1] = request.timeout
      return refuses("server", nil, 3)(request)
    end
    local _, _, code = route.call(choice, { timeout = 60 }, (models { a = slow, b = slow }))
    assert.equal("timeout", code)
    assert.equal(5, requests[1])
    assert.equal(2, #requests)
  end)

  virtual("is refused when there is no model, and when none can do what is asked", function()
    local _, _, code = route.call(choice_of {}, {}, (models {}))
    assert.equal("not_found", code)
    local plain = { name = "a", module = "m", capabilities = { tools = false, schema = false }, limits = { context = 1000 },
      estimate = { input_tokens = 900 } }
    local tools = { tools = { { name = "t" } } }
    local _, message, given = route.call(choice_of { plain }, tools, (models {}))
    assert.same({ "none of 1 models offers tools", "invalid" }, { message, given })
    _, message, given = route.call(choice_of { plain }, { max_tokens = 200 }, (models {}))
    assert.same({ "none of 1 models takes so much text", "limit" }, { message, given })
    local choice = choice_of { plain, "b" }
    assert.is_truthy(route.call(choice, tools, (models { b = answers "b" })))
    assert.equal("unfit", choice.decisions[1].candidates[1].state)
  end)

  virtual("counts an agent's error as a failure and passes a cancellation on", function()
    local choice = choice_of { "a", "b" }
    local _, message, code = route.call(choice, {}, (models { a = function() error("no such field", 0) end, b = answers "b" }))
    assert.same({ "no such field", "failed" }, { message, code })
    local ok, err = task.within({ timeout = 1 }, function() route.call(choice, {}, (models { a = answers("a", 10) })) end)
    assert.is_false(ok)
    assert.equal("timeout", err.code)
    choice.router.admission:look(choice.candidates[1])
    assert.equal(0, choice.candidates[1].running)
    assert.equal(1, choice.router.statistics:of("a").classes.cancelled)
  end)

  virtual("fails by name when a policy raises, or chooses nobody", function()
    local function with(pick)
      return pcall(route.call, choice_of({ "a" }, { policy = { name = "mine", module = { pick = pick } } }), {}, (models {}))
    end
    local ok, err = with(function() error("oh", 0) end)
    assert.is_false(ok)
    assert.equal("policy 'mine': oh", err.message)
    ok, err = with(function() return { "nobody" } end)
    assert.is_false(ok)
    assert.equal("policy 'mine' has chosen none of 1 models that are ready", err.message)
    ok, err = with(function() return "a" end)
    assert.is_false(ok)
    assert.equal("policy 'mine': pick has to return a list of names, got string", err.message)
  end)

  virtual("can be looked at before it is made, and then counts for nothing", function()
    local choice = choice_of { "a", { name = "b", module = "m" } }
    choice.router.admission:leave(assert(choice.router.admission:enter(choice.candidates[2])), { ok = false, class = "rate_limit", retry_after = 9 })
    local names, reason = route.preview(choice, {})
    assert.same({ "a" }, names)
    assert.equal("'a' is the first that is ready", reason)
    assert.equal("cooling", choice.candidates[2].state)
    assert.equal(0, choice.router.statistics:of("a").calls)
    assert.is_nil(choice.router.statistics:last())
    assert.same({ {}, "no model is ready" }, { route.preview(choice_of {}, {}) })
  end)

  it("knows what to do about every class", function()
    local known = { retry = true, fall_back = true, fail = true, resume = true }
    for _, class in ipairs(reaction.classes) do
      for _, action in ipairs(reaction.actions { class = class }) do assert.is_true(known[action]) end
    end
    assert.same({ "fail" }, reaction.actions {})
    assert.same({ "fail" }, reaction.actions { class = "something else", at_once = true })
    assert.same({ "fall_back" }, reaction.actions { class = "server", at_once = true })
    assert.same({ "retry" }, reaction.actions({ class = "auth" }, { auth = "retry" }))
  end)

  it("spreads its pauses, within their bounds", function()
    local options, draw = { backoff = 1, backoff_max = 8 }, support.draws(3)
    for attempt = 1, 20 do
      local delay = reaction.delay(attempt, nil, options, draw)
      assert.is_true(delay >= 0 and delay <= math.min(8, 2 ^ (attempt - 1)))
      local asked = reaction.delay(attempt, 5, options, draw)
      assert.is_true(asked >= 5 and asked <= 5.5)
    end
  end)
end)

describe("what was given out", function()
  local function breaks_after(text, fields)
    return function(_, emit)
      emit { text = text }
      local detail = { class = "cut", text = text }
      for name, value in pairs(fields or {}) do detail[name] = value end
      return nil, "the stream was cut", "unavailable", detail
    end
  end

  virtual("is not given out again: the call fails after the first word", function()
    for _, class in ipairs { "cut", "server", "timeout", "protocol", "rate_limit" } do
      local choice = choice_of { "a", "b" }
      local call, calls = models { a = breaks_after("ebb ", { class = class }), b = answers "flow" }
      local response, _, _, detail = route.call(choice, {}, call)
      assert.is_nil(response)
      assert.equal(class, detail.class)
      assert.same({ a = 1 }, calls)
      assert.same({ "ebb " }, choice.texts)
    end
  end)

  virtual("is gone on with when the one that ran the call says how, at the same model or another one", function()
    local choice = choice_of({ "a", "b" }, { options = { attempts = 2 } })
    local seen = {}
    local function b(request, emit)
      seen[#seen + 1] = request.prefix
      return answers "flow"(request, emit)
    end
    local call = models { a = breaks_after("ebb ", { resume = { prefix = "ebb " } }), b = b }
    -- The second attempt at `a` says more, and is cut as well.
    assert.is_truthy(route.call(choice, {}, call))
    assert.same({ "ebb ", "ebb ", "flow" }, choice.texts)
    assert.same({ "ebb " }, seen)
  end)
end)

describe("a model that fails again and again", function()
  virtual("is left alone until its breaker lets a probe pass", function()
    local choice = choice_of { "a", "b" }
    local is_ill = true
    local call, calls = models { a = function(...) return (is_ill and refuses "server" or answers "a")(...) end, b = answers "b" }
    for _ = 1, 4 do assert.equal("b", route.call(choice, {}, call).message.content) end
    assert.equal(10, calls.a)
    assert.equal("b", route.call(choice, {}, call).message.content)
    assert.equal(10, calls.a)
    assert.equal("open", choice.decisions[5].candidates[1].state)
    task.sleep(61)
    assert.equal("b", route.call(choice, {}, call).message.content) -- the probe fails
    assert.equal(11, calls.a)
    is_ill = false
    task.sleep(121)
    for _ = 1, 3 do assert.equal("a", route.call(choice, {}, call).message.content) end
    assert.equal("half_open", choice.decisions[8].candidates[1].state)
    assert.equal("a", route.call(choice, {}, call).message.content)
    assert.equal("closed", choice.decisions[10].candidates[1].state)
  end)
end)

describe("when no model is ready", function()
  local function cooling(options)
    local choice = choice_of({ { name = "a", module = "m" }, { name = "b", module = "m" } }, { options = options })
    for index, seconds in ipairs { 300, 40 } do
      local pass = assert(choice.router.admission:enter(choice.candidates[index]))
      choice.router.admission:leave(pass, { ok = false, class = "rate_limit", retry_after = seconds })
    end
    return choice
  end

  virtual("the first to recover is waited for", function()
    local choice, began = cooling(), task.now()
    local call, calls = models { a = answers "a", b = answers "b" }
    assert.equal("b", route.call(choice, {}, call).message.content)
    assert.same({ b = 1 }, calls)
    assert.is_true(math.abs(task.now() - began - 40) < 0.01)
    assert.is_true(math.abs(choice.decisions[1].waited_s - 40) < 0.01)
  end)

  virtual("the call fails where that takes more time than is left, or is not wanted", function()
    for _, case in ipairs { { left = function() return { seconds = 30 } end }, { options = { all_cooling = "fail" } } } do
      local choice, began = cooling(case.options), task.now()
      choice.left = case.left
      local _, message, code, detail = route.call(choice, {}, (models {}))
      assert.equal("no model is ready; 'b' is the first, in 40.0 s (cooling)", message)
      assert.equal("unavailable", code)
      assert.is_true(math.abs(detail.retry_after - 40) < 0.01)
      assert.equal(began, task.now())
    end
  end)

  virtual("the last resort is asked, whatever stands against it", function()
    local choice, began = cooling { all_cooling = "last_resort", last_resort = "a" }, task.now()
    assert.equal("a", route.call(choice, {}, (models { a = answers "a" })).message.content)
    assert.equal(began, task.now())
    assert.equal("last resort: no model is ready", choice.decisions[1].reason)
    local _, _, code = route.call(cooling { all_cooling = "last_resort", last_resort = "a" }, {}, (models { a = refuses "not_found" }))
    assert.equal("unavailable", code)
    _, _, code = route.call(cooling { all_cooling = "last_resort", last_resort = "c" }, {}, (models {}))
    assert.equal("unavailable", code)
  end)

  virtual("because its places are taken, a place is waited for in any case", function()
    local choice = choice_of({ { name = "a", module = "m", limits = { concurrency = 1 } } }, { options = { all_cooling = "fail" } })
    local call = models { a = answers("a", 2.5) }
    local began, ends = task.now(), {}
    local tasks = {}
    for index = 1, 3 do
      tasks[index] = task.spawn(function()
        assert(route.call(choice, {}, call))
        ends[#ends + 1] = task.now() - began
      end)
    end
    for _, one in ipairs(tasks) do assert(one:join()) end
    table.sort(ends)
    for index, expected in ipairs { 2.5, 5, 7.5 } do assert.is_true(math.abs(ends[index] - expected) < 0.01, ends[index]) end
  end)

  virtual("rates are kept: calls beyond them are made when they may be", function()
    local choice = choice_of { { name = "a", module = "m", limits = { requests_per_minute = 2 } } }
    local call, began = models { a = answers "a" }, task.now()
    for _ = 1, 4 do assert(route.call(choice, {}, call)) end
    assert.is_true(math.abs(task.now() - began - 60) < 0.01, task.now() - began)
  end)
end)

describe("hedging", function()
  local function slow(text, seconds, ended)
    return function(_, emit)
      local done <close> = setmetatable({}, { __close = function() ended[text] = native.cancelled() and "cancelled" or "done" end })
      assert(done)
      emit { usage = { input_tokens = 10 } }
      task.sleep(seconds)
      emit { text = text }
      task.sleep(1)
      return { message = { content = text }, finish = "stop", usage = { input_tokens = 10, output_tokens = 5 } }
    end
  end

  virtual("makes a second call when the first word is late; the first to speak wins, the other is cancelled", function()
    local ended, began = {}, task.now()
    local choice = choice_of({ "a", "b" }, { options = { hedge = 2 } })
    local response = route.call(choice, {}, (models { a = slow("ebb", 60, ended), b = slow("flow", 1, ended) }))
    assert.equal("flow", response.message.content)
    assert.same({ "flow" }, choice.texts)
    assert.same({ ebb = "cancelled", flow = "done" }, ended)
    assert.is_true(math.abs(task.now() - began - 4) < 0.01)
    local decision = choice.decisions[1]
    assert.equal("b", decision.model)
    assert.same({ model = "b", after_s = 2, won = true, wasted = { input_tokens = 10 } }, decision.hedged)
    assert.same({ "a cancelled", "b" }, tried(decision))
    choice.router.admission:look(choice.candidates[1])
    assert.equal(0, choice.candidates[1].running)
    assert.is_true(choice.router.statistics:of("a").first_token_p50 > 2.8) -- it took at least three seconds
    assert.is_nil(choice.router.statistics:of("a").success)
  end)

  virtual("makes no second call when the first word comes in time", function()
    local ended = {}
    local choice = choice_of({ "a", "b" }, { options = { hedge = 2 } })
    local call, calls = models { a = slow("ebb", 1.9, ended), b = slow("flow", 0, ended) }
    assert.equal("ebb", route.call(choice, {}, call).message.content)
    assert.same({ a = 1 }, calls)
    assert.is_nil(choice.decisions[1].hedged)
  end)

  virtual("lets the first win when it is quicker after all, and records what the second has used", function()
    local ended = {}
    local choice = choice_of({ { name = "a", module = "m" }, { name = "b", module = "m", price = { input = 1e6, output = 1e6 } } },
      { options = { hedge = 2 }, usd = function(_, usage) return usage and usage.input_tokens end })
    assert.equal("ebb", route.call(choice, {}, (models { a = slow("ebb", 3, ended), b = slow("flow", 5, ended) })).message.content)
    assert.same({ ebb = "done", flow = "cancelled" }, ended)
    assert.same({ model = "b", after_s = 2, won = false, wasted = { input_tokens = 10 }, wasted_usd = 10 }, choice.decisions[1].hedged)
  end)

  virtual("goes on with the other when one fails, and as usual when both do", function()
    local ended = {}
    local choice = choice_of({ "a", "b" }, { options = { hedge = 1, attempts = 1 } })
    assert.equal("flow", route.call(choice, {}, (models { a = refuses("server", nil, 2), b = slow("flow", 3, ended) })).message.content)
    local _, _, _, detail = route.call(choice, {}, (models { a = refuses("server", nil, 2), b = refuses("timeout", nil, 2) }))
    assert.equal("server", detail.class)
    assert.same({ "a server", "b timeout" }, tried(choice.decisions[2]))
    assert.equal(2, #detail.attempts)
  end)

  virtual("waits for the 95th percentile of the model's own first words, once that is known", function()
    local ended = {}
    local choice = choice_of({ "a", "b" }, { options = { hedge = "p95" } })
    local call, calls = models { a = slow("ebb", 1, ended), b = slow("flow", 1, ended) }
    for _ = 1, 6 do route.call(choice, {}, call) end
    assert.is_nil(calls.b)
    local late = models { a = slow("ebb", 30, ended), b = slow("flow", 1, ended) }
    assert.equal("flow", route.call(choice, {}, late).message.content)
    assert.is_true(math.abs(choice.decisions[7].hedged.after_s - 1) < 0.06)
  end)

  virtual("makes no second call of a model that is not ready", function()
    local ended = {}
    local choice = choice_of({ "a", { name = "b", module = "m" } }, { options = { hedge = 1 } })
    choice.router.admission:leave(assert(choice.router.admission:enter(choice.candidates[2])), { ok = false, class = "rate_limit", retry_after = 99 })
    assert.equal("ebb", route.call(choice, {}, (models { a = slow("ebb", 5, ended), b = slow("flow", 0, ended) })).message.content)
    assert.is_nil(ended.flow)
  end)

  virtual("ends both when the call is cancelled", function()
    local ended = {}
    local choice = choice_of({ "a", "b" }, { options = { hedge = 1 } })
    local ok = task.within({ timeout = 3 }, function() route.call(choice, {}, (models { a = slow("ebb", 60, ended), b = slow("flow", 60, ended) })) end)
    assert.is_false(ok)
    assert.same({ ebb = "cancelled", flow = "cancelled" }, ended)
    for _, candidate in ipairs(choice.candidates) do
      choice.router.admission:look(candidate)
      assert.equal(0, candidate.running)
    end
  end)
end)

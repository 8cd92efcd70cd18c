local clock = require "weir.port.clock"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local function says(text, usage)
  return function(ctx, request)
    ctx:emit { text = text }
    return { message = { role = "assistant", content = text }, finish = "stop", usage = usage or { input_tokens = 10, output_tokens = #request.messages } }
  end
end

local function run(agent, models, options)
  options = options or {}
  options.agents, options.models = { worker = agent }, models
  local fields = options.fields or {}
  fields.agent = "worker"
  local pipeline = { budget = options.budget, S "work" (fields) }
  return testing.run(P "asking" (pipeline), options)
end

describe("ctx:chat", function()
  it("gives what the model answered, with its usage", function()
    local of = run(function(ctx)
      local answer = ctx:chat { prompt = "hello" }
      return { text = answer.message.content, finish = answer.finish, input = answer.usage.input_tokens }
    end, { m = says "good day" })
    assert.same({ text = "good day", finish = "stop", input = 10 }, of.output)
  end)

  it("refuses a request that no model could answer, and says what is wrong with it", function()
    for _, bad in ipairs {
      { { }, "`messages`, or a `prompt`" }, { { prompt = "a", messages = {} }, "not both" }, { { messages = {} }, "messages" },
      { { prompt = "a", temprature = 1 }, "temprature" }, { { messages = { { role = "wizard", content = "x" } } }, "role" },
      { { prompt = 1 }, "content" }, { { prompt = "a", max_tokens = 0 }, "max_tokens" } } do
      local of = run(function(ctx) return ctx:chat(bad[1]) end, { m = says "x" })
      assert.same({ "failed", "invalid" }, { of.status, of.error.code })
      assert.matches(bad[2], of.error.message, 1, true)
    end
  end)

  it("is asked once, however often the host is lost after it answered", function()
    for seed = 1, 12 do
      local asked = {}
      local of = run(function(ctx)
        local one = ctx:chat { prompt = "one" }.message.content
        local two = ctx:chat { messages = { { role = "user", content = "one" }, { role = "assistant", content = one },
          { role = "user", content = "two" } } }.message.content
        return one .. two
      end, { m = function(ctx, request)
        local last = request.messages[#request.messages].content
        asked[last] = (asked[last] or 0) + 1
        ctx:emit { text = last }
        return { message = { role = "assistant", content = last:upper() }, finish = "stop", usage = {} }
      end }, { seed = seed, crashes = 2 })
      assert.same({ "finished", "ONETWO" }, { of.status, of.output })
      assert.is_true(asked.one + asked.two <= 4) -- once each, and once more for each call that a crash cut off
    end
  end)

  it("hands on the text as it comes, and to a later life in one piece", function()
    local of = run(function(ctx)
      ctx:chat { prompt = "x", emit = true }
    end, { m = function(ctx)
      for word in ("a b c"):gmatch "%S" do ctx:emit { text = word } end
      return { message = { role = "assistant", content = "abc" }, finish = "stop" }
    end })
    assert.equal("abc", of.output)
  end)

  it("gives a checked value where a schema was asked for, and refuses an answer that does not fit", function()
    local schema = { type = "object", required = { "n" }, properties = { n = { type = "integer" } } }
    local function asked(text)
      return run(function(ctx) return ctx:chat { prompt = "x", schema = schema }.value end, { m = says(text) })
    end
    assert.same({ n = 3 }, asked('{"n": 3}').output)
    for _, text in ipairs { '{"n": "three"}', '{"n": 3', "three", "" } do
      local of = asked(text)
      assert.same({ "failed", "invalid" }, { of.status, of.error.code }, text)
    end
  end)

  it("fails with the class of what went wrong", function()
    local of = run(function(ctx)
      local ok, err = pcall(ctx.chat, ctx, { prompt = "x" })
      return { ok = ok, code = err.code, class = err.class }
    end, { m = function() return nil, "who are you", "denied", { class = "auth", status = 401 } end })
    assert.same({ ok = false, code = "denied", class = "auth" }, of.output)
  end)

  it("names the model once, whether it raised or refused", function()
    local function message_of(m)
      return run(function(ctx) return ctx:chat { prompt = "x" } end, { m = m }).error.message
    end
    assert.equal("model 'm': out of order", message_of(function() error("out of order", 0) end))
    assert.equal("model 'm': out of order", message_of(function() return nil, "out of order", "failed", { class = "auth" } end))
  end)

  it("counts what a call used also when it failed or was cancelled", function()
    local of = run(function(ctx)
      pcall(ctx.chat, ctx, { prompt = "x" })
      return "done"
    end, { m = function(ctx)
      ctx:emit { usage = { input_tokens = 7, output_tokens = 2 } }
      return nil, "no such thing", "invalid", { class = "invalid_request" }
    end })
    local total = 0
    for _, event in ipairs(of.events) do
      if event.kind == "metric" and event.name == "tokens" then total = total + event.value end
    end
    assert.equal(9, total)
  end)

  it("keeps an answer for as long as `cache` says", function()
    local asked = 0
    local function model(_, request)
      asked = asked + 1
      return { message = { role = "assistant", content = request.messages[1].content .. asked }, finish = "stop" }
    end
    local of = run(function(ctx)
      local function ask(prompt) return ctx:chat { prompt = prompt, cache = 60 }.message.content end
      local list = { ask "a", ask "a", ask "b" }
      ctx:sleep(61)
      list[4] = ask "a"
      return list
    end, { m = model })
    assert.same({ "a1", "a1", "b2", "a3" }, of.output)
  end)
end)

describe("a budget of tokens", function()
  local function spending(budget, count)
    return run(function(ctx)
      for index = 1, count do ctx:chat { prompt = "call " .. index, max_tokens = 10 } end
      return "all"
    end, { m = says("x", { input_tokens = 50, output_tokens = 50 }) }, { budget = budget, decisions = { ["budget#1"] = { decision = "approve" },
      ["budget#2"] = { decision = "reject", by = "ada" } } })
  end

  it("stops a run within its steps, one call after it is crossed at the latest", function()
    local of = spending({ tokens = 250 }, 10)
    assert.same({ "failed", "limit" }, { of.status, of.error.code })
    assert.equal(3, of:attempts "chat")
  end)

  it("asks a person where it says so, and lets the run use as much again", function()
    assert.equal("finished", spending({ tokens = 250, otherwise = "ask" }, 5).status)
    local of = spending({ tokens = 250, otherwise = "ask" }, 10)
    assert.same({ "failed", "limit" }, { of.status, of.error.code })
    assert.matches("ada does not let the run use more", of.error.message)
  end)

  it("pauses the run where it says so", function()
    local of = spending({ tokens = 250, otherwise = "pause" }, 10)
    assert.equal("waiting", of.status)
  end)

  it("is shared by the runs of a day where the settings say so", function()
    local of = run(function(ctx)
      for index = 1, 10 do ctx:chat { prompt = "call " .. index, max_tokens = 10 } end
      return "all"
    end, { m = says("x", { input_tokens = 50, output_tokens = 50 }) }, { settings = { budgets = { { per = "day", tokens = 250 } } } })
    assert.same({ "failed", "limit" }, { of.status, of.error.code })
    assert.matches("budget of 250 tokens per day", of.error.message)
  end)

  it("counts a call that lasts over midnight on the day on which it was asked", function()
    local asked = {}
    local of = run(function(ctx)
      ctx:sleep(86400 - 1 - ctx:now() % 86400)
      for index = 1, 10 do
        asked[index] = ctx:now() // 86400
        ctx:chat { prompt = "call " .. index, max_tokens = 1000 }
      end
    end, { m = function(ctx, request)
      if #asked == 1 then clock.sleep(2) end
      return says("x", { input_tokens = 50, output_tokens = 50 })(ctx, request)
    end }, { settings = { budgets = { { per = "day", tokens = 200 } } } })
    assert.matches("budget of 200 tokens per day", of.error.message)
    assert.same({ 1, 4 }, { asked[2] - asked[1], #asked })
  end)
end)

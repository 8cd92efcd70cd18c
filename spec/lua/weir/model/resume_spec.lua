local deltas = require "weir.model.deltas"
local errors = require "weir.model.errors"
local resume = require "weir.model.resume"

local CUT = { class = "cut" }

-- A model whose calls go as written: each a list of deltas, with { fails = class } at the end of one that breaks.
local function scripted(script)
  local at, requests = 0, {}
  return function(request, emit)
    at = at + 1
    requests[at] = request
    local collector = deltas.collector()
    for _, delta in ipairs(assert(script[at], "asked more often than the script says")) do
      if delta.fails then return errors.refuse(delta.fails, "it broke", { at_once = delta.at_once }) end
      if delta.raises then error(delta.raises, 0) end
      collector:add(delta)
      emit(delta)
    end
    return collector:response { finish = "stop" }
  end, requests
end

local function texts(...)
  local list = {}
  for index, text in ipairs { ... } do list[index] = { text = text } end
  return list
end

local function broken(class, ...)
  local list = texts(...)
  list[#list + 1] = { fails = class }
  return list
end

-- Runs a script; what went out is put together as a consumer would.
local function run(script, options, request)
  local call, requests = scripted(script)
  local out, consumer = {}, deltas.collector()
  local response, message, code, detail = resume.call(call, request or { messages = { { role = "user", content = "Hello" } } }, function(delta)
    out[#out + 1] = delta
    consumer:add(delta)
  end, options)
  return { response = response, message = message, code = code, detail = detail, out = out, text = consumer:text_so_far(), consumer = consumer, requests = requests }
end

describe("a stream that breaks", function()
  it("is left alone when it does not", function()
    local done = run { texts("The ", "mill") }
    assert.equal("The mill", done.text)
    assert.is_nil(done.response.resumed)
    assert.equal(1, #done.requests)
  end)

  it("goes on by asking again, without giving out any text twice, wherever it was cut", function()
    local text = "The mïll turns 😀 in the river"
    for cut = 0, #text do
      for size = 1, 7, 3 do
        local again = {}
        for at = 1, #text, size do again[#again + 1] = { text = text:sub(at, at + size - 1) } end
        local done = run { broken("cut", text:sub(1, cut)), again }
        assert.equal(text, done.text)
        assert.equal(text, done.response.message.content)
        assert.same({ CUT }, done.response.resumed)
      end
    end
  end)

  it("breaks again and again, and goes on as often as allowed", function()
    local done = run { broken("cut", "The"), broken("timeout", "The mi"), texts("The mill") }
    assert.equal("The mill", done.text)
    assert.equal(2, #done.response.resumed)
    done = run({ broken("cut", "The"), broken("cut", "The mi") }, { attempts = 1 })
    assert.is_nil(done.response)
    assert.equal("unavailable", done.code)
    assert.equal("The mi", done.detail.text)
    assert.equal("The mi", done.text)
  end)

  it("keeps what was given out where the second answer parts from it and nothing can be taken back", function()
    local done = run({ broken("cut", "The mill"), texts("The mi", "ne is deep") }, { attempts = 1 })
    assert.is_nil(done.response)
    assert.equal("cut", done.detail.class)
    assert.equal("The mill", done.text)
    assert.equal("The mill", done.detail.text)
    assert.matches("another answer", done.message)
  end)

  it("says from where it is another, between two characters, to those who can take text back", function()
    local done = run({ broken("cut", "The mïll"), texts("The m", "éll turns") }, { can_roll_back = true })
    assert.equal("The méll turns", done.text)
    assert.equal("The méll turns", done.response.message.content)
    local restarts = {}
    for _, delta in ipairs(done.out) do restarts[#restarts + 1] = delta.restart end
    assert.same({ 5 }, restarts)
  end)

  it("takes back what a shorter second answer does not have", function()
    local done = run({ broken("cut", "The mill turns"), texts("The mill") }, { can_roll_back = true })
    assert.equal("The mill", done.text)
    done = run({ broken("cut", "The mill turns"), texts("The mill") }, { attempts = 1 })
    assert.is_nil(done.response)
    assert.equal("The mill turns", done.text)
  end)

  it("is not asked again where that is of no use, or nothing has been given out and others decide", function()
    for _, class in ipairs { "auth", "refusal", "invalid_request", "context_length" } do
      assert.equal(1, #run({ broken(class, "The") }).requests)
    end
    assert.equal(1, #run({ broken "server" }).requests)
    assert.equal(1, #run({ { { text = "The" }, { fails = "connection", at_once = true } } }).requests)
    assert.equal(2, #run({ broken "cut", texts "The" }).requests)
    assert.equal(1, #run({ broken("cut", "The") }, { policy = "none" }).requests)
  end)

  it("goes on only as long as it is told to", function()
    local heard = {}
    local done = run({ broken("cut", "The"), broken("server", "The mill") }, { again = function(detail, attempt)
      heard[attempt] = detail.class
      return attempt < 2
    end })
    assert.same({ "cut", "server" }, heard)
    assert.is_nil(done.response)
    assert.equal("The mill", done.text)
  end)

  it("hands on what is raised within a call, such as a cancellation", function()
    local ok, err = pcall(run, { { { text = "The" }, { raises = { code = "cancelled" } } } })
    assert.is_false(ok)
    assert.equal("cancelled", err.code)
  end)

  it("gives out calls of tools once, under the ids that they had first", function()
    local function call(id, ...)
      local list = { { text = "I look. " }, { tool_call = { index = 1, id = id, name = "find" } } }
      for _, piece in ipairs { ... } do list[#list + 1] = { tool_call = { index = 1, arguments = piece } } end
      return list
    end
    local first = call("a", '{"q":')
    first[#first + 1] = { fails = "cut" }
    local done = run { first, call("b", '{"q"', ':"mill', '"}') }
    assert.same({ { id = "a", name = "find", arguments = { q = "mill" } } }, done.response.message.tool_calls)
    assert.same(done.response.message.tool_calls, done.consumer:response({}).message.tool_calls)
    assert.equal("I look. ", done.text)
  end)

  it("takes calls of tools back where the second answer has others", function()
    local first = { { text = "Hm. " }, { tool_call = { index = 1, id = "a", name = "find", arguments = '{"q":1' } }, { fails = "cut" } }
    local second = { { text = "Hm. " }, { tool_call = { index = 1, id = "b", name = "read", arguments = '{"p"' } }, { tool_call = { index = 1, arguments = ":2}" } } }
    local done = run({ first, second }, { can_roll_back = true })
    assert.same({ { id = "b", name = "read", arguments = { p = 2 } } }, done.consumer:response({}).message.tool_calls)
    assert.equal("Hm. ", done.text)
    assert.is_nil(run({ first, second }, { attempts = 1 }).response)
    local without = run({ first, texts "Hm. And so on." }, { can_roll_back = true })
    assert.is_nil(without.consumer:response({}).message.tool_calls)
    assert.equal("Hm. And so on.", without.text)
  end)

  it("does not stop at reasoning that differs, and gives no more of it out", function()
    local done = run { { { reasoning = "I think of mills" }, { text = "The " }, { fails = "cut" } }, { { reasoning = "I think " }, { reasoning = "of rivers" }, { text = "The mill" } } }
    assert.equal("The mill", done.text)
    assert.equal("I think of mills", done.consumer:response({}).message.reasoning)
  end)

  it("passes usage on, that of each attempt", function()
    local done = run { { { usage = { input_tokens = 5 } }, { text = "The" }, { fails = "cut" } }, { { usage = { input_tokens = 6 } }, { text = "The mill" } } }
    local seen = {}
    for _, delta in ipairs(done.out) do if delta.usage then seen[#seen + 1] = delta.usage.input_tokens end end
    assert.same({ 5, 6 }, seen)
  end)
end)

describe("a stream that another model continues", function()
  local CONTINUE = { policy = "continue", attempts = 1 }
  local BEFORE = "The weir holds the water back. The mill "

  it("gives the text so far as the beginning of the answer", function()
    local done = run({ broken("cut", BEFORE), texts("wheel ", "turns.") }, CONTINUE)
    assert.equal(BEFORE .. "wheel turns.", done.text)
    assert.equal(BEFORE .. "wheel turns.", done.response.message.content)
    local messages = done.requests[2].messages
    assert.equal(3, #messages)
    assert.same({ role = "assistant", content = BEFORE }, messages[2])
    assert.equal(1, #done.requests[1].messages)
    assert.equal(2, #run({ broken("cut", BEFORE), texts "x" }, { policy = "continue", prefill = true }).requests[2].messages)
  end)

  it("asks the other model", function()
    local other = scripted { texts "wheel" }
    local done = run({ broken("server", BEFORE) }, { policy = "continue", continue_with = other })
    assert.equal(BEFORE .. "wheel", done.text)
  end)

  it("leaves out what it repeats: all of the text, or the end of it", function()
    local whole = BEFORE .. "wheel turns."
    for size = 1, #whole do
      for from = 1, #BEFORE - 16 do
        local answer, pieces = whole:sub(from), {}
        for at = 1, #answer, size do pieces[#pieces + 1] = { text = answer:sub(at, at + size - 1) } end
        assert.equal(whole, run({ broken("cut", BEFORE), pieces }, CONTINUE).text)
      end
    end
  end)

  it("keeps what only looks like a repetition", function()
    assert.equal(BEFORE .. "The mill", run({ broken("cut", BEFORE), texts("The ", "mill") }, CONTINUE).text)
    assert.equal("ha ha ha", run({ broken("cut", "ha ha"), texts(" ha") }, CONTINUE).text)
  end)

  it("is asked for again where half of it cannot be continued", function()
    local done = run({ broken("cut", '{"a":'), texts('{"a":1}') }, CONTINUE, { messages = {}, schema = { type = "object" } })
    assert.equal('{"a":1}', done.text)
    assert.equal(0, #done.requests[2].messages)
    local first = { { tool_call = { index = 1, id = "a", name = "find", arguments = "{" } }, { fails = "cut" } }
    assert.equal(1, #run({ first, { { tool_call = { index = 1, id = "a", name = "find", arguments = "{}" } } } }, CONTINUE).requests[2].messages)
  end)

  it("breaks again, and goes on from all that has been given out", function()
    local done = run({ broken("cut", BEFORE), broken("cut", "wheel "), texts "turns." }, { policy = "continue" })
    assert.equal(BEFORE .. "wheel turns.", done.text)
    assert.equal(BEFORE .. "wheel ", done.requests[3].messages[2].content)
  end)
end)

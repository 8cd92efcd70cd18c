local errors = require "weir.model.errors"
local failure = require "weir.failure"
local json = require "weir.json"

local ACTIONS = { retry = true, fall_back = true, resume = true, fail = true }

describe("errors of models", function()
  it("have a code of weir and at least one action each", function()
    local count = 0
    for class, row in pairs(errors.classes) do
      count = count + 1
      assert.is_true(failure.codes[row.code], class)
      assert.is_true(#row.actions > 0 and #row.doc > 0, class)
      for _, action in ipairs(row.actions) do assert.is_true(ACTIONS[action], class) end
    end
    assert.equal(16, count)
  end)

  it("have a class for each status", function()
    for status, class in pairs { [400] = "invalid_request", [401] = "auth", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "conflict",
      [413] = "too_large", [418] = "invalid_request", [422] = "invalid_request", [429] = "rate_limit", [500] = "server", [502] = "server",
      [503] = "overloaded", [504] = "server", [529] = "overloaded", [599] = "server", [302] = "redirect" } do
      assert.equal(class, errors.of_status(status), status)
      assert.equal(class, errors.of_answer(status, "").class)
      assert.equal(class, errors.of_answer(status, "<html><title>Oh</title></html>").class)
    end
  end)

  it("go by what the provider says before the status", function()
    for _, row in ipairs {
      { 400, { error = { message = "too long", type = "invalid_request_error", code = "context_length_exceeded" } }, "context_length" },
      { 400, { type = "error", error = { type = "invalid_request_error", message = "prompt is too long: 210000 tokens > 200000 maximum" } }, "context_length" },
      { 400, { error = { code = 400, message = "the request exceeds the available context size", type = "exceed_context_size_error" } }, "context_length" },
      { 400, { object = "error", message = "This model's maximum context length is 4096 tokens", code = 400 }, "context_length" },
      { 400, { error = { message = "no", code = "content_filter" } }, "refusal" },
      { 404, { error = "model 'x' not found, try pulling it first" }, "not_found" },
      { 429, { error = { message = "pay", type = "insufficient_quota", code = "insufficient_quota" } }, "rate_limit" },
      { 429, { error = { message = "slow", type = "tokens", code = json.null } }, "rate_limit" },
      { 500, { type = "error", error = { type = "api_error", message = "oh" } }, "server" },
      { 529, { type = "error", error = { type = "overloaded_error", message = "busy" } }, "overloaded" },
      { 503, { error = { message = "Loading model", type = "unavailable_error", code = 503 } }, "overloaded" },
      { 504, { error = { message = "x", type = "api_error" } }, "server" },
      { 401, { error = { message = "wrong key", code = "invalid_api_key" } }, "auth" },
      { 400, { detail = "field required" }, "invalid_request" },
      { 500, { error = "context window exceeded" }, "context_length" },
    } do
      assert.equal(row[3], errors.of_answer(row[1], json.encode(row[2])).class, json.encode(row[2]))
    end
  end)

  it("within a stream have no status", function()
    assert.equal("overloaded", errors.said({ type = "error", error = { type = "overloaded_error", message = "x" } }).class)
    assert.equal("rate_limit", errors.said({ error = { message = "x", code = "rate_limit_exceeded" } }).class)
    assert.equal("server", errors.said({ error = { message = "x", code = 500 } }).class)
    assert.equal("rate_limit", errors.said({ error = { message = "x", code = 429 } }).class)
    assert.equal("server", errors.said({ error = "unexpected" }).class)
    assert.is_nil(errors.said { choices = {} })
    assert.is_nil(errors.said { error = json.null, choices = {} })
    assert.is_nil(errors.said "text")
  end)

  it("are told on one line that moves no cursor and has an end", function()
    local said = errors.of_answer(500, json.encode { error = { message = "a\n\27[2Jb" .. ("x"):rep(1000) } })
    assert.matches("^a\\x0a\\x1b%[2Jbx+$", said.message)
    assert.is_true(#said.message < 400)
    assert.equal("Bad Gateway", errors.of_answer(502, "<html><head><title>\nBad Gateway\n</title>").message)
    assert.equal("plain words", errors.of_answer(500, " plain words\n").message)
    assert.equal("", errors.of_answer(500, "\xff\xfe").message)
  end)

  it("that no second try can heal fall back at once", function()
    local quota = errors.of_answer(429, '{"error":{"message":"x","code":"insufficient_quota"}}')
    assert.same({ "fall_back" }, errors.actions { class = quota.class, at_once = quota.at_once })
    for message, at_once in pairs { ["GET http://x/: Could not resolve host: x"] = true, ["GET https://x/: SSL peer certificate or SSH remote key was not OK"] = true,
      ["GET http://tls.example/ssl: Failed to connect"] = false } do
      local class, now = errors.of_connection(message, "unavailable")
      assert.equal("connection", class)
      assert.equal(at_once, now or false, message)
    end
    assert.equal("timeout", errors.of_connection("x", "timeout"))
    assert.same({ "retry", "fall_back" }, errors.actions { class = "timeout" })
  end)

  it("come as nil, a message, a code and what is known", function()
    local value, message, code, detail = errors.refuse("rate_limit", "wait", { status = 429, retry_after = 2 })
    assert.is_nil(value)
    assert.equal("wait", message)
    assert.equal("full", code)
    assert.same({ class = "rate_limit", status = 429, retry_after = 2 }, detail)
  end)
end)

local json = require "weir.json"
local model_server = dofile "spec/model_server.lua"
local testing = require "weir.testing"

local TOOLS = { { name = "find", description = "Finds", parameters = { type = "object", properties = { q = { type = "string" } } } } }

local function request_of(fields)
  local request = { messages = { { role = "user", content = "Hello" } }, stream = true, timeout = 60 }
  for name, value in pairs(fields or {}) do request[name] = value end
  return request
end

describe("model modules of providers", function()
  local server
  after_each(function()
    if server then server.close() end
    server = nil
  end)

  -- Asks a module, whose server answers as `on_request` says.
  local function ask(name, on_request, request, options)
    local module, dialect = testing.module("models/" .. name), model_server.dialects[name]
    server = model_server.serve(on_request)
    local given = { url = server.url .. dialect.base, model = "m", secret = "" }
    for option, value in pairs(options or {}) do given[option] = value end
    local ctx = model_server.context(testing, module, given)
    local response, message, code, detail = module.chat(ctx, request_of(request))
    return response, ctx, message, code, detail
  end

  local function streamed(dialect, text)
    return function(_, reply)
      reply:begin(dialect.wire.content_type)
      reply:chunk(text)
      reply:finish()
    end
  end

  for _, name in ipairs(model_server.names) do
    local dialect = model_server.dialects[name]
    local wire = dialect.wire

    it("give a whole answer: " .. name, function()
      local response, ctx = ask(name, function(_, reply) reply:json(200, wire.whole "The mill") end, { stream = false })
      assert.equal("The mill", response.message.content)
      assert.equal("stop", response.finish)
      assert.equal("m-1", response.model)
      assert.equal(7, response.usage.input_tokens)
      assert.equal(3, response.usage.output_tokens)
      assert.equal("", ctx.text())
      assert.equal(dialect.path, server.requests[1].path)
      assert.equal("Hello", name == "anthropic" and server.requests[1].body.messages[1].content[1].text or server.requests[1].body.messages[1].content)
    end)

    it("give a stream as it comes, with what was used: " .. name, function()
      local text = (wire.begin and wire.begin() or "") .. wire.unknown .. wire.reasoning "hm" .. wire.text "The " .. wire.text "mïll" .. wire.finish() .. wire.done
      for _, size in ipairs { 1, 7, #text } do
        local response, ctx = ask(name, function(_, reply)
          reply:begin(wire.content_type)
          for at = 1, #text, size do reply:chunk(text:sub(at, at + size - 1)) end
          reply:finish()
        end)
        assert.equal("The mïll", response.message.content)
        assert.equal("The mïll", ctx.text())
        assert.equal("hm", response.message.reasoning)
        assert.equal("stop", response.finish)
        assert.equal(7, response.usage.input_tokens)
        assert.equal(3, response.usage.output_tokens)
        server.close()
      end
    end)

    it("give calls of tools, streamed and whole, and take their results: " .. name, function()
      local messages = { { role = "system", content = "Be brief" }, { role = "user", content = "Find it" },
        { role = "assistant", content = "", tool_calls = { { id = "t0", name = "find", arguments = { q = "x" } }, { id = "t9", name = "find", raw = "{", problem = "no JSON" } } },
        { role = "tool", tool_call_id = "t0", content = "nothing" }, { role = "tool", tool_call_id = "t9", content = "no JSON", is_error = true } }
      for _, stream in ipairs { true, false } do
        local response = ask(name, function(_, reply)
          if not stream then return reply:json(200, wire.whole(nil, { "find", '{"q":"mill"}' })) end
          streamed(dialect, (wire.begin and wire.begin() or "") .. wire.calls("find", '{"q":"mill"}') .. wire.finish "tool_calls" .. wire.done)(_, reply)
        end, { stream = stream, tools = TOOLS, messages = messages })
        assert.equal("tool_calls", response.finish)
        local call = response.message.tool_calls[1]
        assert.equal("find", call.name)
        assert.same({ q = "mill" }, call.arguments)
        assert.equal(name == "ollama" and "call_3" or "t1", call.id)
        local body = server.requests[1].body
        assert.equal("find", name == "anthropic" and body.tools[1].name or body.tools[1]["function"].name)
        server.close()
      end
    end)

    it("keep arguments that are no JSON for the model to see: " .. name, function()
      local response = ask(name, function(_, reply)
        streamed(dialect, (wire.begin and wire.begin() or "") .. wire.calls("find", '{"q":') .. wire.finish "tool_calls" .. wire.done)(_, reply)
      end, { tools = TOOLS })
      local call = response.message.tool_calls[1]
      assert.equal('{"q":', call.raw)
      assert.is_nil(call.arguments)
      assert.matches("no JSON", call.problem)
    end)

    it("send a key as a handle, which nobody can read: " .. name, function()
      local module = testing.module("models/" .. name)
      local headers = require("weir.model.wire").headers({ secret = function(_, key) return { key } end },
        { secret = "SOME_KEY", headers = { ["X-Team"] = "a" } }, true)
      assert.same({ "Bearer ", { "SOME_KEY" } }, headers.authorization)
      assert.equal("a", headers["x-team"])
      assert.is_truthy(module.options.secret)
    end)

    it("say that a limit of tokens ended the answer: " .. name, function()
      local response = ask(name, streamed(dialect, (wire.begin and wire.begin() or "") .. wire.text "The" .. wire.finish "length" .. wire.done))
      assert.equal("length", response.finish)
      assert.equal("The", response.message.content)
    end)

    it("refuse without a model's name: " .. name, function()
      if name == "compatible" then return end
      local module = testing.module("models/" .. name)
      local response, message, code, detail = module.chat(model_server.context(testing, module, { secret = "" }), request_of())
      assert.is_nil(response)
      assert.matches("option 'model'", message)
      assert.equal("invalid", code)
      assert.equal("invalid_request", detail.class)
    end)
  end

  local SCHEMA = { type = "object", properties = { title = { type = "string" } }, required = json.list { "title" }, additionalProperties = false }

  it("ask for structured output as each server takes it, and give the value", function()
    for _, row in ipairs {
      { "openai", function(body) return body.response_format.json_schema.strict and body.response_format.json_schema.schema.type == "object" end },
      { "compatible", function(body) return body.response_format.type == "json_object" and body.messages[1].content:find("title", 1, true) end, { schema = "json_object" } },
      { "compatible", function(body) return not body.response_format and body.messages[1].content:find("title", 1, true) end, { schema = "none" } },
      { "ollama", function(body) return body.format.type == "object" end },
    } do
      local wire = model_server.dialects[row[1]].wire
      local response = ask(row[1], function(_, reply) reply:json(200, wire.whole '{"title":"Mill"}') end, { stream = false, schema = SCHEMA }, row[3])
      assert.same({ title = "Mill" }, response.value)
      assert.is_truthy(row[2](server.requests[1].body), row[1])
      server.close()
    end
  end)

  it("make structured output of Anthropic's models a tool that must be called, whose arguments are the text", function()
    local wire = model_server.dialects.anthropic.wire
    local response, ctx = ask("anthropic", streamed(model_server.dialects.anthropic, wire.begin() .. wire.calls("answer", '{"title":"Mill"}') .. wire.finish "tool_calls" .. wire.done),
      { schema = SCHEMA })
    assert.same({ title = "Mill" }, response.value)
    assert.equal('{"title":"Mill"}', ctx.text())
    assert.is_nil(response.message.tool_calls)
    assert.equal("stop", response.finish)
    assert.same({ type = "tool", name = "answer" }, server.requests[1].body.tool_choice)
    local _, _, _, code = ask("anthropic", streamed(model_server.dialects.anthropic, ""), { schema = { type = "array" } })
    assert.equal("invalid", code)
  end)

  it("take a structured answer whole or not at all", function()
    local wire = model_server.dialects.openai.wire
    for _, text in ipairs { wire.text '{"title":' .. wire.finish() .. wire.done, wire.text '{"title":"x"}' .. wire.finish "length" .. wire.done } do
      local response, _, _, code, detail = ask("openai", streamed(model_server.dialects.openai, text), { schema = SCHEMA })
      assert.is_nil(response)
      assert.equal("failed", code)
      assert.equal("protocol", detail.class)
      server.close()
    end
  end)

  it("read every flavour of the dialect of OpenAI", function()
    for _, row in ipairs {
      { 'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\ndata: {"choices":[{"delta":{"content":"a"}}]}\n\n: ping\n\ndata: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', "a" },
      { 'data: {"choices":[{"index":0,"delta":{"content":"a","reasoning":"r"},"finish_reason":null}],"usage":null}\n\ndata:[DONE]\n\n', "a", "r" },
      { 'data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"}]}}]}\r\n\r\ndata: [DONE]\r\n\r\n', "a" },
      { 'data: {"choices":[{"index":1,"delta":{"content":"no"}},{"index":0,"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n', "a" },
    } do
      local response, ctx = ask("compatible", streamed(model_server.dialects.compatible, row[1]))
      assert.equal(row[2], response.message.content)
      assert.equal(row[2], ctx.text())
      assert.equal(row[3], response.message.reasoning)
      assert.same({}, response.usage)
      server.close()
    end
  end)

  it("read calls of tools that come whole and without an index", function()
    local call = '{"id":"%s","type":"function","function":{"name":"find","arguments":%s}}'
    local response = ask("compatible", streamed(model_server.dialects.compatible, 'data: {"choices":[{"delta":{"tool_calls":[' .. call:format("a", '"{\\"q\\":1}"') .. "," ..
      call:format("b", '{"q":2}') .. ']},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'), { tools = TOOLS })
    assert.same({ { id = "a", name = "find", arguments = { q = 1 } }, { id = "b", name = "find", arguments = { q = 2 } } }, response.message.tool_calls)
    assert.equal("tool_calls", response.finish)
  end)

  it("take a whole answer where a stream was asked for", function()
    local response, ctx = ask("compatible", function(_, reply) reply:json(200, model_server.dialects.openai.wire.whole "The mill") end)
    assert.equal("The mill", response.message.content)
    assert.equal("The mill", ctx.text())
  end)

  it("send Anthropic the version, one side after the other, and reasoning with its signature", function()
    local wire = model_server.dialects.anthropic.wire
    local messages = { { role = "system", content = "A" }, { role = "user", content = "Find" }, { role = "system", content = "B" },
      { role = "assistant", content = "", reasoning = "hm", reasoning_signature = "sig", tool_calls = { { id = "t1", name = "find", arguments = {} } } },
      { role = "tool", tool_call_id = "t1", content = "x", is_error = true }, { role = "user", content = "Go on" } }
    ask("anthropic", function(_, reply) reply:json(200, wire.whole "x") end, { stream = false, messages = messages, tools = TOOLS, tool_choice = "required", reasoning = "low" })
    local request = server.requests[1]
    assert.equal("2026-10-21", request.headers["anthropic-version"])
    assert.equal("A\n\nB", request.body.system)
    assert.equal(3, #request.body.messages)
    assert.same({ type = "thinking", thinking = "hm", signature = "sig" }, request.body.messages[2].content[1])
    assert.same({ { type = "tool_result", tool_use_id = "t1", content = "x", is_error = true }, { type = "text", text = "Go on" } }, request.body.messages[3].content)
    assert.same({ type = "any" }, request.body.tool_choice)
    assert.same({ type = "enabled", budget_tokens = 1024 }, request.body.thinking)
    assert.equal(4096 + 1024, request.body.max_tokens)
  end)

  it("keep the signature of streamed reasoning", function()
    local wire = model_server.dialects.anthropic.wire
    local sign = 'data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"s1"}}\n\n'
    local response = ask("anthropic", streamed(model_server.dialects.anthropic, wire.begin() .. wire.reasoning "hm" .. sign .. wire.text "x" .. wire.finish() .. wire.done))
    assert.equal("s1", response.message.reasoning_signature)
    assert.same({ input_tokens = 7, output_tokens = 3, cached_tokens = 2 }, response.usage)
  end)

  it("give embeddings, in the order of the texts", function()
    for _, row in ipairs {
      { "openai", { data = json.list { { index = 1, embedding = json.list { 0.5, 1 } }, { index = 0, embedding = json.list { 1, 0.25 } } }, usage = { prompt_tokens = 4 } } },
      { "ollama", { embeddings = json.list { json.list { 1, 0.25 }, json.list { 0.5, 1 } }, prompt_eval_count = 4 } },
    } do
      local module, dialect = testing.module("models/" .. row[1]), model_server.dialects[row[1]]
      server = model_server.serve(function(_, reply) reply:json(200, row[2]) end)
      local ctx = model_server.context(testing, module, { url = server.url .. dialect.base, model = "m", secret = "" })
      local found = module.embed(ctx, { texts = { "a", "b" } })
      assert.same({ { 1, 0.25 }, { 0.5, 1 } }, found.vectors)
      assert.same({ input_tokens = 4 }, found.usage)
      local none, _, code, detail = module.embed(ctx, { texts = { "a" } })
      assert.is_nil(none)
      assert.equal("failed", code)
      assert.equal("protocol", detail.class)
      server.close()
    end
  end)

  it("say what the provider says of its limits", function()
    local headers = { ["x-ratelimit-remaining-requests"] = "59", ["x-ratelimit-reset-requests"] = "1s" }
    local response = ask("openai", function(_, reply) reply:json(200, model_server.dialects.openai.wire.whole "x", headers) end, { stream = false })
    assert.same({ requests = { remaining = 59, reset_s = 1 } }, response.limits)
  end)

  it("send the key where the provider looks for it, and quote it to nobody", function()
    local has_secrets, secret = pcall(require, "weir.secret")
    if not has_secrets then return pending "this host has no secrets" end
    local file = os.tmpname()
    local handle = assert(io.open(file, "w"))
    handle:write "canary-of-a-key"
    handle:close()
    require("luv").fs_chmod(file, 384)
    for _, row in ipairs { { "openai", "authorization", "Bearer " }, { "anthropic", "authorization", "Bearer " }, { "anthropic", "x-api-key", "", { key_header = "x-api-key" } },
      { "ollama", "authorization", "Bearer " }, { "compatible", "authorization", "Bearer " } } do
      local module, dialect = testing.module("models/" .. row[1]), model_server.dialects[row[1]]
      server = model_server.serve(function(request, reply) reply:json(401, { error = { message = "no: " .. request.headers[row[2]] } }) end)
      secret.configure({ SPEC_MODEL_KEY = { file = file } }, ".") -- after the module, whose project has settings of its own
      local options = { url = server.url .. dialect.base, model = "m", secret = "SPEC_MODEL_KEY", key_header = row[4] and row[4].key_header }
      local ctx = model_server.context(testing, module, options)
      function ctx.secret(_, name) return secret.handle(name) end
      local _, why, _, detail = module.chat(ctx, request_of())
      assert.equal("auth", detail.class)
      assert.equal(401, detail.status, why)
      assert.is_nil(why:find("canary", 1, true), why)
      assert.equal(row[3] .. "canary-of-a-key", server.requests[1].headers[row[2]])
      server.close()
    end
    secret.configure(nil, ".")
    os.remove(file)
    local module = testing.module "models/openai"
    local ctx = model_server.context(testing, module, { url = "http://127.0.0.1:9/v1", model = "m", secret = "NO_SUCH_KEY_IN_SPECS" })
    function ctx.secret(_, name) return secret.handle(name) end
    local _, message, code, detail = module.chat(ctx, request_of())
    assert.equal("auth", detail.class, message)
    assert.equal("denied", code)
    assert.matches("NO_SUCH_KEY_IN_SPECS", message)
  end)

  it("use one connection for several answers", function()
    local wire = model_server.dialects.openai.wire
    local module = testing.module "models/openai"
    server = model_server.serve(function(_, reply)
      reply:begin(wire.content_type)
      reply:chunk(model_server.stream(wire, { "x" }))
      reply:finish()
    end)
    for _ = 1, 3 do
      local ctx = model_server.context(testing, module, { url = server.url .. "/v1", model = "m", secret = "" })
      assert.equal("x", module.chat(ctx, request_of()).message.content)
    end
    assert.equal(1, server.tcp.accepted)
  end)
end)

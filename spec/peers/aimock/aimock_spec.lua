-- The model modules against a server of providers' interfaces that nobody here wrote.

local aimock = dofile "spec/peers/aimock/server.lua"
local errors = require "weir.model.errors"
local model_server = dofile "spec/model_server.lua"
local resume = require "weir.model.resume"
local task = require "weir.task"
local testing = require "weir.testing"

local PATIENCE = 120 -- seconds
local BASES = { openai = "/v1", compatible = "/v1", anthropic = "/v1", ollama = "" }
local TOOLS = { { name = "find", description = "Finds", parameters = { type = "object", properties = { q = { type = "string" } } } } }

describe("aimock", function()
  local missing = aimock.missing()
  if missing then
    pending("answers as each provider does: " .. missing)
    return
  end

  -- Runs a body beside the server.
  local function with(body)
    local ok, err = task.within({}, function(scope)
      body(aimock.start(task.spawn))
      scope:cancel "done"
    end)
    if not ok and err.code ~= "cancelled" then error(err.message or err, 0) end
  end

  local function ask(url, name, content, fields, headers)
    local module = testing.module("models/" .. name)
    local ctx = model_server.context(testing, module, { url = url .. BASES[name], model = "gpt-4o", secret = "", headers = headers })
    local request = { messages = { { role = "user", content = content } }, stream = true, timeout = PATIENCE, idle_timeout = PATIENCE }
    for field, value in pairs(fields or {}) do request[field] = value end
    local response, message, code, detail = module.chat(ctx, request)
    return response, ctx, message, code, detail
  end

  it("answers as each provider does, whole and streamed", function()
    with(function(url)
      for _, name in ipairs(model_server.names) do
        for _, stream in ipairs { true, false } do
          local response, ctx, message = ask(url, name, "Hello", { stream = stream })
          assert.equal("The mïll turns in the river.", response and response.message.content, name .. (message or ""))
          assert.equal(stream and "The mïll turns in the river." or "", ctx.text())
          assert.equal("A mill.", response.message.reasoning)
          assert.equal("stop", response.finish)
        end
      end
    end)
  end)

  it("says what was used where it is asked to", function()
    with(function(url)
      for _, stream in ipairs { true, false } do
        local usage = ask(url, "openai", "Hello", { stream = stream }).usage
        assert.is_true(usage.input_tokens > 0 and usage.output_tokens > 0)
      end
    end)
  end)

  it("calls tools and takes their results", function()
    with(function(url)
      for _, name in ipairs(model_server.names) do
        for _, stream in ipairs { true, false } do
          local first, _, message = ask(url, name, "Find the mill", { stream = stream, tools = TOOLS })
          local call = first and first.message.tool_calls and first.message.tool_calls[1]
          assert.equal("find", call and call.name, name .. (message or ""))
          assert.same({ q = "mill" }, call.arguments)
          assert.equal("tool_calls", first.finish)
          local second = ask(url, name, nil, { stream = stream, tools = TOOLS, messages = { { role = "user", content = "Find the mill" },
            first.message, { role = "tool", tool_call_id = call.id, content = "below the weir" } } })
          assert.equal("It stands below the weir.", second.message.content)
        end
      end
    end)
  end)

  it("gives structured output, embeddings and slow streams", function()
    with(function(url)
      local schema = { type = "object", properties = { title = { type = "string" } }, required = { "title" } }
      for _, name in ipairs { "openai", "compatible", "ollama" } do
        assert.same({ title = "Mill" }, ask(url, name, "Structure", { schema = schema }).value, name)
      end
      local openai = testing.module "models/openai"
      local ctx = model_server.context(testing, openai, { url = url .. "/v1", secret = "" })
      assert.same({ { 0.5, -0.25, 1 } }, openai.embed(ctx, { texts = { "the mill" } }).vectors)
      for _, name in ipairs(model_server.names) do
        local response, slow = ask(url, name, "Slowly")
        assert.equal("One two three four five six seven eight.", response.message.content)
        assert.equal(response.message.content, slow.text())
      end
    end)
  end)

  local CHAOS = {
    { "drop", "server", "unavailable" }, { "malformed", "protocol", "failed" }, { "disconnect", "connection", "unavailable" },
    { "ratelimit", "rate_limit", "full" },
  }

  it("fails in its ways, each of which has its class", function()
    with(function(url)
      for _, name in ipairs(model_server.names) do
        for _, row in ipairs(CHAOS) do
          for _, stream in ipairs { true, false } do
            local response, ctx, message, code, detail = ask(url, name, "Hello", { stream = stream }, { ["x-aimock-chaos-" .. row[1]] = "1" })
            assert.is_nil(response)
            assert.equal(row[2], detail.class, message)
            assert.equal(row[3], code)
            assert.equal("", ctx.text())
            if row[1] == "ratelimit" then
              assert.equal(1, detail.retry_after)
              assert.same({ limit = 60, remaining = 0, reset_s = 1 }, detail.limits.requests)
            end
          end
        end
        assert.equal("context_length", select(5, ask(url, name, "Too much")).class)
      end
    end)
  end)

  it("cuts streams, which keep what came and go on without doubling it", function()
    with(function(url)
      for _, name in ipairs(model_server.names) do
        local response, ctx, message, _, detail = ask(url, name, "Be cut")
        assert.is_nil(response)
        assert.same({ "resume" }, errors.actions(detail), name .. message)
        local text = "The mill turns in the river until the stream is cut."
        assert.is_true(#detail.text > 0 and text:sub(1, #detail.text) == detail.text, detail.text)
        assert.equal(detail.text, ctx.text())
        local parts = {}
        local function call(request, emit)
          local module = testing.module("models/" .. name)
          local own = model_server.context(testing, module, { url = url .. BASES[name], model = "m", secret = "" })
          function own.emit(_, delta) emit(delta) end
          return module.chat(own, request)
        end
        local _, _, _, last = resume.call(call, { messages = { { role = "user", content = "Be cut" } }, stream = true },
          function(delta) parts[#parts + 1] = delta.text end, { attempts = 2 })
        assert.equal(table.concat(parts), last.text)
        assert.equal(text:sub(1, #last.text), last.text)
      end
    end)
  end)
end)

-- Test 103, as far as a model module goes: each fault has its class, and no text is doubled, lost or accepted in part.

local client = require "weir.native.http_client"
local errors = require "weir.model.errors"
local loopback = dofile "spec/loopback.lua"
local model_faults = dofile "spec/faults/model_faults.lua"
local model_server = dofile "spec/model_server.lua"
local task = require "weir.task"
local testing = require "weir.testing"

local PATIENCE = 120 -- seconds, for a machine that does much else

describe("a provider that means ill", function()
  local server
  after_each(function()
    if server then server.close() end
    server = nil
    collectgarbage()
    assert.equal(0, client.open())
  end)

  local function ask(name, url, request)
    local module = testing.module("models/" .. name)
    local ctx = model_server.context(testing, module, { url = url .. model_server.dialects[name].base, model = "m", secret = "" })
    request.messages = { { role = "user", content = "Hello" } }
    request.timeout = request.timeout or PATIENCE
    request.idle_timeout = request.idle_timeout or PATIENCE
    local response, message, code, detail = module.chat(ctx, request)
    return response, ctx, message, code, detail
  end

  local function request_of(fault, stream)
    local request = { stream = stream }
    for name, value in pairs(fault.request or {}) do request[name] = value end
    return request
  end

  local function check(fault, class, response, ctx, message, code, detail)
    assert.is_nil(response)
    assert.equal(class, detail.class, message)
    assert.equal(errors.classes[class].code, code)
    assert.is_true(#errors.actions(detail) > 0)
    assert.is_true(#message > 0 and utf8.len(message) ~= nil, message)
    for name, value in pairs(fault.fields or {}) do assert.equal(value, detail[name], name) end
    local text = fault.text or ""
    if fault.is_long then text = ("x"):rep(#ctx.text()) end -- however much of it was taken
    assert.is_true(text == ctx.text())
    assert.is_true((text ~= "" and text or nil) == detail.text)
  end

  for _, fault in ipairs(model_faults.faults) do
    for _, name in ipairs(fault.dialects and { "openai", "compatible", "anthropic" } or model_server.names) do
      local dialect = model_server.dialects[name]
      local class = fault.class == "stream" and dialect.stream_class or fault.class
      for _, stream in ipairs(fault.streams == nil and { true, false } or { fault.streams }) do
        it(("gives '%s': %s, %s, %s"):format(class, fault.name, name, stream and "streamed" or "whole"), function()
          server = model_server.serve(function(request, reply) fault.serve(reply, dialect, name, request) end)
          check(fault, class, ask(name, server.url, request_of(fault, stream)))
        end)
      end
    end
  end

  for _, name in ipairs(model_server.names) do
    for _, case in ipairs(model_faults.harmless) do
      it(("does no harm: %s, %s"):format(case.name, name), function()
        local dialect = model_server.dialects[name]
        local stream = model_server.stream(dialect.wire, { "The ", "mïll", " turns" })
        server = model_server.serve(function(request, reply) case.serve(reply, dialect, stream, request) end)
        local response, ctx, message = ask(name, server.url, { stream = true })
        assert.equal("The mïll turns", response and response.message.content, message)
        assert.equal("The mïll turns", ctx.text())
        assert.equal(3, response.usage.output_tokens)
      end)
    end

    it("is not reached, which falls back at once where asking again is of no use: " .. name, function()
      local plain = loopback.listen(function(socket)
        socket:read_start(function(_, bytes) -- no TLS is spoken here
          if not bytes then return socket:is_closing() or socket:close() end
          socket:write "220 hello\r\n"
        end)
      end)
      for _, url in ipairs { "http://no-such-host.invalid", (plain.url:gsub("^http", "https")) } do
        local response, _, message, code, detail = ask(name, url, {})
        assert.is_nil(response)
        assert.equal("connection", detail.class, message)
        assert.equal("unavailable", code)
        assert.same({ "fall_back" }, errors.actions(detail), message)
      end
      plain:close()
      server = model_server.serve(function(_, reply) reply:close() end)
      local url = server.url
      server.close()
      local _, _, message, _, detail = ask(name, url, {})
      assert.equal("connection", detail.class, message)
      assert.same({ "retry", "fall_back" }, errors.actions(detail))
      local _, _, _, code = ask(name, "gopher://x", {})
      assert.equal("invalid", code)
    end)

    it("loses its connection as soon as the one who asks is cancelled: " .. name, function()
      local dialect = model_server.dialects[name]
      local has_begun = task.waiter()
      server = model_server.serve(function(_, reply)
        reply:begin(dialect.wire.content_type)
        reply:chunk((dialect.wire.begin and dialect.wire.begin() or "") .. dialect.wire.text "The")
      end)
      local module = testing.module("models/" .. name)
      local ctx = model_server.context(testing, module, { url = server.url .. dialect.base, model = "m", secret = "" })
      local emitted = {}
      function ctx.emit(_, delta)
        emitted[#emitted + 1] = delta
        if delta.text then has_begun:wake(true) end
      end
      local ok = task.within({}, function(scope)
        task.spawn(function() module.chat(ctx, { messages = { { role = "user", content = "Hello" } }, stream = true, timeout = PATIENCE, idle_timeout = PATIENCE }) end)
        has_begun:wait "the first text"
        scope:cancel "enough"
      end)
      assert.is_false(ok)
      for _ = 1, 1000 do
        if server.gone > 0 then break end
        task.sleep(0.01)
      end
      assert.equal(1, server.gone)
      assert.equal("The", emitted[#emitted].text)
    end)
  end

  it("is not read while the one who reads is behind", function()
    local dialect, sent = model_server.dialects.openai, 0
    server = model_server.serve(function(_, reply)
      reply:begin(dialect.wire.content_type)
      local piece = dialect.wire.text(("x"):rep(1000)):rep(64)
      while sent < 64 << 20 and reply:chunk(piece) do sent = sent + #piece end
    end)
    local module = testing.module "models/openai"
    local ctx = model_server.context(testing, module, { url = server.url .. "/v1", model = "m", secret = "" })
    local has_begun, goes_on = task.waiter(), task.waiter()
    function ctx.emit()
      has_begun:wake(true)
      goes_on:wait "the reader"
    end
    task.within({}, function(scope)
      task.spawn(function() module.chat(ctx, { messages = { { role = "user", content = "Hello" } }, stream = true, timeout = PATIENCE, idle_timeout = PATIENCE }) end)
      has_begun:wait "the first text"
      local before = -1
      while before ~= sent do -- until its writes block
        before = sent
        task.sleep(0.2)
      end
      assert.is_true(sent < 32 << 20, sent)
      scope:cancel "enough"
    end)
  end)
end)

local json = require "weir.native.json"
local support = dofile "spec/lua/weir/mcp/support.lua"
local task = require "weir.task"

describe("mcp over standard streams", function()
  local client, log, logged
  local missing = support.missing()
  local function it_works(title, body)
    if missing then return pending(title .. " (" .. missing .. ")") end
    it(title, body)
  end

  local function open(mode, callbacks, more)
    log, logged = support.log()
    callbacks = callbacks or {}
    callbacks.log = log
    local message, code
    client, message, code = support.open(mode, callbacks, more)
    return client, message, code
  end

  after_each(function()
    if client then client:close() end
    client = nil
  end)

  local function text_of(result, message)
    assert(result, message)
    return result.content[1].text
  end

  for _, mode in ipairs { "legacy", "modern" } do
    describe(mode, function()
      it_works("finds the era, lists tools and calls one", function()
        assert(open(mode))
        assert.equal(mode, client:about().era)
        assert.equal("spec", client:about().server.name)
        assert.equal("echo", client:tools()[1].name)
        assert.same({ content = { { type = "text", text = "hello ä\n" } }, is_error = false }, client:call("echo", { text = "hello ä\n" }))
      end)

      it_works("has many calls under way at once", function()
        assert(open(mode))
        local came = {}
        assert(task.within({}, function()
          for n = 1, 40 do
            task.spawn(function() came[n] = text_of(client:call("gather", { of = 40, text = "call " .. n })) end)
          end
        end))
        for n = 1, 40 do assert.equal("call " .. n, came[n]) end
      end)

      it_works("hands progress to the task that calls, which may wait", function()
        assert(open(mode))
        local seen = {}
        local result = client:call("progress", { of = 3, pause = 0.05 }, { on_progress = function(progress)
          task.sleep(0.001)
          seen[#seen + 1] = progress
        end })
        assert.equal("done", text_of(result))
        assert.same({ progress = 3, total = 3 }, seen[#seen])
      end)

      it_works("tells the server of a call that is cancelled or late, and goes on", function()
        assert(open(mode))
        client:tools()
        local from = client.session.last_id
        local ok, err = support.cancel_when(function() return client.transport.pending[from + 1] and client.transport.pending[from + 1].is_sent end,
          function() client:call "hang" end)
        assert.is_false(ok)
        assert.equal("cancelled", err.code)
        local _, message, code = client:call("hang", {}, { timeout = 0.05 })
        assert.equal("timeout", code)
        assert.matches("^mcp server 'spec', tool 'hang': no answer to tools/call within 0%.%d+ seconds$", message)
        assert.same({ from + 1, from + 2 }, json.decode(text_of(client:call "cancelled")))
        assert.is_nil(next(client.transport.pending))
      end)
    end)
  end

  it_works("starts a server anew that ends when it is asked what it does not know", function()
    assert(open "fragile")
    assert.equal("legacy", client:about().era)
  end)

  it_works("takes a server for a legacy one that does not answer the first question", function()
    assert(open("mute", nil, { open_timeout = 6 }))
    assert.equal("legacy", client:about().era)
  end)

  it_works("says which versions a server speaks that weir does not", function()
    local _, message, code = open "old"
    assert.equal("unavailable", code)
    assert.matches("it speaks MCP 1999-01-01; weir speaks 2026-07-28 and 2025-11-25", message, 1, true)
    _, message, code = open "future"
    assert.equal("unavailable", code)
    assert.matches("it speaks MCP 2099-01-01", message, 1, true)
    _, message, code = open("legacy", nil, { era = "modern" })
    assert.equal("unavailable", code)
    assert.matches("the setting `era`", message, 1, true)
  end)

  it_works("gives up on a server that does not answer", function()
    local _, message, code = open("silent", nil, { open_timeout = 0.5 })
    assert.equal("timeout", code)
    assert.matches("mcp server 'spec': no answer to initialize", message, 1, true)
  end)

  it("says that there is no such program", function()
    local _, message, code = open("legacy", nil, { command = { "no-such-server" } })
    assert.equal("mcp server 'spec': command 'no-such-server': no such file or directory", message)
    assert.equal("not_found", code)
  end)

  describe("a server that misbehaves:", function()
    it_works("what is no message is passed over and told", function()
      assert(open "legacy")
      assert.equal("after the noise", text_of(client:call "garbled"))
      assert.matches("is no message", logged(), 1, true)
      assert.matches('"line":"hello"', logged(), 1, true)
    end)

    it_works("an answer that cannot be read fails the call that it answers", function()
      assert(open "legacy")
      local _, message, code = client:call("garbled", { answer_too = true })
      assert.equal("failed", code)
      assert.matches("tool 'garbled': its answer cannot be read", message, 1, true)
      assert.equal("on", text_of(client:call("echo", { text = "on" })))
    end)

    it_works("answers that nobody waits for go nowhere", function()
      assert(open "legacy")
      assert.equal("yours", text_of(client:call "stray"))
      assert.equal("on", text_of(client:call("echo", { text = "on" })))
    end)

    it_works("a line that is too long fails the call that it answers, if it says which", function()
      assert(open "legacy")
      for _, given in ipairs { { bytes = 17 * 1024 * 1024 }, { bytes = 17 * 1024 * 1024, id_at_end = true } } do
        local _, message, code = client:call("long", given)
        assert.equal("limit", code)
        assert.matches("a line of its output has more than 16777216 bytes", message, 1, true)
      end
      assert.equal("on", text_of(client:call("echo", { text = "on" })))
      local _, message, code = client:call("long", { bytes = 17 * 1024 * 1024, no_id = true })
      assert.equal("limit", code)
      assert.matches("nobody can tell what it answers", message, 1, true)
      assert.equal("limit", client:ended().code)
    end)

    it_works("death in the middle of a call makes it unavailable, with the last words", function()
      assert(open "legacy")
      local _, message, code = client:call "die"
      assert.equal("unavailable", code)
      assert.equal("mcp server 'spec', tool 'die': the server has ended with status 3; its last words: out of luck", message)
      assert.equal("unavailable", select(3, client:call "echo"))
    end)

    for kind, words in pairs {
      list = "content is no list", block = "content[0] is no block of content", image = "content[0] is no block of content",
      nothing = "it has no content", flag = "isError is no boolean", scalar = "the result is no object",
    } do
      it_works("a result of a wrong shape is none: " .. kind, function()
        assert(open "legacy")
        local _, message, code = client:call("wrong", { kind = kind })
        assert.equal("failed", code)
        assert.matches(words, message, 1, true)
        assert.matches("mcp server 'spec', tool 'wrong'", message, 1, true)
      end)
    end

    it_works("a kind of content that is new stays as it is", function()
      assert(open "legacy")
      assert.same({ { type = "hologram", rays = 3 } }, client:call("wrong", { kind = "other" }).content)
    end)

    for number, expected in pairs { [-32601] = "not_found", [-32602] = "invalid", [-32603] = "failed", [-32042] = "unavailable", [7] = "failed" } do
      it_works(("its error %d is '%s'"):format(number, expected), function()
        assert(open "legacy")
        local _, message, code = client:call("error", { code = number })
        assert.equal(expected, code)
        assert.equal(("mcp server 'spec', tool 'error': no luck (%d)"):format(number), message)
      end)
    end

    it_works("structured output that its own schema refuses is invalid", function()
      assert(open "legacy")
      assert.same({ n = 3 }, client:call("typed", { n = 3 }).structured)
      local _, message, code = client:call("typed", { n = 3, answer = "three" })
      assert.equal("invalid", code)
      assert.matches("structured output.n", message, 1, true)
    end)
  end)

  describe("the list of tools", function()
    it_works("is read page by page", function()
      assert(open "pages")
      assert.equal(17, #client:tools())
      assert.equal("on", text_of(client:call("echo", { text = "on" })))
    end)

    it_works("ends somewhere", function()
      for mode, words in pairs { endless = "more than 100 pages", many = "more than 1000 tools", wronglist = "'tools' is no list" } do
        assert(open(mode))
        local _, message, code = client:tools()
        assert.equal(mode == "wronglist" and "failed" or "limit", code)
        assert.matches(words, message, 1, true)
        client:close()
      end
    end)

    it_works("has no tool that does not fit, and the log says why", function()
      assert(open "odd")
      local names = {}
      for index, tool in ipairs(client:tools()) do names[index] = tool.name end
      assert.same({ "good", "draft7", "lookahead" }, names)
      assert.is_function(client:tool("draft7").validate)
      assert.is_nil(client:tool("lookahead").validate)
      for _, words in ipairs { "it is no object", "its name is not 1 to 128", "its inputSchema is no object", "is not of type object",
        "another one of its name" } do
        assert.matches(words, logged(), 1, true)
      end
    end)

    it_works("is read anew when the server says that it has changed, in the middle of a call too", function()
      local told = 0
      assert(open("legacy", { on_tools_changed = function() told = told + 1 end }))
      local count = #client:tools()
      assert.equal("grown", text_of(client:call "grow"))
      assert.truthy(support.eventually(function() return told == 1 end))
      assert.equal(count + 1, #client:tools())
      local _, message, code = client:call "ecko"
      assert.equal("not_found", code)
      assert.matches("did you mean 'echo'?", message, 1, true)
    end)
  end)

  describe("questions", function()
    it_works("of a legacy server are put in the middle of the call, and the time for them does not count", function()
      assert(open "legacy")
      local question
      local result = client:call("ask", {}, { timeout = 3, elicit = function(given)
        question = given
        task.sleep(3.1)
        return { action = "accept", content = { name = "Ada" } }
      end })
      assert.equal("your name?", question.message)
      assert.equal("form", question.mode)
      assert.same({ server = "spec", tool = "ask" }, { server = question.server, tool = question.tool })
      assert.same({ action = "accept", content = { name = "Ada" } }, json.decode(text_of(result)))
    end)

    it_works("that nobody answers are cancelled", function()
      assert(open "legacy")
      assert.same({ action = "cancel" }, json.decode(text_of(client:call "ask")))
    end)

    it_works("that come while two calls may ask reach neither", function()
      assert(open "legacy")
      local function elicit() error "not to be asked" end
      assert(task.within({}, function()
        local other = task.spawn(function() client:call("hang", {}, { elicit = elicit }) end)
        assert.truthy(support.eventually(function() return next(client.transport.pending) end))
        assert.same({ action = "cancel" }, json.decode(text_of(client:call("ask", {}, { elicit = elicit }))))
        other:cancel()
      end))
      assert.matches("it cannot be told for which call", logged(), 1, true)
    end)

    it_works("that end the call end it with what was said, and the server is told", function()
      assert(open "legacy")
      local _, message, code = client:call("ask", {}, { elicit = function() return nil, "nobody is there", "rejected" end })
      assert.same({ "mcp server 'spec', tool 'ask': nobody is there", "rejected" }, { message, code })
    end)

    it_works("of a modern server are answered in another request, with its state", function()
      assert(open "modern")
      local seen = {}
      local first = client.session.last_id + 2 -- after the list of tools
      local result = client:call("ask_in_modern", { rounds = 2 }, { elicit = function(question)
        seen[#seen + 1] = question.message
        return { action = #seen == 1 and "decline" or "accept", content = { n = #seen } }
      end })
      assert.same({ "round 1?", "round 2?" }, seen)
      assert.same({ id = first + 2, state = "2", responses = { who = { action = "accept", content = { n = 2 } } } },
        json.decode(text_of(result)))
    end)

    it_works("of a modern server end somewhere", function()
      assert(open "modern")
      local _, message, code = client:call("ask_in_modern", { rounds = 1000 }, { elicit = function() return { action = "accept" } end })
      assert.equal("limit", code)
      assert.matches("still asks after 10 rounds", message, 1, true)
      _, message, code = client:call("ask_in_modern", { method = "sampling/createMessage" }, { elicit = function() end })
      assert.equal("unavailable", code)
      assert.matches("asks for 'sampling/createMessage'", message, 1, true)
    end)

    it_works("may be cancelled while a person thinks", function()
      assert(open "legacy")
      local is_asked
      local ok, err = support.cancel_when(function() return is_asked end, function()
        client:call("ask", {}, { elicit = function()
          is_asked = true
          task.sleep(1000)
        end })
      end)
      assert.is_false(ok)
      assert.equal("cancelled", err.code)
      assert.equal("on", text_of(client:call("echo", { text = "on" })))
    end)
  end)

  it_works("gives a server nothing of the host's environment but what the settings name", function()
    local uv = require "luv"
    uv.os_setenv("WEIR_SPEC_OWN", "of the host")
    uv.os_setenv("WEIR_SPEC_NAMED", "named")
    assert(open("legacy", nil, { env = { "WEIR_SPEC_NAMED", WEIR_SPEC_GIVEN = "given" } }))
    uv.os_unsetenv "WEIR_SPEC_OWN"
    uv.os_unsetenv "WEIR_SPEC_NAMED"
    local env = json.decode(text_of(client:call "env"))
    assert.is_nil(env.WEIR_SPEC_OWN)
    assert.equal("named", env.WEIR_SPEC_NAMED)
    assert.equal("given", env.WEIR_SPEC_GIVEN)
    assert.equal(os.getenv "HOME", env.HOME)
  end)

  it_works("leaves nothing behind, however the server takes its end", function()
    local function pass(mode)
      assert(task.within({}, function()
        assert(open(mode))
        client:tools()
        if mode ~= "modern" then client:close() end -- otherwise it ends with its scope
      end))
      client = nil
    end
    pass "legacy"
    local before = support.open_now()
    for _, mode in ipairs { "legacy", "modern", "stubborn" } do pass(mode) end
    assert.same(before, support.open_now())
  end)

  it_works("fails what is under way when it is closed", function()
    assert(open "legacy")
    client:tools()
    local results
    local running = task.start({}, function() results = table.pack(client:call "hang") end)
    assert.truthy(support.eventually(function() return next(client.transport.pending) end))
    client:close()
    running:join()
    assert.equal("closed", results[3])
  end)
end)

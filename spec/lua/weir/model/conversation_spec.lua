local conversation = require "weir.model.conversation"
local json = require "weir.json"
local testing = require "weir.testing"
local weir = require "weir"

local function user(text) return { role = "user", content = text } end
local function assistant(text) return { role = "assistant", content = text } end

local FREE = { tokens = 0, usd = 0 }

describe("a conversation in a journal", function()
  it("holds of each request only what the one before did not have", function()
    local talk, messages = conversation.new(), json.list { user "a" }
    local hashes = conversation.hashes(messages)
    assert.same({ "turn", "chat", false, 0, FREE, user "a" }, talk:turn("chat", messages, hashes, FREE))
    talk:heard("chat", hashes, assistant "b")
    messages[2], messages[3] = assistant "b", user "c"
    hashes = conversation.hashes(messages)
    assert.same({ "turn", "chat#2", "chat", 2, FREE, user "c" }, talk:turn("chat#2", messages, hashes, FREE))
  end)

  it("is read again whole, from each of its calls", function()
    local entries = {
      { "turn", "chat", false, 0, FREE, user "a", user "b" },
      { "step", "chat", 0, "finished", 0, 0, 1, { message = assistant "c" } },
      { "turn", "chat#2", "chat", 3, FREE, user "d" },
      { "step", "chat#2", 0, "finished", 0, 0, 1, { message = assistant "e" } },
      { "turn", "chat#3", "chat#2", 1, FREE, user "x" },
    }
    local calls = conversation.read(entries)
    assert.same({ user "a", user "b", assistant "c", user "d" }, calls["chat#2"].messages)
    assert.same(assistant "e", calls["chat#2"].answer)
    assert.same({ user "a", user "x" }, calls["chat#3"].messages)
  end)

  it("holds a long text by itself, as a tool's output stands too, and is read again with it", function()
    local long = ("x"):rep(5000)
    local messages = json.list { user "a", { role = "tool", content = long, tool_call_id = "c1" }, user "b" }
    local entry = conversation.new():turn("chat", messages, conversation.hashes(messages), FREE)
    assert.same({ "turn", "chat", false, 0, FREE, user "a", { role = "tool", tool_call_id = "c1" }, long, user "b" }, entry)
    assert.equal(long, messages[2].content)
    assert.same({ user "a", { role = "tool", content = long, tool_call_id = "c1" }, user "b" }, conversation.read({ entry }).chat.messages)
  end)

  it("costs as much as it says, not the square of it", function()
    local function bytes_of(rounds)
      local bytes, said = 0, 0
      testing.run(weir.pipeline "talk" { weir.step "talk" { agent = "talker" } }, {
        models = { m = function(_, request)
          local text = ("%d "):format(#request.messages):rep(500)
          return { message = { role = "assistant", content = text }, finish = "stop" }
        end },
        agents = { talker = function(ctx)
          local messages = {}
          for round = 1, rounds do
            messages[#messages + 1] = user(("question %d "):format(round):rep(100))
            messages[#messages + 1] = ctx:chat { messages = messages }.message
          end
          for _, message in ipairs(messages) do said = said + #message.content end
          bytes = ctx._frame.run.engine.store:stats().bytes
          return "done"
        end } })
      return bytes, said
    end
    local short, short_said = bytes_of(10)
    local long, long_said = bytes_of(40)
    assert.is_true(long / long_said <= 1.3 and short / short_said <= 1.3)
  end)
end)

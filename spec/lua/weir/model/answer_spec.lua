local answers = require "weir.model.answer"

local function new(request)
  local emitted = {}
  request.messages = request.messages or {}
  return answers.new({ emit = function(_, delta) emitted[#emitted + 1] = delta end }, request), emitted
end

describe("an answer", function()
  it("gives out what a stream is to have, and usage always", function()
    for _, stream in ipairs { true, false } do
      local answer, emitted = new { stream = stream }
      answer:text "The"
      answer:text ""
      answer:text(nil)
      answer:usage { input_tokens = 3, output_tokens = "many", cached_tokens = -1 }
      assert.same(stream and { { text = "The" }, { usage = { input_tokens = 3 } } } or { { usage = { input_tokens = 3 } } }, emitted)
      assert.equal("The", answer:response().message.content)
    end
  end)

  it("tells usage once, and what is new of it", function()
    local answer, emitted = new {}
    answer:usage { input_tokens = 3, output_tokens = 1 }
    answer:usage { input_tokens = 3, output_tokens = 1 }
    answer:usage { input_tokens = 3, output_tokens = 9 }
    assert.same({ { usage = { input_tokens = 3, output_tokens = 1 } }, { usage = { output_tokens = 9 } } }, emitted)
    assert.same({ input_tokens = 3, output_tokens = 9 }, answer:response().usage)
  end)

  it("is a refusal where the model refuses, with all of it", function()
    for finish, message in pairs { refusal = "the model refuses", content_filter = "a content filter" } do
      local answer = new {}
      answer:text "Well"
      answer.finish = finish
      local response, why, code, detail = answer:response()
      assert.is_nil(response)
      assert.matches(message, why)
      assert.equal("rejected", code)
      assert.equal("Well", detail.text)
      assert.equal(finish, detail.response.finish)
    end
    local answer = new {}
    answer:text("I will not", "refusal")
    assert.matches("refuses to answer: I will not", (select(2, answer:response())))
  end)

  it("has a value where a schema was asked for, unless the model calls tools first", function()
    local answer = new { schema = { type = "object" } }
    answer:text '{"a":1}'
    assert.same({ a = 1 }, answer:response().value)
    answer = new { schema = { type = "object" } }
    answer:tool_call(0, "t1", "find", { q = 1 })
    local response = answer:response()
    assert.is_nil(response.value)
    assert.equal("tool_calls", response.finish)
  end)
end)

local deltas = require "weir.model.deltas"
local json = require "weir.json"

local function collect(list, fields, options)
  local collector = deltas.collector(options)
  for _, delta in ipairs(list) do collector:add(delta) end
  return collector:response(fields or {})
end

describe("deltas", function()
  it("make one response", function()
    assert.same({ message = { role = "assistant", content = "The mill", reasoning = "hm." }, finish = "stop",
      usage = { input_tokens = 5, output_tokens = 9 }, model = "m", id = "i" },
      collect({ { usage = { input_tokens = 5, output_tokens = 1 } }, { reasoning = "hm" }, { reasoning = "." }, { text = "The " }, { text = "mill" },
        { usage = { output_tokens = 9 } } }, { model = "m", id = "i" }))
  end)

  it("leave usage unknown that nobody gave", function()
    assert.same({}, collect({ { text = "a" } }).usage)
  end)

  it("join tool calls by index, whatever is between their pieces", function()
    local response = collect { { tool_call = { index = 1, id = "a", name = "find", arguments = '{"q"' } }, { tool_call = { index = 2, id = "b", name = "read" } },
      { text = "x" }, { tool_call = { index = 1, arguments = ":1}" } }, { tool_call = { index = 2, arguments = "{}" } } }
    assert.same({ { id = "a", name = "find", arguments = { q = 1 } }, { id = "b", name = "read", arguments = {} } }, response.message.tool_calls)
    assert.is_true(json.is_list(response.message.tool_calls))
    assert.equal("tool_calls", response.finish)
  end)

  it("keep arguments that are no JSON object as text, with the problem", function()
    for text, problem in pairs { ['{"a":'] = "no JSON", ["[1]"] = "must be a JSON object", ["null"] = "must be a JSON object", ['"a"'] = "must be a JSON object",
      ['{"a":1,"a":2}'] = "no JSON", ["{} {}"] = "no JSON" } do
      local call = collect({ { tool_call = { index = 1, id = "a", name = "find", arguments = text } } }).message.tool_calls[1]
      assert.equal(text, call.raw)
      assert.is_nil(call.arguments)
      assert.is_truthy(call.problem:find(problem, 1, true), call.problem)
    end
  end)

  it("take no arguments for none", function()
    for _, text in ipairs { "", " \n" } do
      assert.same({}, collect({ { tool_call = { index = 1, id = "a", name = "now", arguments = text } } }).message.tool_calls[1].arguments)
    end
  end)

  it("make up ids that go on from those of the conversation", function()
    local count = deltas.count_calls { { role = "user", content = "x" }, { role = "assistant", tool_calls = { {}, {} } } }
    assert.equal(2, count)
    local calls = collect({ { tool_call = { index = 1, name = "a" } }, { tool_call = { index = 2, name = "b" } } }, {}, { first_call = count + 1 }).message.tool_calls
    assert.equal("call_3", calls[1].id)
    assert.equal("call_4", calls[2].id)
  end)

  it("take back text that a restart gives up", function()
    assert.equal("The weir", collect({ { text = "The mill" }, { restart = 4 }, { text = "weir" } }).message.content)
  end)
end)

describe("the numbers of tool calls", function()
  local function places(list)
    local numbering, found = deltas.numbering(), {}
    for index, piece in ipairs(list) do found[index] = numbering:place(piece[1], piece[2], piece[3]) end
    return found
  end

  it("are the provider's, from wherever it counts", function()
    assert.same({ 1, 1, 2, 1 }, places { { 0, "a", "find" }, { 0 }, { 1, "b", "read" }, { 0 } })
    assert.same({ 1, 2, 2 }, places { { 5, "a" }, { 9, "b" }, { 9 } })
  end)

  it("are told by id, by name, or by what came last where there are none", function()
    assert.same({ 1, 1, 2, 1 }, places { { nil, "a", "find" }, { nil, "a" }, { nil, "b" }, { nil, "a" } })
    assert.same({ 1, 1, 2, 2 }, places { { nil, nil, "find" }, { nil, nil, nil }, { nil, nil, "read" }, { nil, "", "" } })
    assert.same({ 1, 1 }, places { { nil, nil, nil }, { nil, nil, nil } })
  end)

  it("are told by id where the provider says 0 of every call", function()
    assert.same({ 1, 2, 2 }, places { { 0, "a", "find" }, { 0, "b", "read" }, { 0 } })
  end)
end)

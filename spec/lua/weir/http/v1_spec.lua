local json = require "weir.json"
local process = require "weir.port.process"
local uv = require "luv"
local wire = require "spec.lua.weir.http.wire"
local worlds = require "spec.lua.weir.http.world"

local PEERS = os.getenv "WEIR_PEERS" or (os.getenv "HOME" or "") .. "/.cache/weir/peers"

local PIPELINES = {
  talk = [[
local weir = require "weir"
return weir.pipeline "talk" { doc = "Talks.",
  input = { messages = "array", tools = "array?", tool_choice = "any?", schema = "object?", temperature = "number?" },
  weir.step "answer" { agent = "ask", stream = true, input = { messages = "$.input.messages", tools = "$.input.tools?", schema = "$.input.schema?",
    temperature = "$.input.temperature?" } },
  output = "$.answer" }
]],
  long = [[
local weir = require "weir"
return weir.pipeline "long" { input = { messages = "array" },
  weir.step "answer" { agent = "ask", stream = true, model = "long", input = { messages = "$.input.messages" } }, output = "$.answer.text" }
]],
  slow = [[
local weir = require "weir"
return weir.pipeline "slow" { input = { messages = "array" }, on_disconnect = "cancel",
  weir.step "answer" { agent = "ask", stream = true, model = "endless", input = { messages = "$.input.messages" } }, output = "$.answer.text" }
]],
}

-- A model that answers with what it was asked, calls the tool that it is offered, and gives what the schema asks for.
local function parrot(ctx, request)
  local last = request.messages[#request.messages]
  if request.tools and last.role ~= "tool" then
    return { message = { role = "assistant", content = "", tool_calls = { { id = "call_1", name = request.tools[1].name, arguments = { city = "Oslo" } } } },
      finish = "tool_calls", usage = { input_tokens = 5, output_tokens = 2 } }
  end
  local text = request.schema and '{"city":"Oslo"}' or "you said: " .. last.content
  for word in text:gmatch "%S+%s*" do ctx:emit { text = word } end
  return { message = { role = "assistant", content = text }, finish = "stop", usage = { input_tokens = 7, output_tokens = 3 } }
end

local function long(ctx)
  for number = 1, 500 do ctx:emit { text = number .. " " } end
  return { message = { role = "assistant", content = "" }, finish = "stop", usage = { input_tokens = 7, output_tokens = 3 } }
end

local function endless(ctx)
  for number = 1, 1e9 do
    ctx:emit { text = number .. " " }
    require("weir.task").sleep(0.005)
  end
end

describe("the door for programs made for OpenAI", function()
  local world

  setup(function()
    world = worlds.new {}
    for name, text in pairs(PIPELINES) do
      local file = assert(io.open(("%s/pipelines/%s.lua"):format(world.folder, name), "wb"))
      file:write(text)
      file:close()
    end
    local registry = world.host.project.registry
    registry:put { kind = "model", name = "parrot", api = 1, options = { type = "object" }, chat = parrot }
    registry:put { kind = "model", name = "long", api = 1, options = { type = "object" }, chat = long }
    registry:put { kind = "model", name = "endless", api = 1, options = { type = "object" }, chat = endless }
    world.host.project.settings.model = "parrot"
  end)
  teardown(function() world:close() end)

  local function complete(body)
    body.model, body.messages = body.model or "weir/talk", body.messages or { { role = "user", content = "hello" } }
    return world:ask("POST", "/v1/chat/completions", body)
  end

  local function events(answer)
    local list = {}
    for data in answer.body:gmatch "data: (.-)\n\n" do list[#list + 1] = data end
    return list
  end

  it("lists the pipelines that take messages, and no others", function()
    local answer = world:ask("GET", "/v1/models")
    local names = {}
    for index, model in ipairs(answer.value.data) do names[index] = model.id end
    assert.same({ "weir/long", "weir/slow", "weir/talk" }, names)
    assert.equal("weir/talk", world:ask("GET", "/v1/models/weir/talk").value.id)
    assert.equal(404, world:ask("GET", "/v1/models/weir/hello").status)
  end)

  it("answers with the output of a run, its usage, and the id of the run", function()
    local answer = complete { temperature = 0, a_field_of_tomorrow = { 1 } }
    assert.same({ 200, "chat.completion" }, { answer.status, answer.value.object })
    local choice = answer.value.choices[1]
    assert.same({ "you said: hello", "assistant", "stop" }, { choice.message.content, choice.message.role, choice.finish_reason })
    assert.same({ 7, 3, 10 }, { answer.value.usage.prompt_tokens, answer.value.usage.completion_tokens, answer.value.usage.total_tokens })
    assert.equal("finished", world:ask("GET", "/api/runs/" .. answer.headers["weir-run-id"]).value.status)
  end)

  it("reads the parts of a message that are text, and refuses the others", function()
    local parts = { { role = "user", content = { { type = "text", text = "one " }, { type = "text", text = "two" } } } }
    assert.equal("you said: one two", complete({ messages = parts }).value.choices[1].message.content)
    local image = complete { messages = { { role = "user", content = { { type = "image_url", image_url = { url = "x" } } } } } }
    assert.equal(422, image.status)
    assert.matches("image_url", image.value.error.message)
  end)

  it("refuses what is of another type, and says where", function()
    local function of(message) return { messages = { message } } end
    local call = { id = 1, ["function"] = { name = 2, arguments = 3 } }
    for path, body in pairs { ["body.messages[0].content"] = of { role = "user", content = { a = 1 } },
      ["body.messages[0].content[0]"] = of { role = "user", content = { 1 } },
      ["body.messages[0].content[0].text"] = of { role = "user", content = { { type = "text", text = json.null } } },
      ["body.messages[0].tool_calls"] = of { role = "assistant", tool_calls = { a = 1 } },
      ["body.messages[0].tool_calls[0].function.arguments"] = of { role = "assistant", tool_calls = { call } },
      ["body.tools[0]"] = { tools = { 1 } }, ["body.stop[0]"] = { stop = { 1 } }, ["body.max_tokens"] = { max_tokens = "5" },
      ["body.temperature"] = { temperature = "1" }, ["body.response_format"] = { response_format = "x" } } do
      local answer = complete(body)
      assert.equal(422, answer.status)
      assert.is_truthy(answer.value.error.message:find(path .. " must be", 1, true) or path:find "function", answer.value.error.message)
    end
  end)

  it("streams the text as it comes, then the end, the usage where it is asked for, and [DONE]", function()
    local answer = complete { stream = true, stream_options = { include_usage = true } }
    local list = events(answer)
    assert.equal("[DONE]", list[#list])
    local text, finish, usage = "", nil, nil
    for index = 1, #list - 1 do
      local chunk = json.decode(list[index])
      assert.equal("chat.completion.chunk", chunk.object)
      local choice = chunk.choices[1]
      text = text .. (choice and choice.delta.content or "")
      if choice and choice.finish_reason ~= json.null then finish = choice.finish_reason end
      if type(chunk.usage) == "table" then usage = chunk.usage end
    end
    assert.same({ "you said: hello", "stop", 10 }, { text, finish, usage.total_tokens })
    assert.is_true(#list > 5) -- word by word
  end)

  it("hands calls of the client's tools out, and takes their results", function()
    local tools = { { type = "function", ["function"] = { name = "weather", parameters = { type = "object" } } } }
    local choice = complete({ tools = tools }).value.choices[1]
    assert.equal("tool_calls", choice.finish_reason)
    local call = choice.message.tool_calls[1]
    assert.same({ "function", "weather", '{"city":"Oslo"}' }, { call.type, call["function"].name, call["function"].arguments })
    local after = complete { tools = tools, messages = { { role = "user", content = "weather?" }, choice.message,
      { role = "tool", tool_call_id = call.id, content = "rain" } } }
    assert.equal("you said: rain", after.value.choices[1].message.content)
  end)

  it("refuses as OpenAI does", function()
    for _, case in ipairs { { { model = "weir/nobody" }, 404, "not_found_error" }, { { model = "weir/hello" }, 404, "not_found_error" },
      { { messages = {} }, 422, "invalid_request_error" } } do
      local answer = complete(case[1])
      assert.same({ case[2], case[3] }, { answer.status, answer.value.error.type })
      assert.is_string(answer.value.error.message)
    end
    local stranger = world:ask("POST", "/v1/chat/completions", { model = "weir/talk", messages = {} }, { Authorization = false })
    assert.same({ 401, "authentication_error" }, { stranger.status, stranger.value.error.type })
  end)

  it("cancels the run of a client that goes away, where the pipeline says so", function()
    local one = wire.connect(world.door.tcp)
    local body = json.encode { model = "weir/slow", stream = true, messages = { { role = "user", content = "go" } } }
    one:send(wire.request("POST", "/v1/chat/completions", { Host = "localhost:" .. world.door.tcp.port, Authorization = "Bearer " .. world.door.token,
      ["Content-Type"] = "application/json" }, body))
    one:until_(function(bytes) return bytes:find("50 ", 1, true) end)
    local id = next(world.host.engine.live)
    one:close()
    assert.is_true(wire.eventually(function() return world.host.store:row(id).status == "cancelled" end, "the run goes on"))
  end)

  -- A client that goes away while its run is being started; gives the run.
  local function start_for_nobody(name)
    local engine, begun = world.host.engine, nil
    local one = wire.connect(world.door.tcp)
    engine.start = function(self, ...)
      local results = table.pack(getmetatable(engine).__index.start(self, ...))
      one:close()
      wire.eventually(function() return next(world.door.tcp.tasks) == nil end, "the request goes on")
      begun = results[1]
      return table.unpack(results, 1, results.n)
    end
    local body = json.encode { model = "weir/" .. name, stream = true, messages = { { role = "user", content = "go" } } }
    one:send(wire.request("POST", "/v1/chat/completions", { Host = "localhost:" .. world.door.tcp.port, Authorization = "Bearer " .. world.door.token,
      ["Content-Type"] = "application/json" }, body))
    wire.eventually(function() return begun end, "nothing was started")
    engine.start = nil
    return begun
  end

  it("cancels the run of a client that goes away while it is started, where the pipeline says so", function()
    local run = start_for_nobody "slow"
    assert.is_true(wire.eventually(function() return world.host.store:row(run.id).status == "cancelled" end, "the run goes on"))
  end)

  it("has the run of a client that goes away while it is started come to its end, however much it says", function()
    local run = start_for_nobody "long"
    assert.is_true(wire.eventually(function() return world.host.store:row(run.id).status == "finished" end, "the run waits for its client"))
  end)

  it("is what OpenAI's own client expects", function()
    if not uv.fs_stat(PEERS .. "/node_modules/openai") then return pending("no package openai in " .. PEERS .. "; .ci/peers installs it") end
    local env = uv.os_environ()
    env.WEIR_PEERS, env.WEIR_BASE, env.WEIR_KEY = PEERS, world.door.url .. "/v1", world.door.token
    local done = assert(process.run({ "node", "spec/peers/openai.mjs" }, { env = env, timeout = 60 }))
    assert.equal("", done.stderr)
    assert.same({ models = { "weir/long", "weir/slow", "weir/talk" }, text = "you said: hello", streamed = "you said: hello", chunks = true, usage = 10,
      tool = "weather", arguments = '{"city":"Oslo"}', parsed = { city = "Oslo" }, refused = 404, run = true }, json.decode(done.stdout))
  end)
end)


--- The dialect of OpenAI's chat completions, as its maker speaks it and as others do.
---
--- Source: the API reference of chat completions and embeddings, with what llama.cpp, vLLM, Ollama, LM Studio and others
--- make of it. Writing follows a flavour, a table of what the server takes; reading takes all of them: no usage, no index,
--- content that is null or a list of parts, tool calls in one piece or many, reasoning under either of its names.

local errors = require "weir.model.errors"
local json = require "weir.native.json"
local vectors = require "weir.model.vectors"
local wire = require "weir.model.wire"

local M = {}

---@class weir.model.Flavour
---@field max_tokens "max_tokens"|"max_completion_tokens" the name of the field
---@field usage boolean         whether usage can be asked for in streams
---@field schema "json_schema"|"json_object"|"none" how structured output is asked for
---@field strict boolean        the server is to keep to the schema
---@field reasoning boolean     whether reasoning_effort is understood
---@field metadata boolean      whether the request's metadata is sent

-- Writing ------------------------------------------------------------------------------------------

local function write_call(call)
  local text = call.raw or json.encode(call.arguments or {})
  return { id = call.id, type = "function", ["function"] = { name = call.name, arguments = text } }
end

local function write_message(message)
  local written = { role = message.role, content = message.content or "" }
  if message.role == "tool" then written.tool_call_id = message.tool_call_id end
  if message.tool_calls and #message.tool_calls > 0 then
    written.tool_calls = json.list {}
    for index, call in ipairs(message.tool_calls) do written.tool_calls[index] = write_call(call) end
  end
  return written
end

local function write_messages(messages)
  local written = json.list {}
  for index, message in ipairs(messages) do written[index] = write_message(message) end
  return written
end

--- Tools as this dialect and Ollama's have them.
---@param tools table[]|nil
---@return table|nil
function M.tools(tools)
  if not tools or #tools == 0 then return nil end
  local written = json.list {}
  for index, tool in ipairs(tools) do
    written[index] = { type = "function",
      ["function"] = { name = tool.name, description = tool.description, parameters = tool.parameters } }
  end
  return written
end

local function tool_choice(choice)
  if type(choice) ~= "table" then return choice end
  return { type = "function", ["function"] = { name = choice.name } }
end

local ASK_FOR_JSON = "Answer with one JSON value that fits this JSON Schema, and with nothing else: "

-- Where the server takes no schema, the model is told.
local function add_schema(body, request, flavour)
  if not request.schema then return end
  if flavour.schema == "json_schema" then
    body.response_format = { type = "json_schema",
      json_schema = { name = request.schema_name or "answer", strict = flavour.strict, schema = request.schema } }
    return
  end
  if flavour.schema == "json_object" then body.response_format = { type = "json_object" } end
  table.insert(body.messages, 1, { role = "system", content = ASK_FOR_JSON .. json.encode(request.schema) })
end

--- The body of a request.
---@param request table
---@param model string
---@param flavour weir.model.Flavour
---@return table
function M.body(request, model, flavour)
  local tools = M.tools(request.tools)
  local body = {
    model = model, messages = write_messages(request.messages), tools = tools,
    tool_choice = tools and tool_choice(request.tool_choice),
    stop = request.stop and #request.stop > 0 and json.list(request.stop) or nil,
    temperature = request.temperature, top_p = request.top_p, seed = request.seed,
    metadata = flavour.metadata and request.metadata or nil,
    reasoning_effort = flavour.reasoning and request.reasoning or nil, stream = request.stream or nil,
    stream_options = request.stream and flavour.usage and { include_usage = true } or nil,
  }
  body[flavour.max_tokens] = request.max_tokens
  add_schema(body, request, flavour)
  return body
end

-- Reading ------------------------------------------------------------------------------------------

local FINISH = { stop = "stop", length = "length", tool_calls = "tool_calls", function_call = "tool_calls",
  content_filter = "content_filter" }

local function object(value)
  return type(value) == "table" and value ~= json.null and value or nil
end

local function text(value)
  return type(value) == "string" and value ~= "" and value or nil
end

local function read_usage(answer, usage)
  if not object(usage) then return end
  local input, output = object(usage.prompt_tokens_details) or {}, object(usage.completion_tokens_details) or {}
  answer:usage { input_tokens = usage.prompt_tokens, output_tokens = usage.completion_tokens, cached_tokens = input.cached_tokens,
    reasoning_tokens = output.reasoning_tokens }
end

local function read_content(answer, content)
  if type(content) == "string" then return answer:text(content) end
  if not object(content) then return end
  for _, part in ipairs(content) do
    if object(part) then answer:text(part.text) end
  end
end

local function read_calls(answer, calls)
  if not object(calls) then return end
  for _, call in ipairs(calls) do
    local called = object(call) and object(call["function"])
    if called then answer:tool_call(call.index, text(call.id), text(called.name), called.arguments) end
  end
end

-- A message, or a piece of one; most pieces have one of these.
local function read_message(answer, message)
  if message.reasoning_content or message.reasoning then
    answer:text(text(message.reasoning_content) or message.reasoning, "reasoning")
  end
  if message.content then read_content(answer, message.content) end
  if message.refusal then answer:text(message.refusal, "refusal") end
  if message.tool_calls then read_calls(answer, message.tool_calls) end
end

local function read_choice(answer, choice, field)
  local message = object(choice[field])
  if message then read_message(answer, message) end
  if text(choice.finish_reason) then answer.finish = FINISH[choice.finish_reason] or "stop" end
end

local function read_names(answer, value)
  if answer.id and answer.model then return end
  answer.id, answer.model = answer.id or text(value.id), answer.model or text(value.model)
end

--- Reads an answer that came whole.
---@param answer weir.model.Answer
---@param value table
---@return table|nil problem
function M.whole(answer, value)
  local choices = object(value.choices)
  local choice = choices and object(choices[1])
  if not choice or not object(choice.message) then return { class = "protocol", message = "an answer without choices" } end
  read_names(answer, value)
  read_choice(answer, choice, "message")
  read_usage(answer, value.usage)
end

--- Where an event has its text, which is most often all that is new in it.
M.mark = '"content"%s*:%s*"'

function M.place(value)
  local choice = object(value) and object(value.choices) and object(value.choices[1])
  return choice and object(choice.delta), "content"
end

local function at_mark(answer)
  if answer:is_empty() then return { class = "protocol", message = "a stream without an answer" } end
  return "end"
end

--- Reads one event of a stream.
---@param answer weir.model.Answer
---@param value any
---@return "end"|table|nil
function M.event(answer, value)
  if value == "[DONE]" then return at_mark(answer) end
  if not object(value) then return { class = "protocol", message = "an event that is no JSON object" } end
  read_names(answer, value)
  local choices = object(value.choices)
  for index = 1, choices and #choices or 0 do
    local choice = choices[index]
    if object(choice) and (choice.index == nil or choice.index == 0) then read_choice(answer, choice, "delta") end
  end
  if value.usage then read_usage(answer, value.usage) end
end

-- Asking -------------------------------------------------------------------------------------------

local function ask_for(options, request, path, body)
  return { url = options.url:gsub("/+$", "") .. path, body = body, headers = options.headers, secret = options.secret,
    timeout = request.timeout or options.timeout, idle_timeout = request.idle_timeout or options.idle_timeout }
end

local function model_of(options, request, name)
  local model = request.model or options[name or "model"]
  if model then return model end
  return nil, { errors.refuse("invalid_request", ("no model is named; set the option '%s'"):format(name or "model")) }
end

--- Asks for an answer. Waits.
---@param ctx table
---@param request table
---@param flavour weir.model.Flavour
---@return table|nil response
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail
function M.chat(ctx, request, flavour)
  local model, refusal = model_of(ctx.options, request)
  if not model then return table.unpack(refusal, 1, 4) end
  return wire.chat(ctx, request, ask_for(ctx.options, request, "/chat/completions", M.body(request, model, flavour)), M)
end

local function in_order(data)
  local list = {}
  for place, one in ipairs(object(data) or {}) do
    if object(one) then list[(math.tointeger(one.index) or place - 1) + 1] = one.embedding end
  end
  return list
end

--- Asks for embeddings. Waits.
---@param ctx table
---@param request { texts: string[], model: string? }
---@return { vectors: number[][], usage: table }|nil
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail
function M.embed(ctx, request)
  local model, refusal = model_of(ctx.options, request, "embedding_model")
  if not model then return table.unpack(refusal, 1, 4) end
  local body = { model = model, input = json.list(request.texts), encoding_format = "float" }
  local value, message, code, detail = wire.post(ctx, ask_for(ctx.options, request, "/embeddings", body))
  if not value then return nil, message, code, detail end
  local list, why = vectors.check(in_order(value.data), #request.texts)
  if not list then return errors.refuse("protocol", why) end
  local usage = object(value.usage) or {}
  return { vectors = list, usage = { input_tokens = math.tointeger(usage.prompt_tokens) } }
end

return M

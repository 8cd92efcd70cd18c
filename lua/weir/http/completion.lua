--- OpenAI's chat completions as a face of pipelines: a request becomes the input of a run, its output an answer
--- (https://platform.openai.com/docs/api-reference/chat, as its client 6.49 speaks it). Unknown fields are left out, never
--- refused. Pure.

local failure = require "weir.failure"
local json = require "weir.native.json"
local sayable = require "weir.view.sayable"

local M = {}

local null = json.null

local function known(value)
  if value == null then return nil end
  return value
end

local function text_of(content)
  content = known(content)
  if type(content) ~= "table" then return content or "" end
  local texts = {}
  for index, part in ipairs(content) do
    if part.type ~= "text" and part.type ~= "refusal" then
      failure.raise("invalid", "messages: content of type '%s' cannot be read; text can", tostring(part.type))
    end
    texts[index] = part.text or part.refusal or ""
  end
  return table.concat(texts)
end

local function call_of(call)
  local given = type(call["function"]) == "table" and call["function"] or {}
  local arguments, problem = json.decode(given.arguments or "{}")
  if type(arguments) ~= "table" then
    return { id = known(call.id) or "", name = given.name or "", raw = given.arguments, problem = problem or "no object" }
  end
  return { id = known(call.id) or "", name = given.name or "", arguments = arguments }
end

local ROLES = { developer = "system", ["function"] = "tool" }

local function message_of(message)
  local made = { role = ROLES[message.role] or message.role, content = text_of(message.content),
    tool_call_id = known(message.tool_call_id) }
  if known(message.tool_calls) then
    made.tool_calls = json.list {}
    for index, call in ipairs(message.tool_calls) do made.tool_calls[index] = call_of(call) end
  end
  return made
end

local function tools_of(tools)
  local list = json.list {}
  for _, tool in ipairs(tools) do
    local own = tool["function"]
    if type(own) == "table" then
      list[#list + 1] = { name = own.name, description = known(own.description), parameters = known(own.parameters) }
    end
  end
  return list
end

local CHOICE = { auto = "auto", none = "none", required = "required" }

local function choice_of(choice)
  if type(choice) == "table" then return { name = type(choice["function"]) == "table" and choice["function"].name or nil } end
  return CHOICE[choice]
end

local function schema_of(format)
  if type(format) ~= "table" then return nil end
  if format.type == "json_object" then return { type = "object" } end
  return type(format.json_schema) == "table" and format.json_schema.schema or nil
end

local function stop_of(stop)
  stop = known(stop)
  return type(stop) == "string" and json.list { stop } or stop
end

--- What a request gives a pipeline, in weir's own shapes. Only `messages` are sure to be there.
---@param body table
---@return table given
function M.read(body)
  local messages = json.list {}
  for index, message in ipairs(body.messages) do messages[index] = message_of(message) end
  return { messages = messages, tools = known(body.tools) and tools_of(body.tools) or nil, tool_choice = choice_of(known(body.tool_choice)),
    schema = schema_of(known(body.response_format)), stop = stop_of(body.stop), temperature = known(body.temperature),
    top_p = known(body.top_p), max_tokens = known(body.max_completion_tokens) or known(body.max_tokens), seed = known(body.seed),
    user = known(body.user), metadata = known(body.metadata) }
end

local function calls_of(calls)
  local list = json.list {}
  for index, call in ipairs(calls) do
    list[index] = { id = call.id, type = "function",
      ["function"] = { name = call.name, arguments = call.raw or sayable.encode(call.arguments) } }
  end
  return list
end

---@class weir.Completion
---@field content string
---@field tool_calls table[]|nil as OpenAI writes them
---@field finish string

--- The answer that the output of a run is: its text, the calls of the client's tools, or all of it as JSON.
---@param output any
---@return weir.Completion
function M.answer(output)
  if type(output) == "string" then return { content = output, finish = "stop" } end
  if type(output) ~= "table" or type(output.text) ~= "string" then return { content = sayable.encode(output) or "", finish = "stop" } end
  local calls = type(output.tool_calls) == "table" and #output.tool_calls > 0 and calls_of(output.tool_calls) or nil
  local finish = output.finish == "length" and "length" or output.finish == "content_filter" and "content_filter" or "stop"
  return { content = output.text, tool_calls = calls, finish = calls and "tool_calls" or finish }
end

--- Usage as OpenAI counts it; what is not known is 0 there, since its clients take no null.
---@param used fun(name: string): number
---@return table
function M.usage(used)
  local input, output = math.floor(used "input_tokens"), math.floor(used "output_tokens")
  return { prompt_tokens = input, completion_tokens = output, total_tokens = input + output,
    prompt_tokens_details = { cached_tokens = math.floor(used "cached_tokens") },
    completion_tokens_details = { reasoning_tokens = math.floor(used "reasoning_tokens") } }
end

local function base(head, object)
  return { id = head.id, object = object, created = head.created, model = head.model }
end

--- A whole answer.
---@param head { id: string, created: integer, model: string }
---@param answer weir.Completion
---@param usage table
---@return table
function M.whole(head, answer, usage)
  local body = base(head, "chat.completion")
  local content = answer.tool_calls and answer.content == "" and null or answer.content
  body.choices = json.list { { index = 0, finish_reason = answer.finish, logprobs = null,
    message = { role = "assistant", content = content, refusal = null, tool_calls = answer.tool_calls } } }
  body.usage = usage
  return body
end

local function chunk(head, choices, usage)
  local body = base(head, "chat.completion.chunk")
  body.choices, body.usage = json.list(choices), usage
  return ("data: %s\n\n"):format(sayable.encode(body))
end

--- One piece of a stream, as text of server-sent events.
---@param head table
---@param delta table
---@param finish string|nil
---@return string
function M.piece(head, delta, finish)
  return chunk(head, { { index = 0, delta = delta, finish_reason = finish or null, logprobs = null } })
end

--- The piece with the usage, which has no choices.
function M.last(head, usage)
  return chunk(head, {}, usage)
end

M.done = "data: [DONE]\n\n"

--- The calls of a stream: each in one piece.
---@param calls table[]
---@return table[]
function M.indexed(calls)
  local list = json.list {}
  for index, call in ipairs(calls) do
    list[index] = { index = index - 1, id = call.id, type = call.type, ["function"] = call["function"] }
  end
  return list
end

local TYPES = { [401] = "authentication_error", [403] = "permission_error", [404] = "not_found_error", [429] = "rate_limit_error" }

--- A refusal as OpenAI's clients read it.
---@param problem table problem details
---@return table
function M.refusal(problem)
  local kind = TYPES[problem.status] or problem.status < 500 and "invalid_request_error" or "server_error"
  return { error = { message = problem.detail, type = kind, code = problem.code, param = null, run = problem.run } }
end

return M

--- Anthropic's models, by the messages API.
---
--- Source: Anthropic, API reference (messages, streaming messages, tool use, extended thinking), of the version that the
--- header names. That version has no temperature and no top_p; `sampling` sends them to servers of an older one.
--- Structured output is a tool that the model has to call, or the API's own where `schema` says so.

local errors = require "weir.model.errors"
local json = require "weir.json"
local wire = require "weir.model.wire"

local VERSION = "2026-10-21"

local M = {
  kind = "model", name = "anthropic", api = 1,
  doc = "Anthropic's models, by the messages API",
  options = {
    url = { type = "string", default = "https://api.anthropic.com/v1" },
    model = "string?",
    max_tokens = { type = "integer", minimum = 1, default = 4096 }, -- where a request names none: the API needs one
    secret = { type = "string", default = "ANTHROPIC_API_KEY" },    -- the name of the key; "" sends none
    key_header = { enum = { "authorization", "x-api-key" }, default = "authorization" },
    headers = "object?",
    timeout = "number?",                                   -- seconds for the whole answer
    idle_timeout = "number?",                              -- seconds between two signs of life
    schema = { enum = { "tool", "output_config" }, default = "tool" }, -- how structured output is asked for
    sampling = { type = "boolean", default = false },      -- send temperature and top_p
  },
}

local THINKING = { low = 1024, medium = 4096, high = 16384 } -- tokens

-- Writing ------------------------------------------------------------------------------------------

local function tool_result(message)
  return { type = "tool_result", tool_use_id = message.tool_call_id, content = message.content or "", is_error = message.is_error or nil }
end

local function tool_use(call)
  return { type = "tool_use", id = call.id, name = call.name, input = call.arguments or { raw = call.raw } } -- the API takes objects only
end

local function assistant_blocks(message)
  local blocks = json.list {}
  if message.reasoning_signature then
    blocks[1] = { type = "thinking", thinking = message.reasoning or "", signature = message.reasoning_signature }
  end
  if message.content and message.content ~= "" then blocks[#blocks + 1] = { type = "text", text = message.content } end
  for _, call in ipairs(message.tool_calls or {}) do blocks[#blocks + 1] = tool_use(call) end
  return blocks
end

local function blocks_of(message)
  if message.role == "assistant" then return assistant_blocks(message) end
  if message.role == "tool" then return json.list { tool_result(message) } end
  return json.list { { type = "text", text = message.content } }
end

-- Messages of one side that follow one another become one: results of tools belong to the user's side.
local function write_messages(messages)
  local written, system = json.list {}, {}
  for _, message in ipairs(messages) do
    local role, last = message.role == "tool" and "user" or message.role, written[#written]
    if role == "system" then
      system[#system + 1] = message.content
    else
      local blocks = blocks_of(message)
      if last and last.role == role then table.move(blocks, 1, #blocks, #last.content + 1, last.content)
      elseif #blocks > 0 then written[#written + 1] = { role = role, content = blocks } end
    end
  end
  return written, #system > 0 and table.concat(system, "\n\n") or nil
end

-- Whether each call of a tool since the user spoke has its signed reasoning: without, the API takes no thinking.
local function may_think(messages)
  for index = #messages, 1, -1 do
    local message = messages[index]
    if message.role == "user" then break end
    if message.role == "assistant" and message.tool_calls and not message.reasoning_signature then return false end
  end
  return true
end

local CHOICES = { auto = "auto", none = "none", required = "any" }

local function tool_choice(choice)
  if type(choice) == "table" then return { type = "tool", name = choice.name } end
  return choice and { type = CHOICES[choice] } or nil
end

local function write_tools(request)
  local written = json.list {}
  for index, tool in ipairs(request.tools or {}) do
    written[index] = { name = tool.name, description = tool.description, input_schema = tool.parameters }
  end
  return written
end

local function schema_name(request)
  return request.schema_name or "answer"
end

local function add_tools(body, request, by_tool)
  local tools = write_tools(request)
  body.tool_choice = #tools > 0 and tool_choice(request.tool_choice) or nil
  if by_tool then
    body.tool_choice = #tools > 0 and { type = "any" } or { type = "tool", name = schema_name(request) }
    tools[#tools + 1] = { name = schema_name(request), description = "Gives the answer", input_schema = request.schema }
  end
  if #tools > 0 then body.tools = tools end
end

local function add_thinking(body, request, by_tool)
  local budget = THINKING[request.reasoning]
  if not budget or by_tool or not may_think(request.messages) then return end
  body.thinking = { type = "enabled", budget_tokens = budget }
  body.max_tokens = body.max_tokens + budget
end

local function body_of(options, request, model)
  local messages, system = write_messages(request.messages)
  local by_tool = request.schema and options.schema == "tool"
  local body = {
    model = model, messages = messages, system = system, max_tokens = request.max_tokens or options.max_tokens,
    stop_sequences = request.stop and #request.stop > 0 and json.list(request.stop) or nil, stream = request.stream or nil,
    temperature = options.sampling and request.temperature or nil, top_p = options.sampling and request.top_p or nil,
    output_config = request.schema and not by_tool and { format = { type = "json_schema", schema = request.schema } } or nil,
    metadata = request.metadata and request.metadata.user_id and { user_id = request.metadata.user_id } or nil,
  }
  add_tools(body, request, by_tool)
  add_thinking(body, request, by_tool)
  return body
end

-- Reading ------------------------------------------------------------------------------------------

local FINISH = { end_turn = "stop", stop_sequence = "stop", pause_turn = "stop", max_tokens = "length",
  model_context_window_exceeded = "length", tool_use = "stop", refusal = "refusal" } -- calls of tools make "tool_calls" of "stop"

local function object(value)
  return type(value) == "table" and value ~= json.null and value or nil
end

local function count(value)
  return type(value) == "number" and value or 0
end

-- All input is the sum of what was read, what was put into the cache and what came from it.
local function read_usage(answer, usage)
  usage = object(usage)
  if not usage then return end
  local input = type(usage.input_tokens) == "number" and
    usage.input_tokens + count(usage.cache_creation_input_tokens) + count(usage.cache_read_input_tokens) or nil
  answer:usage { input_tokens = input, output_tokens = usage.output_tokens, cached_tokens = usage.cache_read_input_tokens }
end

local function read_stop(answer, reason)
  if type(reason) == "string" then answer.finish = FINISH[reason] or "stop" end
end

local BLOCKS, DELTAS = {}, {}

function BLOCKS.text(answer, block) answer:text(block.text) end

function BLOCKS.thinking(answer, block)
  answer:text(block.thinking, "reasoning")
  if type(block.signature) == "string" and block.signature ~= "" then answer.signature = block.signature end
end

-- The call of the tool that stands for structured output is the answer's text.
function BLOCKS.tool_use(answer, block, index, answer_tool)
  local is_answer = block.name == answer_tool
  local input = object(block.input) and next(block.input) and json.encode(block.input) or nil
  answer.blocks[index] = is_answer and "text" or block.id
  if is_answer then answer:text(input) else answer:tool_call(nil, block.id, block.name, input) end
end

function DELTAS.text_delta(answer, delta) answer:text(delta.text) end
function DELTAS.thinking_delta(answer, delta) answer:text(delta.thinking, "reasoning") end
function DELTAS.signature_delta(answer, delta) answer.signature = (answer.signature or "") .. delta.signature end

function DELTAS.input_json_delta(answer, delta, index)
  local id = answer.blocks[index]
  if id == "text" then answer:text(delta.partial_json)
  elseif id and delta.partial_json ~= "" then answer:tool_call(nil, id, nil, delta.partial_json) end
end

local EVENTS = {}

function EVENTS.message_start(answer, value)
  local message = object(value.message) or {}
  answer.id, answer.model = message.id, message.model
  read_usage(answer, message.usage)
end

function EVENTS.content_block_start(answer, value, answer_tool)
  local block = object(value.content_block)
  local read = block and BLOCKS[block.type]
  if read then read(answer, block, value.index, answer_tool) end
end

function EVENTS.content_block_delta(answer, value)
  local delta = object(value.delta)
  local read = delta and DELTAS[delta.type]
  if read then read(answer, delta, value.index) end
end

function EVENTS.message_delta(answer, value)
  read_stop(answer, object(value.delta) and value.delta.stop_reason)
  read_usage(answer, value.usage)
end

function EVENTS.message_stop(answer)
  if answer.finish or not answer:is_empty() then return "end" end
  return { class = "protocol", message = "a stream without an answer" }
end

-- What the bytes mean, where structured output is a call of `answer_tool`.
local function dialect(answer_tool)
  local function begin(answer) answer.blocks = answer.blocks or {} end
  return {
    whole = function(answer, value)
      if not object(value.content) then return { class = "protocol", message = "an answer without content" } end
      begin(answer)
      answer.id, answer.model = value.id, value.model
      for index, block in ipairs(value.content) do
        local read = object(block) and BLOCKS[block.type]
        if read then read(answer, block, index, answer_tool) end
      end
      read_stop(answer, value.stop_reason)
      read_usage(answer, value.usage)
    end,
    event = function(answer, value)
      if not object(value) then return { class = "protocol", message = "an event that is no JSON object" } end
      begin(answer)
      local read = EVENTS[value.type]
      return read and read(answer, value, answer_tool)
    end,
  }
end

local function ask_for(options, request, body)
  local is_bearer = options.key_header == "authorization"
  local headers = { ["anthropic-version"] = VERSION }
  for name, value in pairs(options.headers or {}) do headers[name:lower()] = value end
  return { url = options.url:gsub("/+$", "") .. "/messages", body = body, headers = headers, secret = options.secret,
    secret_header = options.key_header, secret_prefix = is_bearer and "Bearer " or "",
    timeout = request.timeout or options.timeout, idle_timeout = request.idle_timeout or options.idle_timeout }
end

--- Asks for an answer. Waits; a stream's deltas are emitted as they come. Signed reasoning is kept as
--- `message.reasoning_signature`; a conversation that keeps it lets the model think on between calls of tools.
---@param ctx weir.Context
---@param request table see the contract of model modules
---@return table? response
---@return string? message
---@return string? code  that of the class in `detail`, see weir.model.errors
---@return weir.model.Detail? detail
function M.chat(ctx, request)
  local options = ctx.options
  local model = request.model or options.model
  if not model then return errors.refuse("invalid_request", "no model is named; set the option 'model'") end
  local by_tool = request.schema and options.schema == "tool"
  if by_tool and request.schema.type ~= "object" then
    return errors.refuse("invalid_request", "structured output of Anthropic's models must be an object; the schema says otherwise")
  end
  return wire.chat(ctx, request, ask_for(options, request, body_of(options, request, model)), dialect(by_tool and schema_name(request)))
end

return M

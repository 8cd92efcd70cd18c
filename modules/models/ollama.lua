--- Models that an Ollama server runs, by its own API.
--- Source: Ollama, API reference (chat, embed). Streams are NDJSON; calls of tools come whole and without ids.

local errors = require "weir.model.errors"
local json = require "weir.json"
local openai = require "weir.model.dialect.openai"
local vectors = require "weir.model.vectors"
local wire = require "weir.model.wire"

local M = {
  kind = "model", name = "ollama", api = 1,
  doc = "Models that an Ollama server runs",
  options = {
    url = { type = "string", default = "http://127.0.0.1:11434" },
    model = "string?",
    embedding_model = "string?",                           -- without, that of `model`
    secret = { type = "string", default = "" },            -- the name of the key; "" sends none
    headers = "object?",
    timeout = "number?",                                   -- seconds for the whole answer
    idle_timeout = "number?",                              -- seconds between two signs of life; loading a model gives none
    think = { enum = { "yes", "level" }, default = "yes" }, -- what `reasoning` becomes: true, or low, medium, high
    keep_alive = "string?",                                -- how long the server keeps the model loaded, such as "10m"
    parameters = "object?",                                -- further model parameters, such as num_ctx
  },
}

-- Writing ------------------------------------------------------------------------------------------

local function write_calls(calls)
  if not calls or #calls == 0 then return nil end
  local written = json.list {}
  for index, call in ipairs(calls) do
    written[index] = { ["function"] = { name = call.name, arguments = call.arguments or { raw = call.raw } } }
  end
  return written
end

-- Results of tools are told apart by the name of the tool, which the call of that id has.
local function write_messages(messages)
  local written, names = json.list {}, {}
  for index, message in ipairs(messages) do
    for _, call in ipairs(message.tool_calls or {}) do names[call.id] = call.name end
    written[index] = { role = message.role, content = message.content or "", tool_calls = write_calls(message.tool_calls),
      tool_name = message.role == "tool" and names[message.tool_call_id] or nil }
  end
  return written
end

local function parameters_of(options, request)
  local parameters = {}
  for name, value in pairs(options.parameters or {}) do parameters[name] = value end
  parameters.num_predict, parameters.temperature = request.max_tokens, request.temperature
  parameters.top_p, parameters.seed = request.top_p, request.seed
  if request.stop and #request.stop > 0 then parameters.stop = json.list(request.stop) end
  return next(parameters) and parameters or nil
end

local function body_of(options, request, model)
  local think = request.reasoning and (options.think == "yes" or request.reasoning) or nil
  local tools = request.tool_choice ~= "none" and openai.tools(request.tools) or nil
  return { model = model, messages = write_messages(request.messages), tools = tools, stream = request.stream or false,
    format = request.schema, think = think, keep_alive = options.keep_alive, options = parameters_of(options, request) }
end

-- Reading ------------------------------------------------------------------------------------------

local FINISH = { stop = "stop", length = "length" }

local function object(value)
  return type(value) == "table" and value ~= json.null and value or nil
end

local function read(answer, value)
  local message = object(value.message) or {}
  answer.model = answer.model or value.model
  answer:text(message.thinking or message.reasoning_content, "reasoning")
  answer:text(message.content)
  for _, call in ipairs(object(message.tool_calls) or {}) do
    local called = object(call) and object(call["function"])
    if called then answer:tool_call(nil, call.id, called.name, called.arguments) end
  end
  if value.done ~= true then return nil end
  answer.finish = FINISH[value.done_reason] or "stop"
  answer:usage { input_tokens = value.prompt_eval_count, output_tokens = value.eval_count }
  return "end"
end

local DIALECT = {
  whole = function(answer, value)
    if not object(value.message) then return { class = "protocol", message = "an answer without a message" } end
    if read(answer, value) ~= "end" then return { class = "protocol", message = "an answer that is not done" } end
  end,
  event = function(answer, value)
    if not object(value) then return { class = "protocol", message = "a line that is no JSON object" } end
    return read(answer, value)
  end,
}

local function ask_for(options, request, path, body)
  return { url = options.url:gsub("/+$", "") .. path, body = body, headers = options.headers, secret = options.secret, format = "ndjson",
    timeout = request.timeout or options.timeout, idle_timeout = request.idle_timeout or options.idle_timeout }
end

--- Asks for an answer. Waits; a stream's deltas are emitted as they come.
---@param ctx weir.Context
---@param request table see the contract of model modules
---@return table? response
---@return string? message
---@return string? code  that of the class in `detail`, see weir.model.errors
---@return weir.model.Detail? detail
function M.chat(ctx, request)
  local model = request.model or ctx.options.model
  if not model then return errors.refuse("invalid_request", "no model is named; set the option 'model'") end
  return wire.chat(ctx, request, ask_for(ctx.options, request, "/api/chat", body_of(ctx.options, request, model)), DIALECT)
end

--- Asks for embeddings. Waits.
---@param ctx weir.Context
---@param request { texts: string[], model: string? }
---@return { vectors: number[][], usage: table }?
---@return string? message
---@return string? code
---@return weir.model.Detail? detail
function M.embed(ctx, request)
  local options = ctx.options
  local model = request.model or options.embedding_model or options.model
  if not model then return errors.refuse("invalid_request", "no model is named; set the option 'embedding_model'") end
  local body = { model = model, input = json.list(request.texts) }
  local value, message, code, detail = wire.post(ctx, ask_for(options, request, "/api/embed", body))
  if not value then return nil, message, code, detail end
  local list, why = vectors.check(value.embeddings, #request.texts)
  if not list then return errors.refuse("protocol", why) end
  return { vectors = list, usage = { input_tokens = math.tointeger(value.prompt_eval_count) } }
end

return M

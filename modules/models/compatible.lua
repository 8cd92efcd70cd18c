--- Servers that speak OpenAI's dialect: llama.cpp, vLLM, Ollama, LM Studio and many that are for hire.
---
--- What they answer is read whatever their flavour; what they are asked is set by the options. The defaults fit a
--- llama-server on this machine.

local openai = require "weir.model.dialect.openai"

local M = {
  kind = "model", name = "compatible", api = 1,
  doc = "Servers that speak OpenAI's dialect",
  options = {
    url = { type = "string", default = "http://127.0.0.1:8080/v1" },
    model = { type = "string", default = "default" },      -- servers with one model take any name
    embedding_model = { type = "string", default = "default" },
    secret = { type = "string", default = "" },            -- the name of the key; "" sends none
    headers = "object?",
    timeout = "number?",                                   -- seconds for the whole answer
    idle_timeout = "number?",                              -- seconds between two signs of life
    usage = { type = "boolean", default = true },          -- the server knows stream_options; false where it refuses them
    max_tokens_field = { enum = { "max_tokens", "max_completion_tokens" }, default = "max_tokens" },
    schema = { enum = { "json_schema", "json_object", "none" }, default = "json_schema" }, -- else the model is told
    strict = { type = "boolean", default = true },
    reasoning = { type = "boolean", default = false },     -- the server knows reasoning_effort
    metadata = { type = "boolean", default = false },      -- send the request's metadata
  },
}

--- Asks for an answer. Waits; a stream's deltas are emitted as they come.
---@param ctx weir.Context
---@param request table see the contract of model modules
---@return table? response
---@return string? message
---@return string? code  that of the class in `detail`, see weir.model.errors
---@return weir.model.Detail? detail
function M.chat(ctx, request)
  local options = ctx.options
  return openai.chat(ctx, request, { max_tokens = options.max_tokens_field, usage = options.usage, schema = options.schema,
    strict = options.strict, reasoning = options.reasoning, metadata = options.metadata })
end

--- Asks for embeddings. Waits.
---@param ctx weir.Context
---@param request { texts: string[], model: string? }
---@return { vectors: number[][], usage: table }?
---@return string? message
---@return string? code
---@return weir.model.Detail? detail
function M.embed(ctx, request)
  return openai.embed(ctx, request)
end

return M

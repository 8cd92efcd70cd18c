--- OpenAI's models, by chat completions and embeddings.
--- Source: OpenAI, API reference (chat completions, embeddings).

local openai = require "weir.model.dialect.openai"

local M = {
  kind = "model", name = "openai", api = 1,
  doc = "OpenAI's models, by chat completions",
  options = {
    url = { type = "string", default = "https://api.openai.com/v1" },
    model = "string?",                                     -- the provider's name, such as those that GET /models lists
    embedding_model = { type = "string", default = "text-embedding-3-small" },
    secret = { type = "string", default = "OPENAI_API_KEY" }, -- the name of the key; "" sends none
    headers = "object?",
    timeout = "number?",                                   -- seconds for the whole answer
    idle_timeout = "number?",                              -- seconds between two signs of life
    strict = { type = "boolean", default = true },         -- structured output keeps to the schema to the letter
    metadata = { type = "boolean", default = false },      -- send the request's metadata, which the provider then keeps
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
  return openai.chat(ctx, request, { max_tokens = "max_completion_tokens", usage = true, schema = "json_schema",
    strict = ctx.options.strict, reasoning = true, metadata = ctx.options.metadata })
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

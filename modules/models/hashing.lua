--- Embeddings that need nothing: the signed hashing trick of Weinberger et al., "Feature Hashing for Large Scale Multitask
--- Learning", ICML 2009, over words, pairs of words and parts of words (see weir.text.hashing). They find texts that share
--- words, not texts that share a meaning.

local hashing = require "weir.text.hashing"
local json = require "weir.json"
local tokens = require "weir.text.tokens"

local M = {
  kind = "model", name = "hashing", api = 1, is_local = true, price = { input = 0, output = 0 },
  doc = "Embeddings by hashing, which need nothing and are the same everywhere",
  options = {
    dimensions = { type = "integer", minimum = 8, maximum = 4096, default = 256 },
  },
}

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

--- Gives the vectors of texts: of unit length, zeros for a text without words. Does not wait.
---@param ctx weir.Context
---@param request { texts: string[] }
---@return { vectors: number[][], usage: table } found
function M.embed(ctx, request)
  local list, words = json.list {}, 0
  for index, text in ipairs(request.texts) do
    list[index] = json.list(hashing.vector(text, ctx.options.dimensions, pause))
    words = words + tokens.count(text)
  end
  return { vectors = list, usage = { input_tokens = words } }
end

return M

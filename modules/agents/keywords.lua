--- Finds the words or phrases a text is about, by TF-IDF over its sentences, RAKE or TextRank
--- (sources in weir.text.terms).

local weir = require "weir"
local markdown = require "weir.text.markdown"
local terms = require "weir.text.terms"

local M = {
  kind = "agent", name = "keywords", api = 1,
  doc = "Finds the words or phrases a text is about",
  needs = { text = "string", source = "string?" },
  gives = { keywords = "array" },
  options = {
    method = { enum = terms.methods, default = "tfidf" },
    limit = { type = "integer", minimum = 1, maximum = 1000, default = 10 },
    language = "string?", -- ISO 639-1, for stop words; guessed without
  },
}

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

--- Finds keywords. Does not wait.
---@param ctx weir.Context
---@param input { text: string, source: string? }  a source that is named as Markdown is read as such
---@return { keywords: { word: string, score: number }[] }?  the best first, scores 0..1
---@return string? message
---@return string? code  invalid (no text)
function M.execute(ctx, input)
  if type(input.text) ~= "string" then
    return nil, "keywords: input.text is required (string)", "invalid"
  end
  local found = terms.key(input.text, {
    method = ctx.options.method, limit = ctx.options.limit, language = ctx.options.language,
    markdown = markdown.is_markdown(input.source), pause = pause,
  })
  return { keywords = weir.list(found) }
end

return M

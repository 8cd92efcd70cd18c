--- Measures how much of a text another one says, and in how many words: the share of the source's key terms that a summary
--- has, and that share for each word of it.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"

local M = {
  kind = "agent", name = "measure", api = 1,
  doc = "Measures how much of a source a text covers",
  needs = { text = "string", source = "string", name = "string?" },
  gives = { coverage = "number", words = "integer", coverage_per_word = "number", missing = "array" },
  options = {
    key_terms = { type = "integer", minimum = 1, default = 24 }, -- of the source that count
    at_least = { type = "number", minimum = 0, maximum = 1, default = 0 }, -- share below which a text is worth nothing per word
  },
}

local function pause() end -- where a long computation can be interrupted

--- Measures. Does not wait.
---@param ctx weir.Context
---@param input { text: string, source: string, name: string? } name: of the source, tells whether it is Markdown
---@return { coverage: number, words: integer, coverage_per_word: number, missing: string[] }? coverage: 0..1
---@return string? message
---@return string? code invalid
function M.execute(ctx, input)
  if type(input.text) ~= "string" or type(input.source) ~= "string" then
    return nil, "measure: input.text and input.source are required (string)", "invalid"
  end
  local keys = terms.key(input.source, { limit = ctx.options.key_terms, markdown = markdown.is_markdown(input.name), pause = pause })
  local there, missing = {}, weir.list {}
  for _, term in ipairs(tokens.terms(input.text)) do there[term] = true end
  for _, key in ipairs(keys) do
    if not there[key.word] then missing[#missing + 1] = key.word end
  end
  local coverage = #keys > 0 and 1 - #missing / #keys or 1
  local words = tokens.count(input.text)
  local counts = words > 0 and coverage >= ctx.options.at_least
  return { coverage = coverage, words = words, coverage_per_word = counts and coverage / words or 0, missing = missing }
end

return M

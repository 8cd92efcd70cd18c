--- A model that needs nothing: answers with the words a text is about, by TF-IDF over its sentences, RAKE or TextRank
--- (sources in weir.text.terms).
---
--- The text is that of the last message of the user; a line or paragraph before it that ends with a colon is what asks,
--- and may say how many ("5 keywords"). Where structured output with a list of texts is asked for, the words are that list.

local answers = require "weir.model.answer"
local errors = require "weir.model.errors"
local json = require "weir.json"
local markdown = require "weir.text.markdown"
local offline = require "weir.model.offline"
local terms = require "weir.text.terms"

local M = {
  kind = "model", name = "keywords", api = 1, is_local = true, price = { input = 0, output = 0 },
  doc = "Answers with the words a text is about",
  options = {
    method = { enum = terms.methods, default = "tfidf" },
    limit = { type = "integer", minimum = 1, maximum = 1000, default = 10 }, -- words, where nothing else says
    language = "string?", -- ISO 639-1, for stop words; guessed without
  },
}

local NOUNS = {}
for noun in ("keywords keyword words word terms term tags tag topics topic phrases phrase"):gmatch "%S+" do NOUNS[noun] = true end

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function words_of(ctx, request, given)
  local options = ctx.options
  local limit = offline.number_of(given.instruction, NOUNS) or options.limit
  local found, words = terms.key(given.text, { method = options.method, limit = math.min(limit, request.max_tokens or limit),
    language = options.language, markdown = markdown.looks_like(given.text), pause = pause }), json.list {}
  for index, one in ipairs(found) do words[index] = one.word end
  return words
end

local function pieces_of(request, words)
  local pieces = {}
  for index, word in ipairs(words) do pieces[index] = (index > 1 and ", " or "") .. word end
  local text = table.concat(pieces)
  local stopped = offline.until_stop(text, request.stop)
  return #stopped < #text and { stopped } or pieces
end

--- Answers with keywords, the best first, divided by commas, or as a list where the schema asks for one. Emits.
---@param ctx weir.Context
---@param request table see the contract of model modules
---@return table? response
---@return string? message
---@return string? code  `invalid`: tools are required, or the schema has no place for a list of texts alone
---@return weir.model.Detail? detail
function M.chat(ctx, request)
  local unmet = offline.unmet(request, M.name)
  if unmet then return errors.refuse("invalid_request", unmet) end
  local answer, given = answers.new(ctx, request), offline.given(request)
  answer.model = ctx.options.method
  answer:usage { input_tokens = given.input_tokens }
  local words = words_of(ctx, request, given)
  return offline.answer(answer, request, pieces_of(request, words), words)
end

return M

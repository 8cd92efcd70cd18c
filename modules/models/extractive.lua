--- A model that needs nothing: answers with the most telling sentences of the text it is given.
---
--- The text is that of the last message of the user; a line or paragraph before it that ends with a colon is what asks.
--- "in at most 40 words" there, or in a message of the system, says how long the answer may be, as max_tokens does; words
--- count as tokens. The methods differ in speed and quality; sources in weir.text.salience.

local answers = require "weir.model.answer"
local errors = require "weir.model.errors"
local extract = require "weir.text.extract"
local offline = require "weir.model.offline"
local salience = require "weir.text.salience"
local selection = require "weir.text.selection"
local tokens = require "weir.text.tokens"

local M = {
  kind = "model", name = "extractive", api = 1, is_local = true, price = { input = 0, output = 0 },
  doc = "Answers with the most telling sentences of the text it is given",
  options = {
    method = { enum = salience.methods, default = "textrank" },
    words = { type = "integer", minimum = 1, default = 100 }, -- of an answer where nothing else says
    language = "string?",                                  -- ISO 639-1, for stop words; guessed without
  },
}

local WORDS = { words = true, word = true }

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function limit_of(ctx, request, given)
  local asked = offline.number_of(given.instruction, WORDS) or request.max_tokens or ctx.options.words
  return math.min(asked, request.max_tokens or asked)
end

-- Not even one sentence may have room: then it is cut between two words.
local function cut_words(text, most)
  local count = 0
  for at in tokens.starts(text) do
    count = count + 1
    if count > most then return (text:sub(1, at - 1):gsub("%s+$", "")) end
  end
end

local function pieces_of(request, chosen)
  local pieces = selection.pieces(chosen)
  local text = table.concat(pieces)
  local stopped = offline.until_stop(text, request.stop)
  local cut = request.max_tokens and cut_words(stopped, request.max_tokens)
  if cut or #stopped < #text then return { cut or stopped }, cut and "length" or "stop" end
  return pieces, "stop"
end

--- Answers with sentences of the text, a piece for each. Emits; computes between two waits.
---@param ctx weir.Context
---@param request table see the contract of model modules
---@return table? response
---@return string? message
---@return string? code  `invalid`: tools are required, or the schema has no place for one text
---@return weir.model.Detail? detail
function M.chat(ctx, request)
  local unmet = offline.unmet(request, M.name)
  if unmet then return errors.refuse("invalid_request", unmet) end
  local answer, given = answers.new(ctx, request), offline.given(request)
  answer.model = ctx.options.method
  answer:usage { input_tokens = given.input_tokens }
  local chosen = extract.condense({ { text = given.text } }, limit_of(ctx, request, given),
    { method = ctx.options.method, markup = "auto", language = ctx.options.language, pause = pause })
  local pieces, finish = pieces_of(request, chosen)
  answer.finish = not request.schema and finish or nil
  return offline.answer(answer, request, pieces, table.concat(pieces))
end

return M

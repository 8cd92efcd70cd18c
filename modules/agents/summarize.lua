--- Condenses text to its most telling sentences, verbatim and linked to their source.
---
--- Extractive and offline, by a published method (see weir.text.extract and weir.text.salience). When a critic sends a
--- summary back, sentences with the words that its advice quotes come first.

local weir = require "weir"
local extract = require "weir.text.extract"
local salience = require "weir.text.salience"
local selection = require "weir.text.selection"

local M = {
  kind = "agent", name = "summarize", api = 1,
  doc = "Condenses text to its most telling sentences, each linked to its source",
  needs = { text = "string?", chunks = "array?", words = "integer?", source = "string?" },
  gives = { text = "string", sentences = "array", words = "integer", method = "string" },
  options = {
    method = { enum = salience.methods, default = "textrank" },
    words = { type = "integer", minimum = 1, default = 200 },          -- what the summary may have
    markup = { enum = { "auto", "markdown", "plain" }, default = "auto" }, -- auto: by the source's name, else its look
    language = "string?",                                              -- ISO 639-1, for stop words; guessed without
    passes = {                                                         -- before the last one, which gives `words`
      type = "array", default = weir.list({}),
      items = {
        type = "object", additionalProperties = false, required = { "words" },
        properties = {
          words = { type = "integer", minimum = 1 },                   -- kept of each chunk
          chunk = { type = "integer", minimum = 1 },                   -- characters condensed together
        },
      },
    },
    keep = { type = "boolean", default = false },                      -- post each level as summary/LEVEL/N
  },
}

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function keep_level(ctx, number, groups)
  if not ctx.options.keep then return true end
  if not ctx.workspace then
    return nil, "summarize: keep needs a workspace and this run has none; leave the option 'keep' out", "unavailable"
  end
  for index, group in ipairs(groups) do
    local sentences_list = weir.list(group.sentences)
    ctx.workspace:post(("summary/%d/%d"):format(number, index),
      { text = selection.text(group.sentences), sentences = sentences_list, words = group.words })
  end
  return true
end

local function parts_of(input)
  local parts = input.chunks or { input }
  for index, part in ipairs(parts) do
    if type(part) ~= "table" or type(part.text) ~= "string" then
      return nil, ("summarize: %s must have a text (string); give {text} or {chunks = [{text, ...}]}")
        :format(input.chunks and ("chunk %d"):format(index) or "the input"), "invalid"
    end
  end
  return parts
end

--- Summarizes text or chunks. Waits only where `keep` posts a level; between two waits it computes.
---@param ctx weir.Context
---@param input { text: string, source: string?, words: integer?, from: integer?, line: integer?, inside: string? }
---  | { chunks: table[], words: integer? }  a chunk is what agent `chunk` makes, { text, from, to, line, source };
---  `words` goes before the option
---@return { text: string, sentences: weir.text.Sentence[], words: integer, method: string }?  sentences in order of
---  source and position, their text verbatim; together at most `words` words, or one sentence
---@return string? message
---@return string? code  invalid (input without text), unavailable (keep without a workspace)
function M.execute(ctx, input)
  local parts, message, code = parts_of(input)
  if not parts then return nil, message, code end
  local target = input.words or ctx.options.words
  local options = ctx.options
  local chosen, words
  chosen, words, code = extract.condense(parts, target, {
    method = options.method, markup = options.markup, language = options.language, passes = options.passes,
    advice = ctx.feedback and ctx.feedback.advice, pause = pause,
    keep = function(number, groups) return keep_level(ctx, number, groups) end,
  })
  if not chosen then return nil, words, code end
  return { text = selection.text(chosen), sentences = weir.list(chosen), words = words, method = options.method }
end

return M

--- Makes one node of a pyramid of summaries: of a piece of text a leaf, of summaries the one above them. Each sentence
--- names those it rests on, see weir.text.pyramid. By a published method, offline, or by the model of the step. When a
--- critic sends a summary back, sentences with the words that its advice quotes come first, and a model is told the advice.

local pyramid = require "weir.text.pyramid"
local salience = require "weir.text.salience"

local by = { "model" }
table.move(salience.methods, 1, #salience.methods, 2, by)

local M = {
  kind = "agent", name = "condense", api = 1,
  doc = "Condenses a piece of text, or summaries, to one summary whose sentences name what they rest on",
  needs = { text = "string?", items = "array?", source = "string?", inside = "string?" },
  gives = { id = "string", text = "string", sentences = "array", words = "integer", level = "integer" },
  options = {
    method = { enum = by, default = "textrank" },               -- model: that of the step writes it
    words = { type = "integer", minimum = 1, default = 100 },   -- that the summary may have
    markup = { enum = { "auto", "markdown", "plain" }, default = "auto" },
    language = "string?",                                       -- ISO 639-1, for stop words; a model is asked to write in it
  },
}

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function texts_of(nodes)
  local texts = {}
  for index, node in ipairs(nodes) do texts[index] = node.text end
  return table.concat(texts, "\n\n")
end

local function written(ctx, text)
  local options = ctx.options
  local advice = ctx.feedback and ctx.feedback.advice
  local prompt = ("In at most %d words%s, what does this text say%s:\n\n%s"):format(options.words,
    options.language and (" of the language '%s'"):format(options.language) or "",
    advice and (" (last time it was not good enough: %s)"):format(advice) or "", text)
  return ctx:chat({ prompt = prompt }).message.content
end

local function check(input)
  if input.items then
    for index, node in ipairs(input.items) do
      if type(node) ~= "table" or type(node.id) ~= "string" or type(node.sentences) ~= "table" then
        return ("condense: input.items[%d] is no summary that condense made"):format(index - 1)
      end
    end
    if #input.items == 0 then return "condense: input.items has no summary" end
  elseif type(input.text) ~= "string" then
    return "condense: give input.text (string), or input.items, summaries that condense made"
  end
end

--- Condenses. Waits only where a model is asked.
---@param ctx weir.Context
---@param input { text: string, source: string?, inside: string? } | { items: weir.text.PyramidNode[] }
---@return weir.text.PyramidNode?
---@return string? message
---@return string? code  invalid (neither text nor summaries); those of models
function M.execute(ctx, input)
  local problem = check(input)
  if problem then return nil, problem, "invalid" end
  local options, items = ctx.options, input.items
  if options.method == "model" then
    local answer = written(ctx, items and texts_of(items) or input.text)
    if items then return pyramid.written_above(items, answer, "model") end
    return pyramid.written_leaf(input, answer, "model")
  end
  local how = { method = options.method, markup = options.markup, language = options.language, pause = pause,
    advice = ctx.feedback and ctx.feedback.advice }
  if items then return pyramid.above(items, options.words, how) end
  return pyramid.leaf(input, options.words, how)
end

return M

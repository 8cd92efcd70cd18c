--- Keeps a summary up to date of a text that arrives on a stream and may never end. What it holds is bounded: the summary,
--- and what has come since it was made. Emits each new summary; its output is the last one.

local running = require "weir.text.running"
local salience = require "weir.text.salience"
local weir = require "weir"

local M = {
  kind = "agent", name = "running_summary", api = 1,
  doc = "Keeps a summary up to date of text that arrives on a stream",
  gives = { text = "string", sentences = "array", words = "integer", bytes = "integer", updates = "integer" },
  options = {
    words = { type = "integer", minimum = 1, default = 100 },  -- that the summary may have
    every = { type = "integer", minimum = 1, default = 200 },  -- words that come before it is made anew
    method = { enum = salience.methods, default = "textrank" },
    markup = { enum = { "auto", "markdown", "plain" }, default = "plain" },
    language = "string?",                                      -- ISO 639-1, for stop words; guessed without
  },
}

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function shown(summary)
  return { text = summary:text(), sentences = weir.list(table.move(summary.sentences, 1, #summary.sentences, 1, {})),
    words = summary.words, bytes = summary.bytes, updates = summary.updates }
end

local function text_of(item)
  local text = type(item) == "table" and item.text or item
  if type(text) == "string" then return text end
  error({ code = "invalid", message = ("running_summary: an item of the stream is a %s; texts, or tables with a text, are summed up")
    :format(type(item)) }, 0)
end

--- Reads the stream to its end. Waits for what comes, and while readers are behind. Raises `invalid` for what is no text.
---@param ctx weir.Context
---@return { text: string, sentences: weir.text.Sentence[], words: integer, bytes: integer, updates: integer } bytes: that have
---  come; sentences with their bytes and lines in all of it
function M.execute(ctx)
  local options = ctx.options
  local summary = running.new { words = options.words, every = options.every, method = options.method, markup = options.markup,
    language = options.language, pause = pause }
  for item in ctx:items() do
    if summary:add(text_of(item)) then ctx:emit(shown(summary)) end
  end
  if summary:finish() then ctx:emit(shown(summary)) end
  return shown(summary)
end

return M

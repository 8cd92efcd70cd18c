--- Condenses text to its most telling sentences, verbatim and linked to their source.
---
--- Extractive and offline: sentences are found by Unicode rules, scored by a published method
--- (TextRank, LexRank, SumBasic or lead; sources in weir.text.salience), near-repetitions left out,
--- and the best ones that fit the number of words put back in order. Code, tables and headings of
--- Markdown are not prose and are skipped. When a critic sends a summary back, sentences with the words
--- that its advice quotes come first. Long input is condensed in passes, so memory stays
--- bounded by a pass and not by the text.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local salience = require "weir.text.salience"
local selection = require "weir.text.selection"
local sentences = require "weir.text.sentences"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"

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

local GROUP = 500         -- sentences ranked together at most; more are condensed in passes first
local ALIKE = 0.5         -- share of words two sentences of a summary may have in common
local FEWEST, MOST = 6, 45 -- words of a sentence worth quoting
local MOST_IDEOGRAPHS = 90 -- where characters are words, which take three bytes each
local PUNCTUATION = 0.1   -- share of its bytes that may be marks: code and tables have more
local SEMICOLONS = 2      -- with more, it is a list

local function is_markdown(part, markup)
  if markup ~= "auto" then return markup == "markdown" end
  if part.source then return markdown.is_markdown(part.source) end
  return part.text:find("^#+ ") ~= nil or part.text:find("\n#+ ") ~= nil or part.text:find("\n```") ~= nil
end

local function is_quotable(text, words, ended)
  local most = #text < words * 4 and MOST_IDEOGRAPHS or MOST
  if not ended or words < FEWEST or words > most then return false end
  local _, marks = text:gsub("[^%w%s\128-\255]", "")
  local _, semicolons = text:gsub(";", "")
  return marks <= #text * PUNCTUATION and semicolons <= SEMICOLONS
end

-- Calls visit(sentence, quotable) for each sentence of a chunk, places counted in the source.
local function each_sentence(part, markup, visit)
  local base, line_base = (part.from or 1) - 1, (part.line or 1) - 1
  local reading = { markdown = is_markdown(part, markup), inside = part.inside, continued = base > 0 }
  sentences.each(part.text, reading, function(first, last, ended, line)
    local text = part.text:sub(first, last)
    local words = tokens.count(text)
    visit({ text = text, from = base + first, to = base + last, line = line_base + line, source = part.source,
      words = words }, is_quotable(text, words, ended))
  end)
end

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function score(list, options)
  local texts, bags = {}, {}
  for index, sentence in ipairs(list) do texts[index] = sentence.text end
  local stop = terms.stop(texts, options.language)
  for index, text in ipairs(texts) do bags[index] = tokens.terms(text, stop) end
  for index, value in ipairs(salience.score(options.method, bags, pause)) do
    list[index].score = math.floor(value * 1e4 + 0.5) / 1e4
  end
end

local function condense(list, words, options, advice)
  score(list, options)
  if advice then selection.favour(list, advice) end
  return selection.fit(selection.distinct(list, ALIKE, pause), words)
end

-- Takes sentences one by one and condenses each group as soon as it is full.
local function new_level(pass, options)
  return { pass = pass, options = options, group = {}, size = 0, words = 0, kept = {}, groups = {} }
end

local function close_group(level)
  if #level.group == 0 then return end
  local limit = level.pass.words or math.max(1, math.min(math.max(400, 2 * level.pass.target), level.words // 2))
  local chosen, total = condense(level.group, limit, level.options)
  table.move(chosen, 1, #chosen, #level.kept + 1, level.kept)
  if level.pass.words then level.groups[#level.groups + 1] = { sentences = chosen, words = total } end
  level.group, level.size, level.words = {}, 0, 0
end

local function add(level, sentence)
  local chunk, size = level.pass.chunk, utf8.len(sentence.text) or #sentence.text
  if #level.group >= GROUP or chunk and level.size > 0 and level.size + size > chunk then close_group(level) end
  level.group[#level.group + 1] = sentence
  level.size, level.words = level.size + size, level.words + sentence.words
end

-- What a level leaves over. One that nobody asked for and that fits in one group stays as it is.
local function finish(level)
  if not level.pass.words and #level.kept == 0 then return level.group end
  close_group(level)
  return level.kept
end

-- The first level reads the text itself; sentences that are not worth quoting stand in if none is.
local function read_level(parts, level)
  local spare = {}
  for _, part in ipairs(parts) do
    each_sentence(part, level.options.markup, function(sentence, quotable)
      if quotable then add(level, sentence)
      elseif #spare < GROUP then spare[#spare + 1] = sentence end
    end)
  end
  if #level.group + #level.kept > 0 then return end
  for _, sentence in ipairs(spare) do add(level, sentence) end
end

local function keep_level(ctx, number, level)
  if not ctx.options.keep then return true end
  if not ctx.workspace then
    return nil, "summarize: keep needs a workspace and this run has none; leave the option 'keep' out", "unavailable"
  end
  for index, group in ipairs(level.groups) do
    local sentences_list = weir.list(group.sentences)
    ctx.workspace:post(("summary/%d/%d"):format(number, index),
      { text = selection.text(group.sentences), sentences = sentences_list, words = group.words })
  end
  return true
end

local function run_passes(ctx, parts, target)
  local passes, left = ctx.options.passes, nil
  for number = 1, math.max(1, #passes) do
    local level = new_level(passes[number] or { target = target }, ctx.options)
    if number == 1 then read_level(parts, level) end
    for _, sentence in ipairs(left or {}) do add(level, sentence) end
    left = finish(level)
    local ok, message, code = keep_level(ctx, number, level)
    if not ok then return nil, message, code end
  end
  while #left > GROUP do
    local level = new_level({ target = target }, ctx.options)
    for _, sentence in ipairs(left) do add(level, sentence) end
    left = finish(level)
  end
  return left
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
  local left
  left, message, code = run_passes(ctx, parts, target)
  if not left then return nil, message, code end
  local chosen, words = condense(left, target, ctx.options, ctx.feedback and ctx.feedback.advice)
  return { text = selection.text(chosen), sentences = weir.list(chosen), words = words, method = ctx.options.method }
end

return M

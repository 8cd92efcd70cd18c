--- Condensing texts of any length to their most telling sentences.
---
--- Sentences are found by Unicode rules and scored by a published method (see weir.text.salience), near-repetitions are
--- left out, and the best ones that fit a number of words are put back in order. Code, tables and headings of Markdown
--- are not prose and are skipped. Long texts are condensed in passes, so that memory stays bounded by a pass and not by
--- the text. Does not yield by itself.

local markdown = require "weir.text.markdown"
local salience = require "weir.text.salience"
local selection = require "weir.text.selection"
local sentences = require "weir.text.sentences"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"

local M = {}

---@class weir.text.ExtractOptions
---@field method "textrank"|"lexrank"|"sumbasic"|"lead"
---@field markup "auto"|"markdown"|"plain"  auto: by the source's name, else by its look
---@field language string?   ISO 639-1, for stop words; guessed without
---@field passes { words: integer, chunk: integer? }[]?  before the last one: words kept of each chunk, characters condensed
---  together
---@field advice string?     a critic's: sentences with the phrases that it quotes come first
---@field pause fun()?       called often, so that a module can let others run
---@field keep (fun(level: integer, groups: { sentences: weir.text.Sentence[], words: integer }[]): true?, string?, string?)?
---  hears of each pass; what it refuses ends the whole

local GROUP = 500         -- sentences ranked together at most; more are condensed in passes first
local ALIKE = 0.5         -- share of words two sentences of a summary may have in common
local FEWEST, MOST = 6, 45 -- words of a sentence worth quoting
local MOST_IDEOGRAPHS = 90 -- where characters are words, which take three bytes each
local PUNCTUATION = 0.1   -- share of its bytes that may be marks: code and tables have more
local SEMICOLONS = 2      -- with more, it is a list

local function is_markdown(part, markup)
  if markup ~= "auto" then return markup == "markdown" end
  if part.source then return markdown.is_markdown(part.source) end
  return markdown.looks_like(part.text)
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

local function no_pause() end

local function score(list, options)
  local texts, bags = {}, {}
  for index, sentence in ipairs(list) do texts[index] = sentence.text end
  local stop = terms.stop(texts, options.language)
  for index, text in ipairs(texts) do bags[index] = tokens.terms(text, stop) end
  for index, value in ipairs(salience.score(options.method, bags, options.pause or no_pause)) do
    list[index].score = math.floor(value * 1e4 + 0.5) / 1e4
  end
end

local function condense(list, words, options, advice)
  score(list, options)
  if advice then selection.favour(list, advice) end
  return selection.fit(selection.distinct(list, ALIKE, options.pause or no_pause), words)
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
  local spare, pause = {}, level.options.pause or no_pause
  for _, part in ipairs(parts) do
    each_sentence(part, level.options.markup, function(sentence, quotable)
      pause()
      if quotable then add(level, sentence)
      elseif #spare < GROUP then spare[#spare + 1] = sentence end
    end)
  end
  if #level.group + #level.kept > 0 then return end
  for _, sentence in ipairs(spare) do add(level, sentence) end
end

local function run_passes(parts, target, options)
  local passes, left = options.passes or {}, nil
  for number = 1, math.max(1, #passes) do
    local level = new_level(passes[number] or { target = target }, options)
    if number == 1 then read_level(parts, level) end
    for _, sentence in ipairs(left or {}) do add(level, sentence) end
    left = finish(level)
    if options.keep then
      local ok, message, code = options.keep(number, level.groups)
      if not ok then return nil, message, code end
    end
  end
  while #left > GROUP do
    local level = new_level({ target = target }, options)
    for _, sentence in ipairs(left) do add(level, sentence) end
    left = finish(level)
  end
  return left
end

--- Chooses among sentences that are there already, as `condense` does among those of a text.
---@param list weir.text.Sentence[]  `score` is written
---@param target integer words
---@param options weir.text.ExtractOptions  of which method, language, advice and pause count
---@return weir.text.Sentence[] chosen  in order of source and position
---@return integer words  of all of them
function M.choose(list, target, options)
  return condense(list, target, options, options.advice)
end

--- Gives each sentence of the prose of a text, with its place. Does not yield by itself.
---@param part { text: string, source: string?, from: integer?, line: integer?, inside: string? }
---@param markup "auto"|"markdown"|"plain"
---@return weir.text.Sentence[]  without scores
function M.sentences(part, markup)
  local list = {}
  each_sentence(part, markup, function(sentence) list[#list + 1] = sentence end)
  return list
end

--- Condenses parts of texts to sentences that together have at most `target` words, or to one sentence.
---@param parts { text: string, source: string?, from: integer?, line: integer?, inside: string? }[]  see agent `chunk`
---@param target integer words
---@param options weir.text.ExtractOptions
---@return weir.text.Sentence[]? chosen  in order of source and position
---@return integer|string words  of all of them, or the message of what `keep` refused
---@return string? code
function M.condense(parts, target, options)
  local left, message, code = run_passes(parts, target, options)
  if not left then return nil, message, code end
  return condense(left, target, options, options.advice)
end

return M

--- The words a text is about.
---
--- tfidf     how often a term stands in the text, times how few of its sentences hold it (Sparck
---           Jones, "A Statistical Interpretation of Term Specificity", 1972, with sentences as the
---           documents).
--- rake      phrases between stop words and punctuation, each word worth its degree over its
---           frequency: Rose, Engel, Cramer and Cowley, "Automatic Keyword Extraction from Individual
---           Documents", 2010.
--- textrank  PageRank over terms that stand at most two apart: Mihalcea and Tarau, 2004, section 3.

local pagerank = require "weir.text.pagerank"
local sentences = require "weir.text.sentences"
local stopwords = require "weir.text.stopwords"
local tokens = require "weir.text.tokens"
local unicode = require "weir.text.unicode"

local M = {}

local SAMPLE = 600 -- words the language is guessed from

local function sample_words(texts)
  local sample = {}
  for _, text in ipairs(texts) do
    if #sample >= SAMPLE then break end
    local words = tokens.words(text)
    table.move(words, 1, #words, #sample + 1, sample)
  end
  return sample
end

--- Gives the stop words for texts that belong together: the list of their language, else the words
--- that their frequency gives away. Does not yield.
---@param texts string[]       sentences
---@param language string?     ISO 639-1; guessed when nil
---@return table<string, boolean> stop
function M.stop(texts, language)
  local list = stopwords.list(language or stopwords.guess(sample_words(texts)) or "")
  if list then return list end
  local words = {}
  for index, text in ipairs(texts) do words[index] = tokens.words(text) end
  return stopwords.frequent(words)
end

local function no_pause() end

local function sentence_texts(text, options)
  local texts, pause = {}, options.pause or no_pause
  sentences.each(text, { markdown = options.markdown }, function(first, last)
    texts[#texts + 1] = text:sub(first, last)
    pause()
  end)
  return texts
end

local function ranked(scores, order, limit)
  local list = {}
  for index, term in ipairs(order) do list[index] = { word = term, score = scores[term], at = index } end
  table.sort(list, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.at < b.at
  end)
  for index = #list, limit + 1, -1 do list[index] = nil end
  local highest = list[1] and list[1].score or 1
  for _, entry in ipairs(list) do
    entry.score, entry.at = math.floor(entry.score / highest * 1e4 + 0.5) / 1e4, nil
  end
  return list
end

local function tfidf(texts, stop, limit, pause)
  local counts, holders, order = {}, {}, {}
  for index, text in ipairs(texts) do
    pause()
    for _, term in ipairs(tokens.terms(text, stop)) do
      if not counts[term] then
        counts[term], holders[term] = 0, { n = 0 }
        order[#order + 1] = term
      end
      counts[term] = counts[term] + 1
      local held = holders[term]
      if held.last ~= index then held.last, held.n = index, held.n + 1 end
    end
  end
  local scores = {}
  for _, term in ipairs(order) do scores[term] = counts[term] * math.log(1 + #texts / holders[term].n) end
  return ranked(scores, order, limit)
end

local WINDOW = 2

local function link(graph, a, b)
  local row = graph.rows[a]
  local at = row[b]
  if at then graph.links[a][at][2] = graph.links[a][at][2] + 1 return end
  graph.links[a][#graph.links[a] + 1] = { b, 1 }
  row[b] = #graph.links[a]
end

local function node(graph, term)
  local id = graph.ids[term]
  if not id then
    id = #graph.order + 1
    graph.ids[term], graph.order[id], graph.links[id], graph.rows[id] = id, term, {}, {}
  end
  return id
end

local function textrank(texts, stop, limit, pause)
  local graph = { ids = {}, order = {}, links = {}, rows = {} }
  for _, text in ipairs(texts) do
    local terms = tokens.terms(text, stop)
    pause()
    for at, term in ipairs(terms) do
      local id = node(graph, term)
      for back = math.max(1, at - WINDOW), at - 1 do
        local other = graph.ids[terms[back]]
        if other ~= id then link(graph, id, other) link(graph, other, id) end
      end
    end
  end
  local scores, ranks = {}, pagerank.rank(graph.links, pause)
  for id, term in ipairs(graph.order) do scores[term] = ranks[id] end
  return ranked(scores, graph.order, limit)
end

local LONGEST = 3 -- words of a phrase

local function is_ideograph(word)
  return unicode.kind((unicode.decode(word, 1))) == "ideograph"
end

local function join(words)
  local parts = {}
  for index, word in ipairs(words) do
    if index > 1 and not (is_ideograph(word) and is_ideograph(words[index - 1])) then parts[#parts + 1] = " " end
    parts[#parts + 1] = word
  end
  return table.concat(parts)
end

local function longest(words)
  return is_ideograph(words[1]) and LONGEST * 2 or LONGEST
end

-- Phrases of one stretch without punctuation.
local function phrases_of(stretch, stop, visit)
  local phrase = {}
  local function done()
    if #phrase > 0 and #phrase <= longest(phrase) then visit(phrase) end
    phrase = {}
  end
  for _, word in ipairs(tokens.words(stretch)) do
    local letters = #word > 1 and word:find("[^%d_]")
    if not letters or stop[word] or stopwords.ideographs[word] then done() else phrase[#phrase + 1] = word end
  end
  done()
end

-- ASCII punctuation and the general and full-width kinds; hyphens and apostrophes join.
local function stretches(text)
  local spaced = text:gsub("\226\128[\147-\148\156-\159\166]", "\n"):gsub("\227\128[\129-\145]", "\n")
  return spaced:gsub("\239\188[\129-\143\154-\160]", "\n"):gmatch("[^%c!\"#$%%&()*+,./:;<=>?@%[\\%]^`{|}~]+")
end

local function rake(texts, stop, limit, pause)
  local degree, frequency, counts, order, words_of = {}, {}, {}, {}, {}
  local function count(phrase)
    for _, word in ipairs(phrase) do
      degree[word], frequency[word] = (degree[word] or 0) + #phrase, (frequency[word] or 0) + 1
    end
    local name = join(phrase)
    if not counts[name] then order[#order + 1], words_of[name] = name, phrase end
    counts[name] = (counts[name] or 0) + 1
  end
  for _, text in ipairs(texts) do
    pause()
    for stretch in stretches(text) do phrases_of(stretch, stop, count) end
  end
  local scores = {}
  for _, name in ipairs(order) do
    local score = 0
    for _, word in ipairs(words_of[name]) do score = score + degree[word] / frequency[word] end
    scores[name] = score * counts[name]
  end
  return ranked(scores, order, limit)
end

local METHODS = { tfidf = tfidf, rake = rake, textrank = textrank }

--- The names of the methods, in the order of the list above.
M.methods = { "tfidf", "rake", "textrank" }

--- Finds the words or phrases a text is about. In `rake` a phrase's score is also multiplied by how
--- often it stands in the text, so that chance phrases do not win. Deterministic. Does not yield by itself.
---@param text string
---@param options { method: string?, limit: integer?, language: string?, markdown: boolean?, pause: fun()? }?  method:
---  tfidf (default), rake or textrank; limit: 10 words; markdown: leave out code, tables and headings; pause: called
---  often, so that a module can let others run
---@return { word: string, score: number }[] keywords  the best first, its score is 1
function M.key(text, options)
  options = options or {}
  local method = METHODS[options.method or "tfidf"]
    or error(("method must be tfidf, rake or textrank, got '%s'"):format(tostring(options.method)), 2)
  local texts = sentence_texts(text, options)
  return method(texts, M.stop(texts, options.language), options.limit or 10, options.pause or no_pause)
end

return M

--- How much each sentence says of what the whole text says: published methods of extractive
--- summarization, under one face.
---
--- textrank  Mihalcea and Tarau, "TextRank: Bringing Order into Texts", EMNLP 2004: PageRank over
---           sentences linked by shared words, divided by the logarithms of their lengths.
--- lexrank   Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text
---           Summarization", JAIR 22, 2004: PageRank over cosines of TF-IDF vectors above 0.1
---           (the continuous variant).
--- sumbasic  Nenkova and Vanderwende, "The Impact of Frequency on Summarization", MSR-TR-2005-101:
---           the mean probability of a sentence's words, which is squared for the words of each
---           sentence taken. No graph: the fastest that still reads the whole text.
--- lead      the first sentences of each source: the baseline of the field.
---
--- Both graphs are kept sparse: 16 nearest neighbours of a sentence, and terms of more than a fifth
--- of many sentences link none (see weir.text.similarity).

local pagerank = require "weir.text.pagerank"
local similarity = require "weir.text.similarity"

local M = {}

local NEIGHBOURS = 16

local function shared_words(a, b, shared)
  local lengths = math.log(a.terms) + math.log(b.terms)
  return lengths > 0 and shared / lengths or 0
end

local function textrank(sentences, pause)
  local vectors = similarity.vectors(sentences)
  return pagerank.rank(similarity.links(vectors,
    { measure = shared_words, threshold = 0, keep = NEIGHBOURS, binary = true, pause = pause }), pause)
end

local LEXRANK_THRESHOLD = 0.1

local function lexrank(sentences, pause)
  local vectors = similarity.vectors(sentences)
  return pagerank.rank(similarity.links(vectors,
    { measure = similarity.cosine, threshold = LEXRANK_THRESHOLD, keep = NEIGHBOURS, pause = pause }), pause)
end

local function probabilities(sentences)
  local p, total = {}, 0
  for _, terms in ipairs(sentences) do
    for _, term in ipairs(terms) do p[term], total = (p[term] or 0) + 1, total + 1 end
  end
  for term, n in pairs(p) do p[term] = n / total end -- each by itself: order does not matter
  return p
end

local function mean_probability(terms, p)
  local sum = 0
  for _, term in ipairs(terms) do sum = sum + p[term] end
  return #terms > 0 and sum / #terms or 0
end

local TAKEN = 60 -- sentences taken one after the other; the rest are scored as they stand then

-- Scores fall with the turn in which a sentence is taken, so that order of scores is order of taking.
local function sumbasic(sentences, pause)
  local p, scores = probabilities(sentences), {}
  local turns = math.min(TAKEN, #sentences)
  for turn = 1, turns do
    if pause then pause() end
    local best, highest = nil, -1
    for i, terms in ipairs(sentences) do
      local mean = not scores[i] and mean_probability(terms, p) or -1
      if mean > highest then best, highest = i, mean end
    end
    scores[best] = 2 - turn / turns
    for _, term in ipairs(sentences[best]) do p[term] = p[term] ^ 2 end
  end
  for i, terms in ipairs(sentences) do scores[i] = scores[i] or mean_probability(terms, p) end
  return scores
end

local function lead(sentences)
  local scores = {}
  for i = 1, #sentences do scores[i] = 1 / i end
  return scores
end

local METHODS = { textrank = textrank, lexrank = lexrank, sumbasic = sumbasic, lead = lead }

--- The names of the methods, in the order of the list above.
M.methods = { "textrank", "lexrank", "sumbasic", "lead" }

local function scaled(scores)
  local highest = 0
  for _, score in ipairs(scores) do highest = math.max(highest, score) end
  for i, score in ipairs(scores) do scores[i] = highest > 0 and score / highest or 0 end
  return scores
end

--- Scores sentences. Deterministic. 2,000 sentences take well below a second. Does not yield by itself.
---@param method "textrank"|"lexrank"|"sumbasic"|"lead"
---@param sentences string[][]  the terms of each sentence, without stop words, in order of the text
---@param pause fun()?  called often, so that a module can let others run (the library itself is not preempted)
---@return number[] scores  0..1, the best has 1
function M.score(method, sentences, pause)
  local score = METHODS[method] or error(("method must be textrank, lexrank, sumbasic or lead, got '%s'")
    :format(tostring(method)), 2)
  return scaled(score(sentences, pause))
end

return M

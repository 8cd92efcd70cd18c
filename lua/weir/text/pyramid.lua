--- A pyramid of summaries: leaves are summaries of pieces of a text, each node above is one of the summaries below it, and
--- the top is one of them all. Every sentence names those of the level below that it rests on, and at the leaves bytes and
--- lines, so that any claim of the top can be followed down to the text.
---
--- A node knows how large the text below it is and nothing of where it stands, as in a rope (Boehm, Atkinson and Plass,
--- "Ropes: an Alternative to Strings", Software: Practice and Experience 25(12), 1995): after an insertion before it, it is
--- the same node, under the same id, which is the hash of all it holds. Pure; never yields by itself.

local extract = require "weir.text.extract"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local selection = require "weir.text.selection"
local sentences = require "weir.text.sentences"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"

local M = {}

---@class weir.text.PyramidSentence
---@field text string
---@field words integer
---@field places { from: integer, to: integer, line: integer }[]|nil  of a leaf: in its own text, from 1
---@field of { child: integer, sentence: integer }[]|nil              above: what it rests on, from 1

---@class weir.text.PyramidNode
---@field id string       hash of the rest
---@field level integer   1: a leaf
---@field method string   how it was made
---@field text string
---@field words integer
---@field bytes integer   of the text below it
---@field lines integer   line feeds in the text below it
---@field sentences weir.text.PyramidSentence[]
---@field children { id: string, bytes: integer, lines: integer }[]  in the order of the text; none of a leaf

local ID_DIGITS = 24     -- hexadecimal, of SHA-256
local SUPPORT = 0.3      -- share of the words of a sentence that another one must have to carry it
local SUPPORTS = 2       -- so many carry one at most

local function count_lines(text)
  return select(2, text:gsub("\n", ""))
end

local function finish(node)
  node.sentences, node.children = json.list(node.sentences), json.list(node.children)
  node.id = hash.sha256(json.encode(node, { canonical = true })):sub(1, ID_DIGITS)
  return node
end

local function total(list)
  local words = 0
  for _, sentence in ipairs(list) do words = words + sentence.words end
  return words
end

local function leaf_of(text, list, written, method)
  return finish { level = 1, method = method, text = written, words = total(list), bytes = #text, lines = count_lines(text),
    sentences = list, children = {} }
end

--- Condenses a piece of the text to sentences of it.
---@param part { text: string, source: string?, inside: string? }
---@param words integer at most, or one sentence
---@param options weir.text.ExtractOptions
---@return weir.text.PyramidNode
function M.leaf(part, words, options)
  local own = { text = part.text, source = part.source, inside = part.inside }
  local chosen = extract.condense({ own }, words, options)
  local list = {}
  for index, sentence in ipairs(chosen) do
    list[index] = { text = sentence.text, words = sentence.words,
      places = json.list { { from = sentence.from, to = sentence.to, line = sentence.line } } }
  end
  return leaf_of(part.text, list, selection.text(chosen), options.method)
end

-- All sentences of some nodes in the order of the text, each with what it is called from above.
local function below(nodes)
  local list = {}
  for child, node in ipairs(nodes) do
    for number, sentence in ipairs(node.sentences) do
      local at = #list + 1
      list[at] = { text = sentence.text, words = sentence.words, from = at, to = at, child = child, sentence = number }
    end
  end
  return list
end

local function above_of(nodes, list, written, method)
  local bytes, lines, level, children = 0, 0, 0, {}
  for index, node in ipairs(nodes) do
    bytes, lines, level = bytes + node.bytes, lines + node.lines, math.max(level, node.level)
    children[index] = { id = node.id, bytes = node.bytes, lines = node.lines }
  end
  return finish { level = level + 1, method = method, text = written, words = total(list), bytes = bytes, lines = lines,
    sentences = list, children = children }
end

--- Condenses summaries to sentences of them.
---@param nodes weir.text.PyramidNode[] in the order of the text
---@param words integer at most, or one sentence
---@param options weir.text.ExtractOptions
---@return weir.text.PyramidNode
function M.above(nodes, words, options)
  local chosen = extract.choose(below(nodes), words, options)
  local list = {}
  for index, sentence in ipairs(chosen) do
    list[index] = { text = sentence.text, words = sentence.words,
      of = json.list { { child = sentence.child, sentence = sentence.sentence } } }
  end
  return above_of(nodes, list, selection.text(chosen), options.method)
end

-- Written summaries ----------------------------------------------------------------------------------

local function set_of(text, stop)
  local set, count = {}, 0
  for _, term in ipairs(tokens.terms(text, stop)) do
    if not set[term] then set[term], count = true, count + 1 end
  end
  return set, count
end

local function share(set, count, other)
  local shared = 0
  for term in pairs(other) do
    if set[term] then shared = shared + 1 end
  end
  return count > 0 and shared / count or 0
end

local function stop_words(text, candidates)
  local texts = { text }
  for index, candidate in ipairs(candidates) do texts[index + 1] = candidate.text end
  return terms.stop(texts)
end

--- Which of some sentences carry another one: those that have most of its words.
---@param text string
---@param candidates { text: string }[]
---@param stop table<string, boolean>|nil words that do not count; nil: those of the language of the sentences
---@return integer[] indexes the best first, at most two; none when nothing says what it says
function M.support(text, candidates, stop)
  stop = stop or stop_words(text, candidates)
  local set, count = set_of(text, stop)
  local found = {}
  for index, candidate in ipairs(candidates) do
    local value = share(set, count, (set_of(candidate.text, stop)))
    if value >= SUPPORT then found[#found + 1] = { index = index, value = value } end
  end
  table.sort(found, function(a, b)
    if a.value ~= b.value then return a.value > b.value end
    return a.index < b.index
  end)
  local list = {}
  for place = 1, math.min(SUPPORTS, #found) do list[place] = found[place].index end
  return list
end

local function written_sentences(text, candidates, name, reference)
  local list, stop = {}, stop_words(text, candidates)
  for index, found in ipairs(sentences.list(text)) do
    local links = {}
    for place, at in ipairs(M.support(found.text, candidates, stop)) do links[place] = reference(candidates[at]) end
    list[index] = { text = found.text, words = tokens.count(found.text), [name] = json.list(links) }
  end
  return list
end

--- A leaf whose summary somebody wrote: each sentence is linked to those of the piece that carry it.
---@param part { text: string, source: string?, inside: string? }
---@param written string
---@param method string
---@return weir.text.PyramidNode
function M.written_leaf(part, written, method)
  local own = { text = part.text, source = part.source, inside = part.inside }
  local list = written_sentences(written, extract.sentences(own, "auto"), "places", function(sentence)
    return { from = sentence.from, to = sentence.to, line = sentence.line }
  end)
  return leaf_of(part.text, list, written, method)
end

--- The same above the leaves.
---@param nodes weir.text.PyramidNode[]
---@param written string
---@param method string
---@return weir.text.PyramidNode
function M.written_above(nodes, written, method)
  local list = written_sentences(written, below(nodes), "of", function(sentence)
    return { child = sentence.child, sentence = sentence.sentence }
  end)
  return above_of(nodes, list, written, method)
end

-- Following a sentence down ---------------------------------------------------------------------------

local descend

local function places_of(sentence, base)
  local list = json.list {}
  for index, place in ipairs(sentence.places) do
    list[index] = { from = base.bytes + place.from, to = base.bytes + place.to, line = base.lines + place.line }
  end
  return list
end

local function below_sentence(get, node, sentence, base)
  local list = json.list {}
  for index, link in ipairs(sentence.of) do
    local at = { bytes = base.bytes, lines = base.lines }
    for before = 1, link.child - 1 do
      at.bytes, at.lines = at.bytes + node.children[before].bytes, at.lines + node.children[before].lines
    end
    local found, message, code = descend(get, node.children[link.child].id, link.sentence, at)
    if not found then return nil, message, code end
    list[index] = found
  end
  return list
end

function descend(get, id, number, base)
  local node = get(id)
  if not node then return nil, ("summary '%s' is not there any more; make the pyramid again"):format(id), "not_found" end
  local sentence = node.sentences[number]
  if not sentence then
    return nil, ("the summary has %d sentences, there is no sentence %d"):format(#node.sentences, number), "not_found"
  end
  local found = { node = id, level = node.level, sentence = number, text = sentence.text }
  if sentence.places then
    found.places = places_of(sentence, base)
    return found
  end
  local message, code
  found.of, message, code = below_sentence(get, node, sentence, base)
  if not found.of then return nil, message, code end
  return found
end

---@class weir.text.Origin
---@field node string
---@field level integer
---@field sentence integer
---@field text string
---@field of weir.text.Origin[]|nil   the sentences of the level below that it rests on; empty: none says it
---@field places { from: integer, to: integer, line: integer }[]|nil  of a leaf: bytes and lines of the whole text, from 1

--- Says where a sentence comes from.
---@param get fun(id: string): weir.text.PyramidNode|nil
---@param id string of the node
---@param number integer of the sentence in it, from 1
---@return weir.text.Origin|nil
---@return string|nil message
---@return string|nil code `not_found`: no such sentence, or a node has gone
function M.origin(get, id, number)
  return descend(get, id, number, { bytes = 0, lines = 0 })
end

return M

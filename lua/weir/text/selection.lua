--- Choosing sentences: the best ones that fit a number of words, none that says the same again,
--- put back in the order of their sources.
---
--- A sentence here is what summaries are made of: { text, from, to (bytes of its source, 1-based,
--- inclusive), line, source, title, score (0..1), words }.

local similarity = require "weir.text.similarity"
local tokens = require "weir.text.tokens"
local unicode = require "weir.text.unicode"

local M = {}

---@class weir.text.Sentence
---@field text string     verbatim from the source
---@field from integer    first byte in the source
---@field to integer      last byte
---@field line integer?   line of the first byte, from 1
---@field source string?  where it is from: a path, usually
---@field title string?   the heading it stands under
---@field score number    0..1
---@field words integer

local function in_order(a, b)
  local source_a, source_b = a.source or "", b.source or ""
  if source_a ~= source_b then return source_a < source_b end
  if a.from ~= b.from then return a.from < b.from end
  return a.to < b.to
end

--- Sorts sentences by source, then by position. Does not yield.
---@param sentences weir.text.Sentence[]
---@return weir.text.Sentence[] sentences  the same table
function M.sort(sentences)
  table.sort(sentences, in_order)
  return sentences
end

local function best_first(sentences)
  local order = {}
  for index, sentence in ipairs(sentences) do order[index] = sentence end
  table.sort(order, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return in_order(a, b)
  end)
  return order
end

local function count_terms(bags)
  local frequency = {}
  for _, terms in ipairs(bags) do
    for _, term in ipairs(terms) do frequency[term] = (frequency[term] or 0) + 1 end
  end
  return frequency
end

--- Leaves out each sentence that says nearly what a better one says. Does not yield by itself.
---@param sentences weir.text.Sentence[]
---@param alike number  share of words two sentences have in common to count as one, above 0, at most 1
---@param pause fun()?  called between sentences, so that a module can let others run
---@return weir.text.Sentence[] kept  the best first
function M.distinct(sentences, alike, pause)
  local order, bags, kept = best_first(sentences), {}, {}
  for index, sentence in ipairs(order) do bags[index] = tokens.terms(sentence.text) end
  local seen = similarity.seen(alike, count_terms(bags))
  for index, sentence in ipairs(order) do
    if not seen:alike(bags[index]) then
      seen:add(bags[index])
      kept[#kept + 1] = sentence
    end
    if pause then pause() end
  end
  return kept
end

local function quoted(advice)
  local phrases = {}
  for phrase in (" " .. advice):gmatch("%s'([^']+)'") do phrases[#phrases + 1] = unicode.lower(phrase) end
  return phrases
end

local function share_held(text, phrases)
  local held, lower = 0, unicode.lower(text)
  for _, phrase in ipairs(phrases) do
    if lower:find(phrase, 1, true) then held = held + 1 end
  end
  return held / #phrases
end

--- Moves up the sentences that a critic asked for: half of a score is then the share of the phrases in
--- single quotes in its advice that the sentence holds. Does not yield.
---@param sentences weir.text.Sentence[]  scores are changed
---@param advice string?
function M.favour(sentences, advice)
  local phrases = quoted(advice or "")
  if #phrases == 0 then return end
  for _, sentence in ipairs(sentences) do
    sentence.score = (sentence.score + share_held(sentence.text, phrases)) / 2
  end
end

-- One queue per source, the best first.
local function by_source(sentences)
  local queues, by_name = {}, {}
  for _, sentence in ipairs(sentences) do
    local name = sentence.source or ""
    local queue = by_name[name]
    if not queue then
      queue = { at = 1, taken = 0 }
      by_name[name], queues[#queues + 1] = queue, queue
    end
    queue[#queue + 1] = sentence
  end
  return queues
end

-- The source whose next sentence is worth most: each one taken from a source makes its next worth less.
local function next_queue(queues)
  local best, most
  for _, queue in ipairs(queues) do
    local sentence = queue[queue.at]
    local worth = sentence and sentence.score / (1 + queue.taken)
    if worth and (not best or worth > most) then best, most = queue, worth end
  end
  return best
end

local PATIENCE = 50 -- sentences in a row that do not fit, after which filling up ends
local WORTHY = 0.6 -- a shorter sentence may fill the room of one that does not fit if it has this share of its score

--- Chooses sentences worth most that together have at most `words` words; if the very best one alone
--- is longer, that one. Several sources share the room. Does not yield.
---@param sentences weir.text.Sentence[]  the best first (see `distinct`)
---@param words integer
---@return weir.text.Sentence[] chosen  by source, then by position
---@return integer total  words chosen
function M.fit(sentences, words)
  local queues, chosen, total, misses, least = by_source(sentences), {}, 0, 0, 0
  while total < words and misses < PATIENCE do
    local queue = next_queue(queues)
    if not queue then break end
    local sentence = queue[queue.at]
    queue.at = queue.at + 1
    if #chosen > 0 and total + sentence.words > words then
      misses, least = misses + 1, math.max(least, sentence.score * WORTHY)
    elseif sentence.score >= least then
      chosen[#chosen + 1], total, misses = sentence, total + sentence.words, 0
      queue.taken = queue.taken + 1
    end
  end
  return M.sort(chosen), total
end

local WIDE_END = "[\227\239][\128-\191][\128-\191]$" -- the text ends in a full-width character

--- Writes sentences as the pieces of a text, one for each: what stands between two of them begins the later one's: a
--- blank, or a new paragraph for each source. Line breaks (those of a Markdown quotation too) and other white space inside
--- a sentence are made single blanks. Does not yield.
---@param sentences weir.text.Sentence[]  by source, then by position
---@return string[] pieces
function M.pieces(sentences)
  local pieces, before = {}, nil
  for index, sentence in ipairs(sentences) do
    local line = sentence.text:gsub("\n[ \t]*>[ \t]?", " "):gsub("%s+", " ")
    if index > 1 then
      local tight = pieces[index - 1]:find(WIDE_END)
      line = (sentence.source ~= before and "\n\n" or tight and "" or " ") .. line
    end
    pieces[index], before = line, sentence.source
  end
  return pieces
end

--- Writes sentences as text, see `pieces`. Does not yield.
---@param sentences weir.text.Sentence[]  by source, then by position
---@return string text
function M.text(sentences)
  return table.concat(M.pieces(sentences))
end

return M

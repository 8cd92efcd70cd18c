--- Words of a text in any script, in lower case.
---
--- A word is a run of letters, marks, digits and underscores; in scripts that write no spaces (Han,
--- kana, Thai, Lao, Khmer, Burmese) each character with its marks is one. An apostrophe joins two
--- letters, but not after one or two (French "l'eau" is two words). A term is what two texts are
--- compared by: a word of more than one character that is no number or, where characters are words,
--- a pair of neighbours (as search engines index Chinese). ASCII words take a fast path.

local stopwords = require "weir.text.stopwords"
local unicode = require "weir.text.unicode"

local M = {}

local RUN = "[%w_'\128-\255]+"
local SPECIAL = "[\128-\255']" -- a run without any of these is one ASCII word

local APOSTROPHES = { [0x27] = true, [0x2019] = true, [0x2BC] = true }
local ELISION = 2 -- letters before an apostrophe that make it a border

-- What is being split: words, where each starts, terms, the word under way and its letters, and the
-- ideograph just before it.
local function flush(state)
  local word = state.word
  if not word then return end
  state.word = nil
  word = unicode.lower(word:gsub("'$", ""))
  if not word:find("[^_]") then return end
  state.words[#state.words + 1], state.starts[#state.starts + 1] = word, state.at
  if not state.single then
    if state.letters > 1 and not word:find("^[%d_]+$") then state.terms[#state.terms + 1] = word end
    state.before = nil
  end
end

local function ideograph(state, char, at)
  flush(state)
  state.word, state.letters, state.at, state.single = char, 1, at, true
  if stopwords.ideographs[char] then
    state.before = nil
    return
  end
  if state.before then
    state.terms[#state.terms + 1] = state.before .. char
  end
  state.before = char
end

local function letter(state, char, at)
  if state.single then flush(state) end
  if not state.word then state.word, state.letters, state.at, state.single = "", 0, at, false end
  state.word, state.letters = state.word .. char, state.letters + 1
end

local function apostrophe(state)
  if not state.word then return end
  if state.single or state.letters <= ELISION or state.word:find("'", -1, true) then
    flush(state)
    state.before = nil
  else
    state.word = state.word .. "'"
  end
end

local function step(state, code, char, at)
  if APOSTROPHES[code] then return apostrophe(state) end
  local kind = unicode.kind(code)
  if kind == "ideograph" then return ideograph(state, char, at) end
  if kind == "letter" or kind == "digit" or code == 0x5F then return letter(state, char, at) end
  if kind == "mark" then
    if state.word then state.word = state.word .. char end
  elseif kind ~= "joiner" then
    flush(state)
    state.before = nil
  end
end

local function split(run)
  local state = { words = {}, starts = {}, terms = {} }
  local at = 1
  while at <= #run do
    local code, after = unicode.decode(run, at)
    step(state, code, run:sub(at, after - 1), at)
    at = after
  end
  flush(state)
  return state
end

local LIMIT, LONGEST = 4096, 48 -- runs remembered, bytes of the longest one of them
local memo, remembered = {}, 0

local function pieces(run)
  local known = memo[run]
  if known then return known end
  known = split(run)
  if #run <= LONGEST then
    if remembered >= LIMIT then memo, remembered = {}, 0 end
    memo[run], remembered = known, remembered + 1
  end
  return known
end

local function append(list, more)
  table.move(more, 1, #more, #list + 1, list)
end

--- Gives the words of a text in lower case, in order. Does not yield.
---@param text string
---@return string[] words
function M.words(text)
  local words = {}
  for run in text:gmatch(RUN) do
    if run:find(SPECIAL) then append(words, pieces(run).words)
    elseif run:find("%w") then words[#words + 1] = run:lower() end
  end
  return words
end

--- Gives what a text can be compared by: its words of two or more characters that are no numbers
--- and, of characters that are words, the pairs of neighbours. Does not yield.
---@param text string
---@param stop table<string, boolean>?  words left out
---@return string[] terms  in lower case, in order, with repetitions
function M.terms(text, stop)
  local terms = {}
  for run in text:gmatch(RUN) do
    if run:find(SPECIAL) then append(terms, pieces(run).terms)
    elseif #run > 1 and run:find("%a") then terms[#terms + 1] = run:lower() end
  end
  if not stop then return terms end
  local kept = {}
  for _, term in ipairs(terms) do
    if not stop[term] then kept[#kept + 1] = term end
  end
  return kept
end

--- Counts the words of a text. Does not yield.
---@param text string
---@return integer words
function M.count(text)
  local n = 0
  for run in text:gmatch(RUN) do
    if run:find(SPECIAL) then n = n + #pieces(run).words
    elseif run:find("%w") then n = n + 1 end
  end
  return n
end

--- Iterates over the bytes at which words start. Does not yield.
---@param text string
---@return fun(): integer?
function M.starts(text)
  local next_run = text:gmatch("()(" .. RUN .. ")")
  local starts, index, base = {}, 0, 0
  return function()
    while index >= #starts do
      local at, run = next_run()
      if not at then return nil end
      base, index = at - 1, 0
      if run:find(SPECIAL) then starts = pieces(run).starts
      elseif run:find("%w") then starts = { 1 }
      else starts = {} end
    end
    index = index + 1
    return base + starts[index]
  end
end

return M

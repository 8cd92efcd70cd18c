--- Sentences of a text in any script, as byte ranges.
---
--- A sentence ends at a terminator of its script (. ! ? … 。 ؟ । and so on), after closing quotes;
--- at a full stop only if white space follows and it does not end an abbreviation. Abbreviations are
--- told by rules and by evidence in the text itself, after the idea of Kiss and Strunk, "Unsupervised
--- Multilingual Sentence Boundary Detection", Computational Linguistics 32(4), 2006: a short word that
--- never stands without its dot, or whose dot is followed by what cannot begin a sentence. Two
--- sentences taken for one do less harm than one cut in two, so doubt keeps them together.

local markdown = require "weir.text.markdown"
local stopwords = require "weir.text.stopwords"
local unicode = require "weir.text.unicode"

local M = {}

local LONGEST = 2000 -- bytes; what runs on for longer is cut at white space
local EVIDENCE = 262144 -- bytes of text searched for other uses of a word

-- First bytes of terminators: ASCII, and the lead bytes of all others that unicode.lua knows.
local CANDIDATE = "[.!?\205\214\215\216\219\220\224\225\226\227\234\239]"

local VOWEL = "[aeiouyAEIOUY]"
local WORD_BYTE = "[%w\128-\255]"

-- Does the word stand somewhere in the text without a dot?
local function stands_bare(text, word)
  local at = 1
  while true do
    local first, last = text:find(word, at, true)
    if not first or first > EVIDENCE then return false end
    local inside = first > 1 and text:find("^[%w\128-\255.]", first - 1)
    if not inside and not text:find("^[%w\128-\255.]", last + 1) then return true end
    at = last + 1
  end
end

-- Is its dot somewhere followed by what cannot begin a sentence?
local function goes_on(text, word)
  local at = 1
  while true do
    local first, last = text:find(word .. ".", at, true)
    if not first or first > EVIDENCE then return false end
    if first == 1 or not text:find("^[%w\128-\255.]", first - 1) then
      if text:find("^[,;:]", last + 1) or text:find("^ %l", last + 1) then return true end
    end
    at = last + 1
  end
end

local function is_abbreviated(evidence, word)
  local known = evidence.words[word]
  if known == nil then
    known = stands_bare(evidence.text, word) and "bare" or goes_on(evidence.text, word) and "dotted" or "unseen"
    evidence.words[word] = known
  end
  return known
end

local SAMPLE = 8192 -- bytes

-- Does the language write its nouns with capitals? Then a short capitalized word is no sign of a title.
local function has_capital_nouns(evidence)
  if evidence.capitals == nil then
    local sample = evidence.text:sub(1, SAMPLE)
    local _, capitals = sample:gsub("%l %u", "")
    local _, words = sample:gsub("%l %a", "")
    evidence.capitals = capitals > words / 4
  end
  return evidence.capitals
end

local function dotted_letters(word)
  for piece in word:gmatch("[^.]+") do
    if piece:find("%d") or utf8.len(piece) == nil or utf8.len(piece) > 3 then return false end
  end
  return true
end

-- "the 3. May": an ordinal, unless what follows begins sentences.
local function is_ordinal(word, following)
  return #word <= 2 and not stopwords.is_any(following)
end

-- Is the full stop after `word` part of an abbreviation? `following` is the next word in lower case,
-- `case` what its first character is: "lower", "upper", "digit" or "other"; `title` says that the word
-- begins its sentence or that the next one has a dot too ("Prof. Dr. ...").
local function is_abbreviation(evidence, word, following, case, title)
  if word:find("^%d+$") then return case ~= "lower" and is_ordinal(word, following) end
  if word:find(".", 1, true) then return dotted_letters(word) end
  local letters = utf8.len(word) or #word
  if letters == 1 then return not word:find("[\228-\233]") end -- an initial; a Han character is a word
  if letters > 6 then return false end
  local shouted = word == word:upper() and letters > 1 and not word:find("[\128-\255]")
  if letters <= 4 and not shouted and not word:find(VOWEL) and not word:find("[\128-\255]") then return true end
  local use = is_abbreviated(evidence, word)
  if use == "bare" then return false end
  if use == "dotted" or case == "lower" then return true end
  if letters > 4 or shouted then return false end
  if case == "digit" then return true end
  if case ~= "upper" or not unicode.is_upper((unicode.decode(word, 1))) then return false end
  return not stopwords.is_any(following) and (letters <= 3 or title or not has_capital_nouns(evidence))
end

local function case_of(code)
  if unicode.is_lower(code) then return "lower" end
  if unicode.is_upper(code) then return "upper" end
  return unicode.kind(code) == "digit" and "digit" or "other"
end

local function ends_at_dot(text, first, dot, after, evidence)
  local word = text:sub(math.max(first, dot - 40), dot - 1):match("[%w\128-\255.]*$")
  if word == "" then return true end
  local at = text:find(WORD_BYTE, after)
  if not at then return true end
  local following = unicode.lower(text:match("^[%w\128-\255]+", at))
  local title = first + #word >= dot or text:find("^%a%a?%a?%.", at) ~= nil
  return not is_abbreviation(evidence, word, following, case_of((unicode.decode(text, at))), title)
end

-- Quotes that close in one language and open in another: they close where nothing sticks to them.
local EITHER = { [0xAB] = true, [0x2018] = true, [0x201C] = true }

local function opens(text, code, after)
  return EITHER[code] and text:find("^" .. WORD_BYTE, after) ~= nil
end

-- Past further terminators, closing quotes and brackets (French ones after a space), and footnotes.
local function past_closers(text, at, last)
  while at <= last do
    local code, after = unicode.decode(text, at)
    local kind = unicode.kind(code)
    if opens(text, code, after) then break end
    if kind ~= "close" and kind ~= "stop" and kind ~= "full_stop" then
      local note = text:match("^%[%^?%w+%]()", at) or text:match("^ ?\194?\160?\194\187()", at)
      if not note then break end
      after = note
    end
    at = after
  end
  return at
end

-- The byte after the sentence that the terminator at `at` ends, or nil if it ends none; and where to go on.
local function ending(text, first, at, last, evidence)
  local code, after = unicode.decode(text, at)
  local kind = unicode.kind(code)
  if kind ~= "stop" and kind ~= "full_stop" then return nil, after end
  local past = past_closers(text, after, last)
  if past > last or kind == "full_stop" then return past, past end
  local next_kind = unicode.kind((unicode.decode(text, past)))
  if next_kind ~= "space" and next_kind ~= "ideograph" then return nil, past end
  if code == 0x2E and past == after and not ends_at_dot(text, first, at, past, evidence) then return nil, past end
  local quoted = code ~= 0x2E or past > after
  if quoted and unicode.is_lower((unicode.decode(text, text:find("%S", past) or past))) then return nil, past end
  return past, past
end

local function trimmed(text, first, last)
  first = text:find("%S", first) or last + 1
  while last >= first and text:find("^%s", last) do last = last - 1 end
  return first, last
end

local function report(text, first, last, ended, visit)
  first, last = trimmed(text, first, last)
  if first <= last then visit(first, last, ended) end
end

-- Where to cut what has run on for too long: after the last white space, else after a character.
local function cut_of(text, first)
  local piece = text:sub(first, first + LONGEST - 1)
  local space = piece:find("%s%S*$")
  if space and space > LONGEST // 2 then return first + space - 1 end
  return unicode.char_end(text, first + LONGEST - 1)
end

-- Ends of sentences within text[first..last]; visit(first, last, ended).
local function split(text, first, last, evidence, visit)
  local at = first
  while true do
    local candidate = text:find(CANDIDATE, at)
    if not candidate or candidate > last then candidate = last + 1 end
    while candidate - first > LONGEST do
      local cut = cut_of(text, first)
      report(text, first, math.min(cut, last), false, visit)
      first = cut + 1
    end
    if candidate > last then break end
    local past, next_at = ending(text, first, candidate, last, evidence)
    if past then
      report(text, first, past - 1, true, visit)
      first = past
    end
    at = math.max(next_at, first)
  end
  report(text, first, last, false, visit)
end

local function newlines(text, first, last)
  local n = 0
  local at = text:find("\n", first, true)
  while at and at < last do
    n, at = n + 1, text:find("\n", at + 1, true)
  end
  return n
end

--- Walks over the sentences of a text's prose, in order. Headings, code, tables and HTML are left
--- out of Markdown. The bytes of a sentence are verbatim: text:sub(first, last). Does not yield.
---@param text string
---@param options { markdown: boolean?, inside: string?, continued: boolean? }  see weir.text.markdown.scan
---@param visit fun(first: integer, last: integer, ended: boolean, line: integer)  ended: a terminator
---  ends it; line: the number of the line it begins on, from 1
function M.each(text, options, visit)
  local evidence = { text = text, words = {} }
  markdown.scan(text, options, function(kind, first, last, line)
    if kind ~= "text" then return end
    local counted = first
    split(text, first, last, evidence, function(from, to, ended)
      line = line + newlines(text, counted, from)
      counted = from
      visit(from, to, ended, line)
    end)
  end)
end

--- Gives the sentences of a text's prose. Does not yield.
---@param text string
---@param options { markdown: boolean?, inside: string?, continued: boolean? }?
---@return { text: string, first: integer, last: integer, ended: boolean, line: integer }[]
function M.list(text, options)
  local found = {}
  M.each(text, options or {}, function(first, last, ended, line)
    found[#found + 1] = { text = text:sub(first, last), first = first, last = last, ended = ended, line = line }
  end)
  return found
end

return M

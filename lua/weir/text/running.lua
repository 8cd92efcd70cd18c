--- A summary of a text that does not end: what comes is collected until there is enough of it, then the summary so far and
--- what has come compete for the words there are. So what is held is bounded, by the summary and by what is collected,
--- however long the text becomes. Sentences are verbatim, and know their place in all that has come. Pure; never yields by
--- itself.

local extract = require "weir.text.extract"
local selection = require "weir.text.selection"
local tokens = require "weir.text.tokens"

local M = {}

local LONGEST = 65536 -- bytes of a text without an end of a paragraph that are collected at most

---@class weir.text.Running
---@field sentences weir.text.Sentence[] the summary: `from`, `to` and `line` count all that has come, from 1
---@field words integer of the summary
---@field bytes integer that have come
---@field updates integer how often the summary was made anew
local Running = {}
Running.__index = Running

--- A summary of nothing yet.
---@param options { words: integer, every: integer, method: string, markup: string?, language: string?, pause: fun()? } words: of the
---  summary at most; every: words that are collected before it is made anew
---@return weir.text.Running
function M.new(options)
  return setmetatable({ options = options, sentences = {}, words = 0, bytes = 0, updates = 0, pending = "", pending_from = 1,
    pending_line = 1 }, Running)
end

-- Paragraphs that have ended, or all of it; a half sentence waits for its other half.
local function take(self, is_last)
  local text = self.pending
  local ended = is_last and #text or 0
  if not is_last then
    local at = 1
    while true do
      local _, last = text:find("\n[ \t\r]*\n", at)
      if not last then break end
      ended, at = last, last + 1
    end
    if ended == 0 and #text > LONGEST then ended = #text end
  end
  return text:sub(1, ended), text:sub(ended + 1)
end

local function make_anew(self, text, rest)
  local options = self.options
  local list = table.move(self.sentences, 1, #self.sentences, 1, {})
  local fresh = extract.condense({ { text = text, from = self.pending_from, line = self.pending_line } }, options.words,
    { method = options.method, markup = options.markup or "auto", language = options.language, pause = options.pause })
  table.move(fresh, 1, #fresh, #list + 1, list)
  self.sentences, self.words = extract.choose(list, options.words, options)
  self.updates = self.updates + 1
  self.pending_from = self.pending_from + #text
  self.pending_line = self.pending_line + select(2, text:gsub("\n", ""))
  self.pending = rest
end

-- At most one line: so it does not matter in which pieces the text comes.
local function add_line(self, text)
  self.pending, self.bytes = self.pending .. text, self.bytes + #text
  if text:byte(-1) ~= 10 and #self.pending <= LONGEST then return false end -- no paragraph has ended
  local whole, rest = take(self, false)
  if whole == "" or tokens.count(whole) < self.options.every then return false end
  make_anew(self, whole, rest)
  return true
end

--- Adds what has come.
---@param text string
---@return boolean changed whether the summary was made anew
function Running:add(text)
  local changed = false
  for line in text:gmatch "[^\n]*\n?" do
    if line ~= "" and add_line(self, line) then changed = true end
  end
  return changed
end

--- No more comes: what was collected last is taken in.
---@return boolean changed
function Running:finish()
  local whole, rest = take(self, true)
  if not whole:find "%S" then return false end
  make_anew(self, whole, rest)
  return true
end

--- The summary as text.
---@return string
function Running:text()
  return selection.text(self.sentences)
end

return M

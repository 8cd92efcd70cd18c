--- Cutting where the content says so: whether a piece ends a cut depends on the piece alone, not on how many came before it.
--- So an edit moves the cuts next to it and no others, and what was made of all other cuts still holds.
---
--- Source: content-defined chunking as in Muthitacharoen, Chen and Mazières, "A Low-Bandwidth Network File System", SOSP
--- 2001; here the pieces are whole blocks of a text, or whole items, instead of windows of bytes. Pure; never yields.

local hash = require "weir.native.hash"
local markdown = require "weir.text.markdown"

local M = {}

local RANGE = 1 << 32
local MOST = 3      -- times the size: so much at most, where no piece says that it ends a cut
local LEAST = 1 / 4 -- of the size: so much at least

-- A number below RANGE that the content draws.
local function draw(text)
  return tonumber(hash.sha256(text):sub(1, 8), 16)
end

-- The larger a piece the likelier it ends a cut, so that cuts have the size whatever the pieces have.
local function ends_cut(text, length, size)
  return draw(text) < RANGE * math.min(1, length / size)
end

--- Groups items that each have a length.
---@param count integer of items
---@param options { size: number, least: number? } of a group, on average and at least, in the unit of the lengths
---@param length_of fun(index: integer): number
---@param text_of fun(index: integer): string what decides whether the item ends a group
---@param emit fun(first: integer, last: integer) indexes, 1-based and inclusive
function M.group(count, options, length_of, text_of, emit)
  local size, first, length = options.size, 1, 0
  local least = options.least or LEAST * size
  for index = 1, count do
    local own = length_of(index)
    if index > first and length + own > MOST * size then
      emit(first, index - 1)
      first, length = index, 0
    end
    length = length + own
    if length >= least and ends_cut(text_of(index), own, size) then
      emit(first, index)
      first, length = index + 1, 0
    end
  end
  if first <= count then emit(first, count) end
end

local function line_start(text, at)
  while at > 1 and text:byte(at - 1) ~= 10 do at = at - 1 end
  return at
end

-- A block that is larger than any cut is taken line by line.
local function add_lines(pieces, text, first, last)
  while first <= last do
    local ending = math.min(text:find("\n", first, true) or last, last)
    pieces[#pieces + 1] = { first = first, last = ending }
    first = ending + 1
  end
end

-- Blocks of the text with what stands between them: put together they are the text.
local function blocks(text, most, is_markdown)
  local pieces, first, is_code = {}, 1, false
  local function close(last)
    if last < first then return end
    if last - first >= most and not is_code then
      add_lines(pieces, text, first, last)
    else
      pieces[#pieces + 1] = { first = first, last = last }
    end
  end
  markdown.scan(text, { markdown = is_markdown }, function(kind, start)
    local begin = math.max(line_start(text, start), first)
    close(begin - 1)
    first, is_code = begin, kind == "code"
  end)
  close(#text)
  return pieces
end

--- Cuts a text between blocks: paragraphs, headings, list items, whole blocks of code. The cuts are contiguous: put together
--- they are the text. A cut has at most three times the size, unless a single line or block of code is longer.
---@param text string
---@param options { size: integer, markdown: boolean? } size: bytes of a cut, on average
---@param emit fun(first: integer, last: integer) bytes, 1-based and inclusive
function M.cut(text, options, emit)
  local pieces = blocks(text, MOST * options.size, options.markdown)
  local function text_of(index) return text:sub(pieces[index].first, pieces[index].last) end
  local function length_of(index) return pieces[index].last - pieces[index].first + 1 end
  M.group(#pieces, { size = options.size }, length_of, text_of, function(first, last) emit(pieces[first].first, pieces[last].last) end)
end

return M

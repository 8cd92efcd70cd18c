--- Cuts Markdown where it hurts least: between sections, else between blocks, else between lines,
--- else between characters.
---
--- Sections are packed together up to a size; one that does not fit into what is left begins a new
--- cut. Works on byte ranges in one pass and keeps the blocks of one cut at most.

local markdown = require "weir.text.markdown"

local M = {}

---@class weir.text.Cutter
---@field first integer     first byte of the cut under way
---@field last integer      last byte of it so far
---@field length integer    its characters
---@field title string?     heading of its first section
---@field inside string?    the code fence it begins in

local function length_of(text, first, last)
  return last < first and 0 or utf8.len(text, first, last, true) or last - first + 1
end

local function flush(cutter, fence)
  if cutter.last < cutter.first then return end
  cutter.emit(cutter.first, cutter.last, cutter.title, cutter.inside)
  cutter.first, cutter.length, cutter.title, cutter.inside = cutter.last + 1, 0, nil, fence
end

local function take(cutter, piece)
  cutter.last, cutter.length = piece.last, cutter.length + piece.length
  cutter.title = cutter.title or cutter.section.title
end

-- The last byte of at most `size` characters from `first`, moved back to a line's end if there is one.
local function cut_after(text, first, last, size)
  while first <= last and (text:byte(first) & 0xC0) == 0x80 do first = first + 1 end
  if first > last then return last end
  local limit = math.min((utf8.offset(text, size + 1, first) or #text + 1) - 1, last)
  if limit == last then return last end
  local at = limit
  while at > first and text:byte(at) ~= 10 do at = at - 1 end
  return at > first and at or limit
end

local function take_large(cutter, piece)
  local text, first = cutter.text, piece.first
  while first <= piece.last do
    local last = cut_after(text, first, piece.last, cutter.size)
    take(cutter, { last = last, length = length_of(text, first, last) })
    if last < piece.last then flush(cutter, piece.fence) end
    first = last + 1
  end
end

local function place(cutter, piece)
  if cutter.length + piece.length > cutter.size then flush(cutter) end
  if piece.length > cutter.size then take_large(cutter, piece) else take(cutter, piece) end
end

local function place_all(cutter)
  for _, piece in ipairs(cutter.section.pieces) do place(cutter, piece) end
  cutter.section.pieces = {}
end

local function end_section(cutter)
  local section = cutter.section
  if not section.large and cutter.length + section.length > cutter.size then flush(cutter) end
  place_all(cutter)
end

-- A section that turns out to be larger than a cut is placed block by block from then on.
local function add(cutter, piece)
  local section = cutter.section
  if piece.title then
    end_section(cutter)
    section = { pieces = {}, length = 0, title = piece.title }
    cutter.section = section
  end
  section.pieces[#section.pieces + 1] = piece
  section.length = section.length + piece.length
  if section.length > cutter.size then
    if not section.large then flush(cutter) end
    section.large = true
    place_all(cutter)
  end
end

local function line_start(text, at)
  while at > 1 and text:byte(at - 1) ~= 10 do at = at - 1 end
  return at
end

--- Cuts text. The cuts are contiguous: put together they are the text. Does not yield by itself.
---@param text string
---@param size integer  characters a cut has at most
---@param emit fun(first: integer, last: integer, title: string?, inside: string?)  bytes, 1-based,
---  inclusive; title: the heading of the first section in the cut; inside: the code fence it begins in
function M.cut(text, size, emit)
  local cutter = { text = text, size = size, emit = emit, first = 1, last = 0, length = 0,
    section = { pieces = {}, length = 0 } }
  local open = { first = 1 }
  local function close(last)
    if last < open.first then return end
    open.last, open.length = last, length_of(text, open.first, last)
    add(cutter, open)
  end
  markdown.scan(text, { markdown = true }, function(kind, first, _, _, _, title)
    local start = line_start(text, first)
    close(start - 1)
    open = { first = math.max(start, open.first), title = title }
    open.fence = kind == "code" and markdown.fence(text:match("^[^\r\n]*", first)) or nil
  end)
  close(#text)
  end_section(cutter)
  flush(cutter)
end

return M

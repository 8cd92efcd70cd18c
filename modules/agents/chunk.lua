--- Cuts text into chunks that remember where they come from.
---
--- By characters, tokens (words, as weir.text.tokens counts them), lines, paragraphs or Markdown
--- sections. No chunk splits a UTF-8 character, and without overlap the chunks put together are the
--- text again, byte for byte. One pass, time linear in the text.

local weir = require "weir"
local sections = require "weir.text.sections"
local tokens = require "weir.text.tokens"

local M = {
  kind = "agent", name = "chunk", api = 1,
  doc = "Cuts text into chunks that remember where they come from",
  needs = { text = "string", source = "string?" },
  gives = { chunks = "array" },
  options = {
    by = { enum = { "characters", "tokens", "lines", "paragraphs", "sections" }, default = "characters" },
    -- How much of that a chunk holds; of sections, the characters it has at most. Without: 2000 characters,
    -- 500 tokens, 100 lines, 10 paragraphs, sections of 4000 characters together.
    size = { type = "integer", minimum = 1, optional = true },
    -- How much of a chunk the next one begins with, in the same unit; sections have none.
    overlap = { type = "integer", minimum = 0, default = 0 },
  },
}

local SIZES = { characters = 2000, tokens = 500, lines = 100, paragraphs = 10, sections = 4000 }

-- A cutter gives the byte at which the unit after `n` units from byte `at` begins, #text + 1 at the end.
-- Characters: bytes that start none (not UTF-8) stay with what is before them.
local function characters(text)
  return function(at, n)
    while at <= #text and (text:byte(at) & 0xC0) == 0x80 do at = at + 1 end
    if at > #text then return at end
    return utf8.offset(text, n + 1, at) or #text + 1
  end
end

local function lines(text)
  return function(at, n)
    for _ = 1, n do
      local ending = text:find("\n", at, true)
      if not ending then return #text + 1 end
      at = ending + 1
    end
    return at
  end
end

-- A paragraph ends after the blank lines that follow it.
local function paragraphs(text)
  return function(at, n)
    for _ = 1, n do
      local _, ending = text:find("\n[ \t\r]*\n[ \t\r\n]*", at)
      if not ending then return #text + 1 end
      at = ending + 1
      local indent = text:sub(math.max(1, at - 80), at - 1):match("\n([ \t]+)$")
      if indent then at = at - #indent end
    end
    return at
  end
end

-- Where units begin, for cutters that cannot find the n-th one by themselves: a chunk and its overlap
-- are kept, no more.
local function token_starts(text)
  local next_start, starts, first = tokens.starts(text), {}, 1
  next_start() -- what is before the first token belongs to it
  return function(at, n)
    while starts[first] and starts[first] < at do
      starts[first] = nil
      first = first + 1
    end
    local wanted = first + n - 1 + (starts[first] == at and 1 or 0)
    local last = first
    while starts[last] do last = last + 1 end
    while last <= wanted do
      local start = next_start()
      if not start then return #text + 1 end
      starts[last], last = start, last + 1
    end
    return starts[wanted]
  end
end

local CUTTERS = { characters = characters, tokens = token_starts, lines = lines, paragraphs = paragraphs }

-- Calls emit(first, last) for each chunk of `size` units; the next begins size - overlap units on.
local function cut_units(text, cutter, size, overlap, emit)
  local at = 1
  while at <= #text do
    local next_at = overlap > 0 and cutter(at, size - overlap) or nil
    local ending = next_at and cutter(next_at, overlap) or cutter(at, size)
    emit(at, ending - 1)
    if ending > #text then return end
    at = next_at or ending
  end
end

local function newlines(text, first, last)
  local n, at = 0, text:find("\n", first, true)
  while at and at <= last do
    n, at = n + 1, text:find("\n", at + 1, true)
  end
  return n
end

-- Makes chunks out of byte ranges. Ranges begin in order, so lines are counted once.
local function collector(text, source)
  local chunks, counted, line = {}, 1, 1
  return chunks, function(first, last, title, inside)
    line = line + newlines(text, counted, first - 1)
    counted = first
    chunks[#chunks + 1] = { text = text:sub(first, last), from = first, to = last, line = line, source = source,
      title = title, inside = inside }
  end
end

--- Cuts text. Does not wait.
---@param ctx weir.Context
---@param input { text: string, source: string? }
---@return { chunks: table[] }?  each { text, from, to, line, source?, title?, inside? }; from, to: bytes of the
---  input's text, 1-based, inclusive; line: of the first byte; for sections also title: the heading it stands
---  under, and inside: the code fence that it begins in
---@return string? message
---@return string? code  invalid (no text, an overlap as large as the size, an overlap of sections)
function M.execute(ctx, input)
  local text, options = input.text, ctx.options
  if type(text) ~= "string" then return nil, "chunk: input.text is required (string)", "invalid" end
  local size = options.size or SIZES[options.by]
  if options.overlap >= size then
    return nil, ("chunk: overlap must be less than the size, got %d of %d %s")
      :format(options.overlap, size, options.by), "invalid"
  end
  if options.overlap > 0 and options.by == "sections" then
    return nil, "chunk: sections do not overlap; leave the option 'overlap' out", "invalid"
  end
  local chunks, emit = collector(text, input.source)
  if options.by == "sections" then sections.cut(text, size, emit)
  else cut_units(text, CUTTERS[options.by](text), size, options.overlap, emit) end
  return { chunks = weir.list(chunks) }
end

return M

--- Cuts text, or a list of items, into chunks that remember where they come from.
---
--- Text by bytes, characters, tokens (words, as weir.text.tokens counts them), lines, paragraphs, separators, Markdown
--- sections, or where its content says so. No chunk splits a UTF-8 character (only `bytes` may), and without overlap the
--- chunks put together are the text again, byte for byte. Items by count, by key, by the file that they come from, or where
--- their content says so. One pass, time linear in the text.

local weir = require "weir"
local content = require "weir.text.content"
local json = require "weir.json"
local markdown = require "weir.text.markdown"
local sections = require "weir.text.sections"
local tokens = require "weir.text.tokens"

local M = {
  kind = "agent", name = "chunk", api = 1,
  doc = "Cuts text or a list into chunks that remember where they come from",
  needs = { text = "string?", source = "string?", items = "array?" },
  gives = { chunks = "array" },
  options = {
    by = { enum = { "bytes", "characters", "tokens", "lines", "paragraphs", "separators", "sections", "content", "count", "key",
      "file" },
      default = "characters" },
    -- How much of that a chunk holds; of sections, the characters it has at most. Without: 4096 bytes, 2000 characters,
    -- 500 tokens, 100 lines, 10 paragraphs, 1 part between separators, sections of 4000 characters together, 100 items,
    -- all items of a key or file. By content: 2000 bytes of text or 4 items, on average: an edit moves the cuts next to it
    -- and no others.
    size = { type = "integer", minimum = 1, optional = true },
    -- How much of a chunk the next one begins with, in the same unit; sections have none.
    overlap = { type = "integer", minimum = 0, default = 0 },
    separators = { type = "array", items = { type = "string", minLength = 1 }, minItems = 1, default = weir.list { "\n---\n" } },
    key = { type = "string", default = "source" },       -- of an item, by which key and file put items together
  },
}

local SIZES = { bytes = 4096, characters = 2000, tokens = 500, lines = 100, paragraphs = 10, separators = 1, sections = 4000,
  content = 2000, count = 100, key = math.maxinteger, file = math.maxinteger }
local OF_ITEMS = { count = true, key = true, file = true }
-- Chunks that share nothing.
local WHOLE = { sections = "sections", key = "keys", file = "files", content = "cuts by content" }
local GROUPED = 4 -- items by content, on average

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

local function bytes(text)
  return function(at, n) return math.min(at + n, #text + 1) end
end

-- The separator that comes first, the longer of two at one place. Of each it is remembered where it comes next.
local function next_separator(text, list)
  local found = {}
  return function(at)
    local first, last
    for index, separator in ipairs(list) do
      local place = found[index]
      if place == nil or place and place < at then
        place = text:find(separator, at, true) or false
        found[index] = place
      end
      local ending = place and place + #separator - 1
      if place and (not first or place < first or place == first and ending > last) then first, last = place, ending end
    end
    return last
  end
end

-- A part ends with its separator.
local function separators(text, options)
  local find = next_separator(text, options.separators)
  return function(at, n)
    for _ = 1, n do
      local last = find(at)
      if not last then return #text + 1 end
      at = last + 1
    end
    return at
  end
end

local CUTTERS = { bytes = bytes, characters = characters, tokens = token_starts, lines = lines, paragraphs = paragraphs,
  separators = separators }

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

-- Items ------------------------------------------------------------------------------------------

local function by_count(items, size, overlap)
  local chunks, at = weir.list {}, 1
  while at <= #items do
    local last = math.min(at + size - 1, #items)
    chunks[#chunks + 1] = { items = weir.list(table.move(items, at, last, 1, {})), from = at, to = last }
    if last == #items then break end
    at = last + 1 - overlap
  end
  return chunks
end

local function key_of(item, name)
  local key = type(item) == "table" and item[name] or nil
  if type(key) == "table" or key == nil then return nil end
  return tostring(key)
end

-- What decides over an item: its id where it has one, such as a hash of its content, else the whole of it.
local function by_content(items, size)
  local chunks = weir.list {}
  local function text_of(index)
    local item = items[index]
    if type(item) == "table" and type(item.id) == "string" then return item.id end
    return json.encode(item)
  end
  content.group(#items, { size = size, least = 2 }, function() return 1 end, text_of, function(first, last)
    chunks[#chunks + 1] = { items = weir.list(table.move(items, first, last, 1, {})), from = first, to = last }
  end)
  return chunks
end

-- In the order in which keys appear; a key with more items than the size has several chunks.
local function by_key(items, name, size)
  local chunks, open = weir.list {}, {}
  for position, item in ipairs(items) do
    local key = key_of(item, name)
    if not key then return nil, ("chunk: item %d has no '%s' to put it under"):format(position - 1, name), "invalid" end
    local chunk = open[key]
    if not chunk or #chunk.items >= size then
      chunk = { key = key, items = weir.list {} }
      open[key], chunks[#chunks + 1] = chunk, chunk
    end
    table.insert(chunk.items, item)
  end
  return chunks
end

local function cut_items(input, options, size)
  if not weir.is_list(input.items) then
    return nil, ("chunk: by '%s' cuts a list; give it as input.items"):format(options.by), "invalid"
  end
  if options.by == "content" then return { chunks = by_content(input.items, options.size or GROUPED) } end
  if options.by == "count" then return { chunks = by_count(input.items, size, options.overlap) } end
  local chunks, message, code = by_key(input.items, options.key, size)
  return chunks and { chunks = chunks }, message, code
end

local function cut_text(input, options, size)
  local text = input.text
  if type(text) ~= "string" then return nil, "chunk: input.text is required (string)", "invalid" end
  local chunks, emit = collector(text, input.source)
  if options.by == "sections" then sections.cut(text, size, emit)
  elseif options.by == "content" then
    content.cut(text, { size = size, markdown = not input.source or markdown.is_markdown(input.source) }, emit)
  else cut_units(text, CUTTERS[options.by](text, options), size, options.overlap, emit) end
  return { chunks = weir.list(chunks) }
end

--- Cuts text or items. Does not wait.
---@param ctx weir.Context
---@param input { text: string?, source: string?, items: any[]? } text, or items where they are cut by count, key, file or content
---@return { chunks: table[] }?  of text each { text, from, to, line, source?, title?, inside? }; from, to: bytes of the
---  input's text, 1-based, inclusive; line: of the first byte; for sections also title: the heading it stands
---  under, and inside: the code fence that it begins in. Of items each { items, from, to } or { items, key }
---@return string? message
---@return string? code  invalid (no text, no items, an item without the key, an overlap as large as the size, an overlap of
---  sections, keys or files)
function M.execute(ctx, input)
  local options = ctx.options
  local size = options.size or SIZES[options.by]
  if options.overlap >= size then
    return nil, ("chunk: overlap must be less than the size, got %d of %d %s")
      :format(options.overlap, size, options.by), "invalid"
  end
  if options.overlap > 0 and WHOLE[options.by] then
    return nil, ("chunk: %s do not overlap; leave the option 'overlap' out"):format(WHOLE[options.by]), "invalid"
  end
  if OF_ITEMS[options.by] or options.by == "content" and input.items then return cut_items(input, options, size) end
  return cut_text(input, options, size)
end

return M

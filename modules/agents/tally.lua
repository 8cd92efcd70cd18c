--- Counts the words of texts, and adds counts up: a map's step and its reduce in one.
---
--- What it returns it also takes, as an item (tree, all) or as `acc` (fold), so counts of parts add up to those of the
--- whole in whatever order they come.

local weir = require "weir"
local tokens = require "weir.text.tokens"

local M = {
  kind = "agent", name = "tally", api = 1,
  doc = "Counts words, and adds counts up",
  needs = { text = "string?", items = "array?", acc = "object?" },
  gives = { counts = "object", words = "integer", distinct = "integer", text = "string?" },
  options = {
    min_length = { type = "integer", minimum = 1, default = 1 }, -- characters of a word that counts
    table = { type = "boolean", default = false },               -- give a text too: a line "count word" each, the most frequent first
    top = { type = "integer", minimum = 1, optional = true },    -- lines of it at most
  },
}

local function count_words(text, least)
  local counts = {}
  for _, word in ipairs(tokens.words(text)) do
    if least == 1 or utf8.len(word) >= least then counts[word] = (counts[word] or 0) + 1 end
  end
  return counts
end

local function add(total, counts)
  for word, count in pairs(counts) do total[word] = (total[word] or 0) + count end
end

local function check_counts(item, position)
  if type(item) == "table" and type(item.counts) == "table" then return item.counts end
  error({ code = "invalid", message = ("tally: item %d has no counts; give what tally returns"):format(position) }, 0)
end

local function added_up(input)
  local total = {}
  if input.acc ~= nil then add(total, check_counts(input.acc, 0)) end
  for position, item in ipairs(input.items or {}) do
    if item ~= weir.null then add(total, check_counts(item, position)) end
  end
  return total
end

-- The most frequent first, words of one frequency in the order of their bytes.
local function sorted(counts)
  local words = {}
  for word in pairs(counts) do words[#words + 1] = word end
  table.sort(words, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  return words
end

local function table_of(counts, words, top)
  local lines = {}
  for index = 1, math.min(#words, top or #words) do lines[index] = ("%7d %s\n"):format(counts[words[index]], words[index]) end
  return table.concat(lines)
end

--- Counts, or adds up. Does not wait.
---@param ctx weir.Context
---@param input { text: string? } | { items: table[], acc: table? }  a text, or what tally has given before
---@return { counts: table<string, integer>, words: integer, distinct: integer, text: string? }?
---@return string? message
---@return string? code  invalid (neither text nor items, an item without counts)
function M.execute(ctx, input)
  if type(input.text) ~= "string" and not input.items and not input.acc then
    return nil, "tally: give a text, or items that tally has counted", "invalid"
  end
  local counts = input.text and count_words(input.text, ctx.options.min_length) or added_up(input)
  local words = sorted(counts)
  local total = 0
  for _, word in ipairs(words) do total = total + counts[word] end
  return { counts = counts, words = total, distinct = #words, text = ctx.options.table and table_of(counts, words, ctx.options.top) or nil }
end

return M

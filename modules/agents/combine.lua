--- Merges the results of a map: texts, lists, or summaries with the places they come from.
---
--- Made to be a map's `reduce` in each of its modes: what it returns it also takes, as an item (tree)
--- or as `acc` (fold). Items that are null, failures a map tolerated, are skipped. When a critic sends a
--- summary back, sentences with the words that its advice quotes come first.

local weir = require "weir"
local selection = require "weir.text.selection"
local tokens = require "weir.text.tokens"

local M = {
  kind = "agent", name = "combine", api = 1,
  doc = "Merges texts, lists or summaries",
  needs = { items = "array", acc = "any?", words = "integer?" },
  gives = { text = "string?", sentences = "array?", list = "array?" },
  options = {
    mode = { enum = { "summaries", "concat", "list" }, default = "summaries" },
    separator = { type = "string", default = "\n\n" },                         -- concat: put between two texts
    words = { type = "integer", minimum = 1, optional = true },                -- summaries: at most; without, all
    -- summaries: share of words two sentences have in common to count as one
    alike = { type = "number", exclusiveMinimum = 0, maximum = 1, default = 0.6 },
  },
}

-- The items there are, the accumulator first.
local function items_of(input)
  local items = {}
  if input.acc ~= nil and input.acc ~= weir.null then items[1] = input.acc end
  for index = 1, #input.items do
    local item = input.items[index]
    if item ~= nil and item ~= weir.null then items[#items + 1] = item end
  end
  return items
end

local function wrong(index, what, item)
  return nil, ("combine: item %d must be %s, got %s"):format(index, what, type(item)), "invalid"
end

local function concat(ctx, items)
  local texts = {}
  for index, item in ipairs(items) do
    local text = type(item) == "table" and item.text or item
    if type(text) ~= "string" then return wrong(index, "a text or have one", item) end
    if text ~= "" then texts[#texts + 1] = text end
  end
  return { text = table.concat(texts, ctx.options.separator) }
end

-- A former result of this mode, { list = ... } and nothing else, is taken apart again.
local function is_result(item)
  return type(item) == "table" and type(item.list) == "table" and next(item, next(item)) == nil
end

local function list(_, items)
  local all = {}
  for _, item in ipairs(items) do
    if is_result(item) then table.move(item.list, 1, #item.list, #all + 1, all) else all[#all + 1] = item end
  end
  return { list = weir.list(all) }
end

local function copy(sentence)
  local own = {}
  for name, value in pairs(sentence) do own[name] = value end
  own.words, own.score = own.words or tokens.count(own.text), own.score or 0
  return own
end

local function gather(items)
  local all = {}
  for index, item in ipairs(items) do
    if type(item) ~= "table" or next(item) ~= nil and type(item.sentences) ~= "table" then
      return wrong(index, "a summary with sentences", item)
    end
    for _, sentence in ipairs(item.sentences or {}) do all[#all + 1] = copy(sentence) end
  end
  return all
end

local function total(sentences)
  local words = 0
  for _, sentence in ipairs(sentences) do words = words + sentence.words end
  return words
end

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function summaries(ctx, items, input)
  local all, message, code = gather(items)
  if not all then return nil, message, code end
  if ctx.feedback then selection.favour(all, ctx.feedback.advice) end
  local kept = selection.distinct(all, ctx.options.alike, pause)
  local limit = input.words or ctx.options.words
  kept = limit and selection.fit(kept, limit) or selection.sort(kept)
  return { text = selection.text(kept), sentences = weir.list(kept), words = total(kept) }
end

local MODES = { concat = concat, list = list, summaries = summaries }

--- Merges items, as the option `mode` says. Does not wait.
---@param ctx weir.Context
---@param input { items: any[], acc: any, level: integer?, words: integer? }  `words` goes before the option
---@return table?  concat: { text }; list: { list }; summaries: { text, sentences, words }, the sentences with
---  their places, each said once, by source and position; if a number of words is given, the best ones that
---  fit, shared among the sources
---@return string? message
---@return string? code  invalid (items that do not fit the mode)
function M.execute(ctx, input)
  if type(input.items) ~= "table" then return nil, "combine: input.items is required (list)", "invalid" end
  return MODES[ctx.options.mode](ctx, items_of(input), input)
end

return M

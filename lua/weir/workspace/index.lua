--- The inverted index of documents. A posting says that a document is found by a term from one version on
--- and, once that is over, until which: so the index knows what was there at any moment that readers may
--- still look at, and a change writes only the terms that came and went. How often a term stands in the
--- document is kept as a power of two, so that small changes write nothing.
---
--- Ranking is BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
--- 2009, k1 = 1.2, b = 0.75) among the documents that hold any term of the query: how rare a term is and
--- how long a document counts is measured against those.

local names = require "weir.workspace.names"
local pages = require "weir.pages"
local record = require "weir.workspace.record"
local tokens = require "weir.text.tokens"
local values = require "weir.value"

local M = {}

local spaces = names.spaces
local TEXT_MAX = 128 << 10          -- bytes of a document's text that are searched
local TERMS_MAX, TERM_MAX = 500, 64 -- terms of a document, the most frequent first; bytes of one
local K1, B = 1.2, 0.75

-- All text of a value, in the order of its keys, until there is enough.
local function gather(parts, value)
  if parts.bytes >= TEXT_MAX then return end
  if type(value) == "string" then
    local text = value:sub(1, TEXT_MAX - parts.bytes)
    parts[#parts + 1], parts.bytes = text, parts.bytes + #text
  elseif type(value) == "table" then
    if #value > 0 then
      for _, inner in ipairs(value) do gather(parts, inner) end
    else
      for _, field in ipairs(values.names(value)) do gather(parts, value[field]) end
    end
  end
end

-- The terms in the order in which they appear, and how often each does.
local function count_terms(text)
  local order, counts, words = {}, {}, 0
  for _, term in ipairs(tokens.terms(text)) do
    words = words + 1
    if #term <= TERM_MAX then
      if not counts[term] then order[#order + 1] = term end
      counts[term] = (counts[term] or 0) + 1
    end
  end
  return order, counts, words
end

local function most_frequent(order, counts)
  if #order <= TERMS_MAX then return order end
  local place = {}
  for index, term in ipairs(order) do place[term] = index end
  table.sort(order, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return place[a] < place[b]
  end)
  return table.move(order, 1, TERMS_MAX, 1, {})
end

--- What a document is found by: its name, type, tags and all text in its value.
---@param name string
---@param document table {value, type?, tags?}
---@return table<string, integer> classes by term: it stands there 2^class times or more
---@return integer words in all
function M.terms_of(name, document)
  local parts = { bytes = 0 }
  for _, value in ipairs { name, document.type or "", document.tags or {}, document.value } do gather(parts, value) end
  local order, counts, words = count_terms(table.concat(parts, "\n"))
  local classes = {}
  for _, term in ipairs(most_frequent(order, counts)) do classes[term] = math.floor(math.log(counts[term], 2)) end
  return classes, words
end

-- The terms that version n brings, and those that it ends: {term, since version, class}.
local function changes(old, new)
  local opened, ended = {}, {}
  for _, term in ipairs(values.names(new)) do
    local was = old[term]
    if not was or was[1] ~= new[term] then opened[#opened + 1] = term end
  end
  for _, term in ipairs(values.names(old)) do
    if new[term] ~= old[term][1] then ended[#ended + 1] = { term, old[term][2], old[term][1] } end
  end
  return opened, ended
end

--- Adds the operations that make version n of a document found by these terms and no others. They are good
--- only in one batch with the change of the head that they were computed against.
---@param store weir.Store
---@param operations table[]
---@param scope string
---@param name string
---@param n integer
---@param classes table<string, integer> empty for a deletion
function M.update(store, operations, scope, name, n, classes)
  local key = names.key(scope, name)
  local old = record.get(store, spaces.terms, key) or {}
  local opened, ended = changes(old, classes)
  local kept, closed = {}, {}
  for term, class in pairs(classes) do kept[term] = old[term] and old[term][1] == class and old[term] or { class, n } end
  for _, term in ipairs(opened) do
    operations[#operations + 1] = { op = "put", space = spaces.postings, key = names.posting_key(scope, term, name, n),
      value = { classes[term], 0 } }
  end
  for index, entry in ipairs(ended) do
    closed[index] = { entry[1], entry[2] }
    operations[#operations + 1] = { op = "put", space = spaces.postings, key = names.posting_key(scope, entry[1], name, entry[2]),
      value = { entry[3], n } }
  end
  if #closed > 0 then
    operations[#operations + 1] = { op = "put", space = spaces.closed, key = names.version_key(key, n), value = closed }
  end
  if next(kept) then
    operations[#operations + 1] = { op = "put", space = spaces.terms, key = key, value = kept }
  elseif next(old) then
    operations[#operations + 1] = { op = "delete", space = spaces.terms, key = key }
  end
end

--- Adds the operations that forget the postings which version n ended.
---@param store weir.Store
---@param operations table[]
---@param scope string
---@param name string
---@param n integer
function M.forget(store, operations, scope, name, n)
  local key = names.version_key(names.key(scope, name), n)
  for _, entry in ipairs(record.get(store, spaces.closed, key) or {}) do
    operations[#operations + 1] = { op = "delete", space = spaces.postings, key = names.posting_key(scope, entry[1], name, entry[2]) }
  end
  operations[#operations + 1] = { op = "delete", space = spaces.closed, key = key }
end

--- The documents that were ever found by a term, as far as that is not forgotten.
---@param store weir.Store
---@param scope string
---@param term string
---@return fun(): string|nil, integer, integer, integer name, class, from version, until version (0: still)
function M.postings(store, scope, term)
  local prefix = names.posting_key(scope, term)
  local rows = pages.rows(store, spaces.postings, { prefix = prefix, limit = 1000 })
  return function()
    local row = rows()
    if not row then return nil end
    local key, from = names.parse_version_key(row.key)
    return key:sub(#prefix + 1), row.value[1], from, row.value[2]
  end
end

--- The terms of a query, each once, in order.
---@param text string
---@return string[]
function M.query(text)
  local list, has = {}, {}
  for _, term in ipairs(tokens.terms(text)) do
    if not has[term] then list[#list + 1], has[term] = term, true end
  end
  return list
end

local function average_words(found)
  local sum = 0
  for _, entry in ipairs(found) do sum = sum + entry.words end
  return math.max(1, sum / math.max(1, #found))
end

local function score(entry, terms, holders, count, average)
  local sum = 0
  for _, term in ipairs(terms) do
    local class = entry.classes[term]
    if class then
      local rarity = math.log(1 + (count - holders[term] + 0.5) / (holders[term] + 0.5))
      local times = 2 ^ class
      sum = sum + rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * entry.words / average))
    end
  end
  return sum
end

--- Orders what was found, the best first; equals by name. Each entry gets its `score`.
---@param found { name: string, classes: table<string, integer>, words: integer }[]
---@param terms string[]
---@return table[] found
function M.rank(found, terms)
  local holders, average = {}, average_words(found)
  for _, term in ipairs(terms) do
    holders[term] = 0
    for _, entry in ipairs(found) do holders[term] = holders[term] + (entry.classes[term] and 1 or 0) end
  end
  for _, entry in ipairs(found) do entry.score = score(entry, terms, holders, #found, average) end
  table.sort(found, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    return a.name < b.name
  end)
  return found
end

return M

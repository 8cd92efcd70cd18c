--- Which texts resemble one another, found through an inverted index.
---
--- A text is a sparse vector of terms. Pairs are only formed between texts that share a term,
--- and each text keeps its nearest neighbours: n texts cost about n times what one shares with
--- the others, not n squared. Everything goes in order of position, so equal input gives equal output.

local M = {}

---@class weir.text.Vector
---@field ids integer[]      distinct terms, numbered in order of first appearance
---@field weights number[]   one per id
---@field length number      Euclidean length of the weights
---@field terms integer      terms with repetitions

---@class weir.text.Vectors
---@field [integer] weir.text.Vector
---@field frequency integer[]  texts that hold a term, by its number

local function count_terms(terms, ids, names)
  local counts, order = {}, {}
  for _, term in ipairs(terms) do
    local id = ids[term]
    if not id then
      id = #names + 1
      ids[term], names[id] = id, term
    end
    if not counts[id] then order[#order + 1] = id end
    counts[id] = (counts[id] or 0) + 1
  end
  return counts, order
end

local function length(weights)
  local sum = 0
  for _, weight in ipairs(weights) do sum = sum + weight * weight end
  return math.sqrt(sum)
end

local function weigh(vector, frequency, n)
  for index, id in ipairs(vector.ids) do
    vector.weights[index] = vector.counts[id] * math.log(1 + n / frequency[id])
  end
  vector.counts, vector.length = nil, length(vector.weights)
end

--- Makes TF-IDF vectors of texts (Sparck Jones 1972; the logarithm is of 1 + n / n_term, so that a
--- term of every text keeps a little weight). Does not yield.
---@param texts string[][]  the terms of each text
---@return weir.text.Vectors
function M.vectors(texts)
  local vectors, ids, names, frequency = {}, {}, {}, {}
  for index, terms in ipairs(texts) do
    local counts, order = count_terms(terms, ids, names)
    for _, id in ipairs(order) do frequency[id] = (frequency[id] or 0) + 1 end
    vectors[index] = { ids = order, counts = counts, weights = {}, terms = #terms }
  end
  for _, vector in ipairs(vectors) do weigh(vector, frequency, #texts) end
  vectors.frequency = frequency
  return vectors
end

--- Cosine measure for `links`.
function M.cosine(a, b, product)
  local lengths = a.length * b.length
  return lengths > 0 and product / lengths or 0
end

local COMMON, FEW = 0.2, 100 -- a term of more than a fifth of many texts forms no pairs

local function too_common(frequency, n)
  return frequency > math.max(FEW, n * COMMON)
end

-- Per term, one after the other: the number of a text that holds it and its weight there.
local function post_all(vectors, binary)
  local postings = {}
  for i, vector in ipairs(vectors) do
    for index, id in ipairs(vector.ids) do
      if not too_common(vectors.frequency[id], #vectors) then
        local list = postings[id]
        if not list then list = {} postings[id] = list end
        list[#list + 1] = i
        list[#list + 1] = binary and 1 or vector.weights[index]
      end
    end
  end
  return postings
end

-- Sums the products of weights of one text with every text that shares a term (itself too).
local function products(vector, postings, sums, touched, binary)
  local n = 0
  for index, id in ipairs(vector.ids) do
    local list, weight = postings[id] or {}, binary and 1 or vector.weights[index]
    for at = 1, #list, 2 do
      local j = list[at]
      local sum = sums[j]
      if not sum then
        n = n + 1
        touched[n], sum = j, 0
      end
      sums[j] = sum + weight * list[at + 1]
    end
  end
  return n
end

-- Puts a neighbour where it belongs in a list of at most `keep`, the nearest first; of two equally
-- near the earlier text.
local function insert(list, j, weight, keep)
  local at = #list
  if at >= keep then
    local last = list[at]
    if weight < last[2] or weight == last[2] and j > last[1] then return end
    list[at] = nil
    at = at - 1
  end
  while at > 0 and (list[at][2] < weight or list[at][2] == weight and list[at][1] > j) do
    list[at + 1] = list[at]
    at = at - 1
  end
  list[at + 1] = { j, weight }
end

-- A link that only one side kept is given back to the other: the graph stays undirected.
local function make_mutual(links)
  local seen, n = {}, #links
  for i, list in ipairs(links) do
    for _, link in ipairs(list) do seen[i * (n + 1) + link[1]] = true end
  end
  for i = 1, n do
    for index = 1, #links[i] do
      local j, weight = links[i][index][1], links[i][index][2]
      local key = j * (n + 1) + i
      if not seen[key] then
        seen[key] = true
        links[j][#links[j] + 1] = { i, weight }
      end
    end
  end
end

--- Links each text to those it resembles. Time grows with the pairs that share a term, memory with the
--- texts only. Does not yield by itself.
---@param vectors weir.text.Vectors
---@param options { measure: (fun(a: weir.text.Vector, b: weir.text.Vector, product: number): number),
---  threshold: number, keep: integer, binary: boolean?, pause: fun()? }  measure: similarity of a pair from the sum of
---  products of shared terms; threshold: a link is above it, at least 0; keep: nearest neighbours kept; binary: count
---  shared terms instead; pause: called between two texts, so that a module can let others run
---@return table[] links  per text a list of {neighbour, weight}
function M.links(vectors, options)
  local links, postings, sums, touched = {}, post_all(vectors, options.binary), {}, {}
  for i, vector in ipairs(vectors) do
    local list = {}
    for index = 1, products(vector, postings, sums, touched, options.binary) do
      local j = touched[index]
      local weight = j ~= i and options.measure(vector, vectors[j], sums[j]) or 0
      sums[j] = nil
      if weight > options.threshold then insert(list, j, weight, options.keep) end
    end
    links[i] = list
    if options.pause then options.pause() end
  end
  make_mutual(links)
  return links
end

---@class weir.text.Seen
local Seen = {}
Seen.__index = Seen

--- Remembers sets of terms and tells whether a further one resembles any of them. Exact, and quick where
--- terms are many: two sets that share enough share one of their rarest terms, so only those are looked up
--- (prefix filtering: Chaudhuri, Ganti and Kaushik, "A Primitive Operator for Similarity Joins in Data
--- Cleaning", ICDE 2006). Does not yield.
---@param limit number  Jaccard similarity (shared terms over all terms) from which two sets are alike, above 0
---@param frequency table<string, integer>?  how common a term is; without it the order of terms is their text's
---@return weir.text.Seen
function M.seen(limit, frequency)
  return setmetatable({ limit = limit, frequency = frequency or {}, sets = {}, postings = {} }, Seen)
end

-- The set of some terms: its list, the rarest first, and its members.
local function distinct(terms, frequency)
  local members, list = {}, {}
  for _, term in ipairs(terms) do
    if not members[term] then
      members[term] = true
      list[#list + 1] = term
    end
  end
  table.sort(list, function(a, b)
    local common_a, common_b = frequency[a] or 0, frequency[b] or 0
    if common_a ~= common_b then return common_a < common_b end
    return a < b
  end)
  return { list = list, members = members }
end

local ROUNDING = 1e-9

-- How many of its rarest terms a set must be looked up by.
local function prefix(set, limit)
  return #set.list - math.ceil(limit * #set.list - ROUNDING) + 1
end

local function are_alike(a, b, limit)
  local shared = 0
  for _, term in ipairs(a.list) do
    if b.members[term] then shared = shared + 1 end
  end
  return shared > 0 and shared >= limit * (#a.list + #b.list - shared) - ROUNDING
end

--- Finds the first remembered set that these terms resemble.
---@param terms string[]
---@return integer? which  its number, in the order of `add`
function Seen:alike(terms)
  local set, checked, found = distinct(terms, self.frequency), {}, nil
  for index = 1, math.min(prefix(set, self.limit), #set.list) do
    for _, which in ipairs(self.postings[set.list[index]] or {}) do
      if not checked[which] and not (found and found < which) then
        checked[which] = true
        if are_alike(set, self.sets[which], self.limit) then found = which end
      end
    end
  end
  return found
end

--- Remembers a set of terms.
---@param terms string[]
---@return integer which  its number
function Seen:add(terms)
  local set = distinct(terms, self.frequency)
  local which = #self.sets + 1
  self.sets[which] = set
  for index = 1, math.min(prefix(set, self.limit), #set.list) do
    local term = set.list[index]
    local posting = self.postings[term]
    if not posting then posting = {} self.postings[term] = posting end
    posting[#posting + 1] = which
  end
  return which
end

return M

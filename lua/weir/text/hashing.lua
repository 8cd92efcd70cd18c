--- Vectors of texts without a model: texts that share words, or parts of words, point in like directions.
---
--- Source: the signed hashing trick of Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009,
--- over words, pairs of words and, after Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017,
--- runs of 3 to 5 characters of a word with its borders. A feature counts 1 + ln(how often); hashed by FNV-1a, mixed by the
--- finalizer of MurmurHash3. The same text has the same vector on every machine. Does not yield by itself.

local stopwords = require "weir.text.stopwords"
local tokens = require "weir.text.tokens"

local M = {}

local OFFSET, PRIME = 0xCBF29CE484222325, 0x100000001B3 -- FNV-1a, 64 bits
local SHORTEST, LONGEST = 3, 5 -- characters of a run
local WORD, PAIR, RUN, STOP = 1, 1, 0.3, 0.1 -- weights; STOP is that of words which say little in any language

local function add_bytes(hash, text)
  for at = 1, #text do hash = (hash ~ text:byte(at)) * PRIME end
  return hash
end

local function mixed(hash)
  hash = (hash ~ (hash >> 33)) * 0xFF51AFD7ED558CCD
  hash = (hash ~ (hash >> 33)) * 0xC4CEB9FE1A85EC53
  return hash ~ (hash >> 33)
end

local function count(features, hash, weight)
  local known = features.counts[hash]
  if not known then
    features.order[#features.order + 1], features.weights[hash] = hash, weight
  end
  features.counts[hash] = (known or 0) + 1
end

-- Each run begins at a character and is hashed as it grows.
local function count_runs(features, word)
  local chars = {}
  for char in ("<" .. word .. ">"):gmatch(utf8.charpattern) do chars[#chars + 1] = char end
  for first = 1, #chars - SHORTEST + 1 do
    local hash = add_bytes(OFFSET, "r")
    for last = first, math.min(first + LONGEST - 1, #chars) do
      hash = add_bytes(hash, chars[last])
      if last - first + 1 >= SHORTEST then count(features, hash, RUN) end
    end
  end
end

local function features_of(text, pause)
  local features, before = { counts = {}, weights = {}, order = {} }, nil
  for _, word in ipairs(tokens.words(text)) do
    pause()
    local says_little = stopwords.is_any(word)
    count(features, add_bytes(OFFSET, "w" .. word), says_little and STOP or WORD)
    if before and not says_little then count(features, add_bytes(OFFSET, "p" .. before .. " " .. word), PAIR) end
    if not says_little then count_runs(features, word) end
    before = not says_little and word or nil
  end
  return features
end

local function no_pause() end

--- The vector of a text: of unit length, or zeros where the text has no words.
---@param text string
---@param dimensions integer 2 or more
---@param pause fun()?  called for each word, so that a module can let others run
---@return number[]
function M.vector(text, dimensions, pause)
  local features, vector, sum = features_of(text, pause or no_pause), {}, 0
  for place = 1, dimensions do vector[place] = 0.0 end
  for _, hash in ipairs(features.order) do
    local bits = mixed(hash)
    local place, value = (bits >> 1) % dimensions + 1, features.weights[hash] * (1 + math.log(features.counts[hash]))
    vector[place] = vector[place] + (bits & 1 == 0 and value or -value)
  end
  for place = 1, dimensions do sum = sum + vector[place] * vector[place] end
  if sum == 0 then return vector end
  local length = math.sqrt(sum)
  for place = 1, dimensions do vector[place] = vector[place] / length end
  return vector
end

return M

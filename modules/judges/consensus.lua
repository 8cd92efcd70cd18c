--- Picks the text that resembles the others most: what several ways have in common is less likely to be chance.
--- Likeness is the cosine of TF-IDF vectors; the winner is the medoid, as in the selection of translations by
--- Kumar and Byrne, "Minimum Bayes-Risk Decoding for Statistical Machine Translation", 2004.

local weir = require "weir"
local similarity = require "weir.text.similarity"
local tokens = require "weir.text.tokens"

local M = {
  kind = "judge", name = "consensus", api = 1,
  doc = "Picks the text that resembles the others most",
  options = {
    field = { type = "string", default = "text" },                        -- of an output, what is compared
    at_least = { type = "number", minimum = 0, maximum = 1, default = 0 }, -- mean likeness below which a branch may not win
  },
}

local function text_of(output, field)
  if type(output) == "table" then output = output[field] end
  return type(output) == "string" and output or ""
end

local function product(a, b)
  local weights, sum = {}, 0
  for index, id in ipairs(a.ids) do weights[id] = a.weights[index] end
  for index, id in ipairs(b.ids) do sum = sum + (weights[id] or 0) * b.weights[index] end
  return sum
end

local function likeness(a, b)
  if a.length == 0 or b.length == 0 then return 0 end
  return math.min(1, product(a, b) / (a.length * b.length))
end

local function mean_likeness(vectors, index)
  local sum, count = 0, 0
  for other = 1, #vectors do
    if other ~= index then sum, count = sum + likeness(vectors[index], vectors[other]), count + 1 end
  end
  return count > 0 and sum / count or 1
end

--- Judges texts by how much they are alike. Does not wait.
---@param ctx weir.Context
---@param branches weir.Branch[]
---@return weir.Verdict[] score: mean likeness to the others, 0..1
function M.judge(ctx, branches)
  local texts, verdicts = {}, weir.list {}
  for index, branch in ipairs(branches) do texts[index] = tokens.terms(text_of(branch.output, ctx.options.field)) end
  local vectors = similarity.vectors(texts)
  for index in ipairs(branches) do
    local score = mean_likeness(vectors, index)
    local is_enough = score >= ctx.options.at_least and #texts[index] > 0
    verdicts[index] = { verdict = is_enough and "approve" or "retry", score = score,
      advice = not is_enough and "say what the others say too" or nil }
  end
  return verdicts
end

return M

--- Picks the branch whose text covers most of what its source is about, and says more of it per word on a tie.
--- Without a source the key terms are those of all branches together.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"

local M = {
  kind = "judge", name = "coverage", api = 1,
  doc = "Picks the text that covers most of its source's key terms",
  options = {
    field = { type = "string", default = "text" },                        -- of an output, what is judged as text
    source = { type = "string", default = "text" },                       -- of the step's input, what it is about
    key_terms = { type = "integer", minimum = 1, default = 24 },          -- how many terms of the source count
    at_least = { type = "number", minimum = 0, maximum = 1, default = 0 }, -- share below which a branch may not win
    brevity = { type = "number", minimum = 0, maximum = 0.5, default = 0.05 }, -- share of the score that few words earn
  },
}

local function pause() end -- where a long computation can be interrupted

local function text_of(output, field)
  if type(output) == "string" then return output end
  local text = type(output) == "table" and output[field] or nil
  return type(text) == "string" and text or nil
end

local function source_of(input, field)
  if type(input) == "string" then return input end
  return type(input) == "table" and type(input[field]) == "string" and input[field] or nil
end

local function keys_of(ctx, texts)
  local source = source_of(ctx.input, ctx.options.source) or table.concat(texts, "\n\n")
  local name = type(ctx.input) == "table" and ctx.input.source or nil
  return terms.key(source, { limit = ctx.options.key_terms, markdown = markdown.is_markdown(name), pause = pause })
end

local function missing_of(text, keys)
  local there, missing = {}, weir.list {}
  for _, term in ipairs(tokens.terms(text)) do there[term] = true end
  for _, key in ipairs(keys) do
    if not there[key.word] then missing[#missing + 1] = key.word end
  end
  return missing
end

local function judge_one(text, keys, least, fewest, options)
  if not text then return { verdict = "retry", score = 0, advice = ("give '%s' as text"):format(options.field) } end
  local missing = missing_of(text, keys)
  local share = #keys > 0 and 1 - #missing / #keys or 1
  local words = math.max(1, tokens.count(text))
  local score = share * (1 - options.brevity) + (share > 0 and options.brevity * fewest / words or 0)
  local evidence = { coverage = share, words = words, missing = missing }
  if share >= least then return { verdict = "approve", score = score, evidence = evidence } end
  local advice = "cover at least %d %% of the source's key terms, missing are %s"
  return { verdict = "retry", score = score, evidence = evidence,
    advice = advice:format(math.ceil(least * 100), table.concat(missing, ", ")) }
end

--- Judges the texts of branches. Does not wait.
---@param ctx weir.Context input: the step's, with the text that all of them are about
---@param branches weir.Branch[] whose output is a text, or a table with one in the option `field`
---@return weir.Verdict[] evidence: coverage (0..1), words, and the key terms that are missing
function M.judge(ctx, branches)
  local options, texts, fewest = ctx.options, {}, math.huge
  for index, branch in ipairs(branches) do
    local text = text_of(branch.output, options.field)
    texts[index] = text or ""
    if text then fewest = math.min(fewest, math.max(1, tokens.count(text))) end
  end
  local keys, verdicts = keys_of(ctx, texts), weir.list {}
  for index, branch in ipairs(branches) do
    verdicts[index] = judge_one(text_of(branch.output, options.field), keys, options.at_least, fewest, options)
  end
  return verdicts
end

return M

--- Judges a draft by rules: length, words it must mention, coverage of the source's key terms, a JSON
--- Schema, a pattern. Every rule that is not kept is named, with what to change.

local weir = require "weir"
local markdown = require "weir.text.markdown"
local terms = require "weir.text.terms"
local tokens = require "weir.text.tokens"
local unicode = require "weir.text.unicode"

local M = {
  kind = "critic", name = "rubric", api = 1,
  doc = "Judges a draft by rules: length, mentions, coverage, schema, pattern",
  options = {
    field = { type = "string", default = "text" },                        -- of the draft, what is judged as text
    min_words = { type = "integer", minimum = 0, optional = true },
    max_words = { type = "integer", minimum = 0, optional = true },
    mention = { type = "array", items = { type = "string" }, default = weir.list({}) }, -- in any case
    coverage = { type = "number", minimum = 0, maximum = 1, optional = true }, -- share of the source's key terms
    key_terms = { type = "integer", minimum = 1, default = 12 },          -- how many terms of the source count
    schema = { type = { "object", "boolean" }, optional = true },         -- JSON Schema of the whole draft
    pattern = { type = "string", optional = true },                       -- a Lua pattern that the text must match
  },
}

-- Each rule gives a score of 0 to 1, what to change if it is below 1, and what it found.

local function min_words(text, options)
  local words = tokens.count(text)
  if words >= options.min_words then return 1, nil, words end
  return words / options.min_words,
    ("write at least %d words, this has %d: add %d"):format(options.min_words, words, options.min_words - words), words
end

local function max_words(text, options)
  local words = tokens.count(text)
  if words <= options.max_words then return 1, nil, words end
  return options.max_words / words,
    ("write at most %d words, this has %d: cut %d"):format(options.max_words, words, words - options.max_words), words
end

local function quoted(list)
  local parts = {}
  for index, value in ipairs(list) do parts[index] = "'" .. value .. "'" end
  return table.concat(parts, ", ")
end

local function mention(text, options)
  local lower, missing = unicode.lower(text), {}
  for _, phrase in ipairs(options.mention) do
    if not lower:find(unicode.lower(phrase), 1, true) then missing[#missing + 1] = phrase end
  end
  if #missing == 0 then return 1, nil, weir.list({}) end
  return 1 - #missing / #options.mention, "mention " .. quoted(missing), weir.list(missing)
end

-- What the step was given: its input's text, or that of its chunks or items.
local function source_text(input)
  if type(input) ~= "table" then return type(input) == "string" and input or nil end
  if type(input.text) == "string" then return input.text, input.source end
  local texts = {}
  for _, part in ipairs(input.chunks or input.items or {}) do
    if type(part) == "table" and type(part.text) == "string" then texts[#texts + 1] = part.text end
  end
  return #texts > 0 and table.concat(texts, "\n\n") or nil
end

-- The library runs to its next wait; a call back into a module is where a long computation can be interrupted.
local function pause() end

local function coverage(text, options, input)
  local source, name = source_text(input)
  if not source then return 0, "coverage needs input.text to compare with; give the step its source as input.text" end
  local keys = terms.key(source,
    { limit = options.key_terms, markdown = markdown.is_markdown(name), pause = pause })
  if #keys == 0 then return 1, nil, weir.list({}) end
  local there, missing = {}, {}
  for _, term in ipairs(tokens.terms(text)) do there[term] = true end
  for _, key in ipairs(keys) do
    if not there[key.word] then missing[#missing + 1] = key.word end
  end
  local share = (#keys - #missing) / #keys
  if share >= options.coverage then return 1, nil, weir.list(missing) end
  local wanted = math.ceil(options.coverage * #keys) - (#keys - #missing)
  return share / options.coverage, ("cover more of the source, %d more of %s"):format(wanted, quoted(missing)),
    weir.list(missing)
end

local function schema(_, options, _, draft)
  local validate, problem = require("weir.schema").compile(options.schema)
  if not validate then return 0, "correct the option 'schema' of the rubric: " .. tostring(problem) end
  local ok, errors = validate(draft)
  if ok then return 1, nil, weir.list({}) end
  local messages = {}
  for index, entry in ipairs(errors) do messages[index] = entry.message end
  return 0, "make it fit the schema: " .. table.concat(messages, "; "), weir.list(messages)
end

local function pattern(text, options)
  local ok, found = pcall(string.find, text, options.pattern)
  if not ok then return 0, ("correct the option 'pattern' of the rubric: %s"):format(found) end
  if found then return 1 end
  return 0, ("write it so that it matches the pattern '%s'"):format(options.pattern)
end

local RULES = {
  { "min_words", min_words }, { "max_words", max_words }, { "mention", mention }, { "coverage", coverage },
  { "schema", schema }, { "pattern", pattern },
}

local function is_set(value)
  return value ~= nil and not (type(value) == "table" and next(value) == nil)
end

local function text_of(draft, field)
  if type(draft) == "string" then return draft end
  local text = type(draft) == "table" and draft[field] or nil
  return type(text) == "string" and text or nil
end

local function needs_text(options)
  return options.min_words or options.max_words or options.coverage or options.pattern or #options.mention > 0
end

local function without_text(field)
  return { verdict = "retry", score = 0, advice = ("give '%s' as text; the draft has none there"):format(field) }
end

--- Judges a draft. The score is the mean over the rules that are set; any rule not kept means `retry`.
--- Does not wait.
---@param ctx weir.Context  input: for coverage, what the step was given, its text or that of its chunks
---@param draft any  a text, or a table with one in the option `field`
---@return weir.Verdict  advice: everything to change, one sentence a rule; evidence: what each rule found
function M.review(ctx, draft)
  local options = ctx.options
  local text = text_of(draft, options.field)
  if not text and needs_text(options) then return without_text(options.field) end
  local total, rules, advice, evidence = 0, 0, {}, {}
  for _, rule in ipairs(RULES) do
    local name, judge = rule[1], rule[2]
    if is_set(options[name]) then
      local score, change, found = judge(text, options, ctx.input, draft)
      total, rules, evidence[name] = total + score, rules + 1, found
      advice[#advice + 1] = change
    end
  end
  local score = rules > 0 and total / rules or 1
  if #advice == 0 then return { verdict = "approve", score = score, evidence = evidence } end
  return { verdict = "retry", score = score, advice = table.concat(advice, "; "), evidence = evidence }
end

return M

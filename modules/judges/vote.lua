--- Picks the answer that most branches gave. Answers are compared as plain data, texts without case and spacing.
--- Source: the majority vote of Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
--- ICLR 2023.

local weir = require "weir"
local unicode = require "weir.text.unicode"

local M = {
  kind = "judge", name = "vote", api = 1,
  doc = "Picks the answer that most branches gave",
  options = {
    field = { type = "string", optional = true },                            -- of an output, what is compared; default: all of it
    share = { type = "number", exclusiveMinimum = 0, maximum = 1, default = 0.5 }, -- of the branches that has to agree
    otherwise = { enum = { "retry", "escalate" }, default = "retry" },       -- the verdict if so many do not agree
  },
}

local function answer_of(output, field)
  local value = output
  if field and type(output) == "table" then value = output[field] end
  if value == nil then return nil end
  if type(value) ~= "string" then return require("weir.json").encode(value, { canonical = true }) end
  return (unicode.lower(value):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
end

local function count(branches, field)
  local votes, answers = {}, {}
  for index, branch in ipairs(branches) do
    local answer = answer_of(branch.output, field)
    answers[index] = answer or false
    if answer then votes[answer] = (votes[answer] or 0) + 1 end
  end
  return votes, answers
end

--- Judges branches by how many agree. Does not wait.
---@param ctx weir.Context
---@param branches weir.Branch[]
---@return weir.Verdict[] score: the share of the branches that gave the same answer
function M.judge(ctx, branches)
  local options = ctx.options
  local votes, answers = count(branches, options.field)
  local verdicts = weir.list {}
  for index, answer in ipairs(answers) do
    local agree = answer and votes[answer] or 0
    local share = agree / #branches
    local evidence = { votes = agree, of = #branches }
    if share >= options.share then
      verdicts[index] = { verdict = "approve", score = share, evidence = evidence }
    else
      verdicts[index] = { verdict = options.otherwise, score = share, evidence = evidence,
        advice = ("%d of %d gave this answer, %d %% have to agree"):format(agree, #branches, math.ceil(options.share * 100)) }
    end
  end
  return verdicts
end

return M

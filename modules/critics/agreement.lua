--- Accepts a draft once `agree` drafts of the step gave the same answer.
--- Source: the majority vote of Wang et al., "Self-Consistency Improves Chain of Thought
--- Reasoning in Language Models", ICLR 2023; stopping early is ours.

local M = {
  kind = "critic", name = "agreement", api = 1, atomic = true,
  doc = "Accepts a draft once several drafts gave the same answer",
  options = { agree = { type = "integer", minimum = 1, default = 3 } }, -- equal answers needed; the host checks it
}

--- Counts one draft and judges it. Runs atomically.
---@param ctx weir.Context           memory: drafts seen in this step, by answer
---@param draft { answer: string }   the final answer, trimmed
---@return weir.Verdict
function M.review(ctx, draft)
  local seen = (ctx.memory[draft.answer] or 0) + 1
  ctx.memory[draft.answer] = seen
  if seen >= ctx.options.agree then return { verdict = "approve", score = 1 } end
  return {
    verdict = "retry",
    score = seen / ctx.options.agree,
    advice = ("%d of %d drafts gave this answer; derive it afresh"):format(seen, ctx.options.agree),
  }
end

return M

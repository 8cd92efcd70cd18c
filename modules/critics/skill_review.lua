--- Judges a skill by what its trial found: every test has to pass, there have to be enough of them, one of them should show what
--- becomes of bad input. A skill without tests is for a person to look at. The same trial gets the same verdict.

local M = {
  kind = "critic", name = "skill_review", api = 1, atomic = true,
  doc = "Judges a skill by its trial: all tests pass, and there are enough of them",
  options = {
    tests = { type = "integer", minimum = 0, default = 2 },         -- so many are enough
    source_lines = { type = "integer", minimum = 1, default = 2000 }, -- a longer one nobody would read
  },
}

local function failures(cases)
  local list = {}
  for _, case in ipairs(cases) do
    if not case.ok then list[#list + 1] = ("'%s' %s"):format(case.name, case.why) end
  end
  return list
end

local function has_bad_input(manifest)
  for _, test in ipairs(manifest.tests or {}) do
    if test.error then return true end
  end
  return false
end

local function lines(source) return select(2, source:gsub("\n", "")) + 1 end

--- Judges a trial. Does not wait.
---@param ctx weir.Context
---@param draft { manifest: table, source: string, cases: table[], passed: integer }
---@return weir.Verdict
function M.review(ctx, draft)
  local total, failed = #draft.cases, failures(draft.cases)
  if #failed > 0 then
    return { verdict = "abort", score = draft.passed / total,
      advice = ("%d of %d tests do not pass: %s"):format(#failed, total, table.concat(failed, "; ")) }
  end
  if lines(draft.source) > ctx.options.source_lines then
    return { verdict = "abort", score = 0, advice = ("its source has %d lines; %d are the most"):format(lines(draft.source),
      ctx.options.source_lines) }
  end
  if total < ctx.options.tests then
    return { verdict = "escalate", score = 0.5,
      advice = ("it has %d tests, and %d are wanted; a person has to look at its source"):format(total, ctx.options.tests) }
  end
  local score = has_bad_input(draft.manifest) and 1 or 0.8
  return { verdict = "approve", score = score, advice = score < 1 and "no test shows what becomes of bad input" or nil }
end

return M

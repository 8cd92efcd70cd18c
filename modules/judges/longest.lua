--- Picks the branch that has most to say: most words of a text, most items of a list.

local weir = require "weir"
local tokens = require "weir.text.tokens"

local M = {
  kind = "judge", name = "longest", api = 1,
  doc = "Picks the longest text or list",
  options = {
    field = { type = "string", default = "text" },                  -- of an output, what is measured
    at_least = { type = "integer", minimum = 0, default = 1 },      -- words or items below which a branch may not win
  },
}

local function size_of(output, field)
  local value = output
  if type(value) == "table" and not weir.is_list(value) then value = value[field] end
  if type(value) == "string" then return tokens.count(value) end
  return weir.is_list(value) and #value or nil
end

--- Judges branches by their size. Does not wait.
---@param ctx weir.Context
---@param branches weir.Branch[]
---@return weir.Verdict[] evidence: size, words or items
function M.judge(ctx, branches)
  local sizes, most, verdicts = {}, 1, weir.list {}
  for index, branch in ipairs(branches) do
    sizes[index] = size_of(branch.output, ctx.options.field) or false
    most = math.max(most, sizes[index] or 0)
  end
  for index, size in ipairs(sizes) do
    local is_enough = size and size >= ctx.options.at_least
    verdicts[index] = { verdict = is_enough and "approve" or "retry", score = (size or 0) / most, evidence = { size = size or 0 },
      advice = not is_enough and ("give at least %d words or items"):format(ctx.options.at_least) or nil }
  end
  return verdicts
end

return M

--- Decides about a new version that is on trial: after `calls` calls it is promoted, unless at one of few looks before it has failed
--- significantly more often than the old one by a one-sided Fisher exact test; then it is rolled back.

local compare = require "weir.healing.compare"

local M = {
  kind = "policy", name = "canary", api = 1, serves = "canary",
  options = {
    minimum = { type = "integer", minimum = 1, default = 10 },    -- calls of the new version before the first look
    calls = { type = "integer", minimum = 1, default = 100 },     -- and after which it is promoted
    baseline = { type = "number", minimum = 0, maximum = 1, default = 0.05 }, -- rate of failures that is right, without old calls
    alpha = { type = "number", minimum = 0, maximum = 1, default = 0.05 }, -- how often a version that is no worse may be rolled back
  },
}

function M.setup(options) return options end

--- Decides. Pure.
---@param view { old: { ok: integer, failed: integer }, new: { ok: integer, failed: integer }, looked: integer, percent: number,
---   seconds: number }
---@param options table
---@return { remedy: "promote"|"rollback"|nil, looked: integer, reason: string|nil }
function M.remedy(view, options)
  local remedy, looked, p = compare.judge(options, view.old, view.new, view.looked)
  local reason = p and ("%d of %d calls failed, of the old version %d of %d; p = %.2g"):format(view.new.failed,
    view.new.ok + view.new.failed, view.old.failed, view.old.ok + view.old.failed, p)
  return { remedy = remedy, looked = looked, reason = reason }
end

return M

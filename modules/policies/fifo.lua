--- First in, first out: whoever has waited longest is next.

local M = {
  kind = "policy", name = "fifo", api = 1, serves = "queue",
  doc = "Whoever has waited longest is next",
}

local function is_before(a, b)
  if a.queued_at ~= b.queued_at then return a.queued_at < b.queued_at end
  return a.id < b.id
end

--- Picks the next of those that wait. Pure; does not wait.
---@param candidates { id: string, queued_at: number }[]  queued_at: seconds
---@return integer? index  into candidates, nil if there are none; of two queued at one time the lower id
function M.pick(candidates)
  local best
  for index, candidate in ipairs(candidates) do
    if not best or is_before(candidate, candidates[best]) then best = index end
  end
  return best
end

--- Lets a newcomer into the queue while there is room. Pure; does not wait.
---@param view { queued: integer, limit: integer }
---@return boolean admitted
---@return string? message  when refused
---@return string? code     full
function M.admit(view)
  if view.queued < view.limit then return true end
  return false, ("queue is full: %d of %d wait"):format(view.queued, view.limit), "full"
end

return M

--- The highest priority first; among equals whoever has waited longest. Waiting raises a priority, so
--- that nobody starves (aging, as in operating systems' schedulers).

local M = {
  kind = "policy", name = "priority", api = 1, serves = "queue",
  doc = "The highest priority first, raised by waiting",
  options = {
    age = { type = "number", minimum = 0, default = 60 }, -- seconds of waiting worth one more priority; 0: none
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { age: number }
---@return table state
function M.setup(options)
  return { age = options.age }
end

local function rank(candidate, now, age)
  local priority = candidate.priority or 0
  if age > 0 and now then priority = priority + math.max(0, now - candidate.queued_at) / age end
  return priority
end

local function is_before(a, b)
  if a.queued_at ~= b.queued_at then return a.queued_at < b.queued_at end
  return a.id < b.id
end

--- Picks the next of those that wait. Pure; does not wait.
---@param candidates { id: string, priority: number?, queued_at: number }[]  a higher number goes first;
---  queued_at: seconds
---@param metrics { now: number? }?  now: seconds, on the clock of queued_at; without it nobody ages
---@param state { age: number }?  what `setup` returned
---@return integer? index  into candidates, nil if there are none
function M.pick(candidates, metrics, state)
  local now, age = metrics and metrics.now, state and state.age or 0
  local best, highest
  for index, candidate in ipairs(candidates) do
    local value = rank(candidate, now, age)
    if not best or value > highest or value == highest and is_before(candidate, candidates[best]) then
      best, highest = index, value
    end
  end
  return best
end

--- Lets a newcomer into the queue while there is room; the last tenth of it is kept for priorities above 0.
--- Pure; does not wait.
---@param view { queued: integer, limit: integer, candidate: { priority: number? }? }
---@return boolean admitted
---@return string? message  when refused
---@return string? code     full
function M.admit(view)
  local priority = view.candidate and view.candidate.priority or 0
  local limit = priority > 0 and view.limit or view.limit - view.limit // 10
  if view.queued < limit then return true end
  return false, ("queue is full for priority %g: %d of %d wait"):format(priority, view.queued, limit), "full"
end

return M

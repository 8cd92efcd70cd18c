--- Each key its share: a tenant with ten thousand runs does not hold up one with a single run.
--- Source: deficit round robin, Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit Round
--- Robin", SIGCOMM 1995. Packets are runs, queues are keys, the size of a packet is a run's cost.

local M = {
  kind = "policy", name = "fair", api = 1, serves = "queue",
  doc = "Deficit round robin over keys",
  options = {
    quantum = { type = "number", exclusiveMinimum = 0, default = 1 }, -- cost a key may spend when its turn comes
    -- By key: how many quanta it gets.
    weights = { type = "object", default = {}, additionalProperties = { type = "number", exclusiveMinimum = 0 } },
  },
}

--- Makes the memory of the rounds: whose turn it is and what each key has left. Keys come and go with
--- the candidates, so it never outgrows them.
---@param options { quantum: number, weights: table<string, number> }
---@param old table?  the memory of the version before, which goes on
---@return table state
function M.setup(options, old)
  return {
    quantum = options.quantum, weights = options.weights,
    order = old and old.order or {}, deficit = old and old.deficit or {}, turn = old and old.turn or 1,
    fresh = old == nil or old.fresh,
  }
end

local function is_before(a, b)
  if a.queued_at ~= b.queued_at then return a.queued_at < b.queued_at end
  return a.id < b.id
end

-- Per key the candidate that has waited longest; keys in order of first appearance.
local function heads_of(candidates)
  local heads, keys = {}, {}
  for index, candidate in ipairs(candidates) do
    local key = candidate.key or ""
    local head = heads[key]
    if not head then keys[#keys + 1] = key end
    if not head or is_before(candidate, candidates[head]) then heads[key] = index end
  end
  return heads, keys
end

-- Keys without candidates leave the round and lose what they had left; new ones come last.
local function update_round(state, heads, keys)
  local order, deficit, turn = {}, {}, nil
  for index, key in ipairs(state.order) do
    if heads[key] then
      order[#order + 1], deficit[key] = key, state.deficit[key]
    end
    if index == state.turn then
      turn = heads[key] and #order or #order + 1
      if not heads[key] then state.fresh = true end
    end
  end
  for _, key in ipairs(keys) do
    if not deficit[key] then order[#order + 1], deficit[key] = key, 0 end
  end
  state.order, state.deficit, state.turn = order, deficit, turn and turn <= #order and turn or 1
end

local function cost_of(candidate)
  return candidate.cost and candidate.cost > 0 and candidate.cost or 1
end

-- Skips whole rounds in which nobody could afford anything, so that a large cost takes no loop.
local function skip_rounds(state, heads, candidates)
  local rounds = math.huge
  for _, key in ipairs(state.order) do
    local lack = cost_of(candidates[heads[key]]) - state.deficit[key]
    rounds = math.min(rounds, math.ceil(lack / (state.quantum * (state.weights[key] or 1))))
  end
  if rounds <= 1 then return end
  for _, key in ipairs(state.order) do
    state.deficit[key] = state.deficit[key] + (rounds - 1) * state.quantum * (state.weights[key] or 1)
  end
end

local function serve(state, heads, candidates)
  local key = state.order[state.turn]
  if state.fresh then state.deficit[key] = state.deficit[key] + state.quantum * (state.weights[key] or 1) end
  local index = heads[key]
  local cost = cost_of(candidates[index])
  if state.deficit[key] >= cost then
    state.deficit[key], state.fresh = state.deficit[key] - cost, false
    return index
  end
  state.turn, state.fresh = state.turn % #state.order + 1, true
end

--- Picks the next of those that wait. Quick: time grows with the candidates; does not wait.
---@param candidates { id: string, key: string?, cost: number?, queued_at: number }[]  cost: 1 if it says nothing
---@param _ table?  metrics, not used
---@param state table  what `setup` returned; changed
---@return integer? index  into candidates, nil if there are none
function M.pick(candidates, _, state)
  local heads, keys = heads_of(candidates)
  update_round(state, heads, keys)
  if #state.order == 0 then return nil end
  for visit = 1, 2 * #state.order + 2 do
    local index = serve(state, heads, candidates)
    if index then return index end
    if visit == #state.order then skip_rounds(state, heads, candidates) end
  end
  return heads[state.order[1]]
end

--- Lets a newcomer into the queue while there is room; once half of it is taken, only keys that hold less
--- than their share of it. Pure; does not wait.
---@param view { queued: integer, limit: integer, keys: integer?, queued_of_key: integer?, candidate: table? }
---  keys: how many different keys wait; queued_of_key: how many of the newcomer's wait
---@return boolean admitted
---@return string? message  when refused
---@return string? code     full
function M.admit(view)
  if view.queued >= view.limit then
    return false, ("queue is full: %d of %d wait"):format(view.queued, view.limit), "full"
  end
  local own, share = view.queued_of_key or 0, view.limit / math.max(1, view.keys or 1)
  if view.queued < view.limit / 2 or own < share then return true end
  return false, ("key '%s' has its share of the queue: %d of %d wait"):format(
    view.candidate and view.candidate.key or "", own, view.limit), "full"
end

return M

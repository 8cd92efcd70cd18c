--- The model that answers soonest, as the latest calls have it; a failure costs the time of trying again.
--- One that is hardly known is tried first, and one that was slow is tried again now and then, or it could never get better.

local M = {
  kind = "policy", name = "fastest", api = 1, serves = "models",
  doc = "The model that answers soonest",
  options = {
    by = { type = "string", enum = { "total", "first_token" }, default = "total" }, -- until the whole answer, or its first word
    minimum = { type = "integer", minimum = 0, default = 3 },   -- calls before a model is known
    margin = { type = "number", minimum = 0, default = 0.2 },   -- the one chosen last stays unless another is quicker by this share
    explore = { type = "number", minimum = 0, maximum = 1, default = 0.02 }, -- share of calls that go to another one
  },
}

--- Keeps the options, which `pick` is not given.
---@param options { by: string, minimum: integer, margin: number, explore: number }
---@return table state
function M.setup(options)
  return { by = options.by, minimum = options.minimum, margin = options.margin, explore = options.explore }
end

local function seconds_of(metrics, state)
  if metrics.calls < state.minimum then return 0 end
  local recent = metrics.recent
  local seconds = state.by == "first_token" and metrics.first_token_p50 or recent.seconds or metrics.total_p50
  return (seconds or math.huge) / math.max(0.05, recent.success or 1)
end

--- Orders the models by their expected time. Pure but for the draw; does not wait.
---@param candidates weir.ModelCandidate[]
---@param metrics { of: table<string, weir.ModelMetrics>, draw: fun(): number, last: table? }
---@param _ table request, not used
---@param state table what `setup` returned
---@return string[] names
---@return string reason
function M.pick(candidates, metrics, _, state)
  local names, seconds = {}, {}
  for index, candidate in ipairs(candidates) do
    names[index], seconds[candidate.name] = candidate.name, seconds_of(metrics.of[candidate.name], state)
  end
  local last = metrics.last and metrics.last.name
  if seconds[last] then seconds[last] = seconds[last] / (1 + state.margin) end
  local place = {}
  for index, name in ipairs(names) do place[name] = index end
  table.sort(names, function(a, b)
    if seconds[a] ~= seconds[b] then return seconds[a] < seconds[b] end
    return place[a] < place[b]
  end)
  if #names > 1 and metrics.draw() < state.explore then
    local index = 2 + math.floor(metrics.draw() * (#names - 1))
    table.insert(names, 1, table.remove(names, index))
    return names, ("'%s' is tried again, to see how fast it is now"):format(names[1])
  end
  if seconds[names[1]] == 0 then return names, ("'%s' is hardly known yet"):format(names[1]) end
  return names, ("'%s' is the fastest, about %.2f s"):format(names[1], seconds[names[1]] * (names[1] == last and 1 + state.margin or 1))
end

return M

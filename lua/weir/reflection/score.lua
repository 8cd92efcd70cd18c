--- How good versions are, and whether one is better than another: means of scores over inputs. Pure; never yields.

local json = require "weir.native.json"

local M = {}

local SMALL = 1e-12

local function mean(scores, inputs)
  local sum = 0
  for _, one in ipairs(inputs) do
    local score = scores[one.hash]
    if not score or not score.value then return nil end
    sum = sum + score.value
  end
  return #inputs > 0 and sum / #inputs or nil
end

--- Two versions side by side on some inputs.
---@param inputs weir.reflection.Input[]
---@param before table<string, { value: number?, error: table? }> by the hash of the input
---@param after table<string, { value: number?, error: table? }>|nil nil: not measured
---@return weir.reflection.Scores
function M.compare(inputs, before, after)
  local list = json.list {}
  for index, one in ipairs(inputs) do
    local old, new = before[one.hash] or {}, after and after[one.hash] or {}
    list[index] = { input = one.hash, before = old.value, after = new.value, error = new.error and new.error.message or nil }
  end
  return { before = mean(before, inputs), after = after and mean(after, inputs), inputs = list }
end

--- By which share the second is better than the first; negative when it is worse.
---@param scores weir.reflection.Scores
---@param better "higher"|"lower"
---@return number|nil nil: one of them is not known
function M.gain(scores, better)
  if not scores.before or not scores.after then return nil end
  local change = scores.after - scores.before
  if better == "lower" then change = -change end
  return change / math.max(math.abs(scores.before), SMALL)
end

--- Whether the second is better by more than a margin.
---@param scores weir.reflection.Scores
---@param better "higher"|"lower"
---@param margin number share
---@return boolean
---@return string why
function M.is_better(scores, better, margin)
  local gain = M.gain(scores, better)
  if not gain then return false, "it could not be measured on every input" end
  local what = ("%.6g before, %.6g after (%+.2f %%)"):format(scores.before, scores.after, gain * 100)
  if gain > margin then return true, what end
  return false, ("%s, and more than %+.2f %% is asked for"):format(what, margin * 100)
end

return M

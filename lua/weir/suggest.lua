--- "Did you mean": the known name nearest to a mistyped one. Distance is optimal string alignment
--- (insert, delete, replace, swap of neighbours, each 1): Damerau, "A technique for computer
--- detection and correction of spelling errors", CACM 1964. Pure; never yields.

local M = {}

local LONGEST = 64 -- bytes compared; a longer word is no typing slip

local function next_row(word, other, i, before, above)
  local row = { [0] = i }
  local byte, byte_before = word:byte(i), word:byte(i - 1)
  for j = 1, #other do
    local cost = byte == other:byte(j) and 0 or 1
    local best = math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost)
    if before and j > 1 and byte == other:byte(j - 1) and byte_before == other:byte(j) then
      best = math.min(best, before[j - 2] + 1)
    end
    row[j] = best
  end
  return row
end

--- Edit distance of two words, in bytes.
---@param word string
---@param other string
---@return integer
function M.distance(word, other)
  local before, above = nil, {}
  for j = 0, #other do above[j] = j end
  for i = 1, #word do
    before, above = above, next_row(word, other, i, before, above)
  end
  return above[#other]
end

--- The candidate nearest to `word`, if it is near enough to be meant: at most a third of the letters
--- (at least one) differ, or one is the start of the other. Ties go to the alphabetically first.
---@param word string
---@param candidates string[]  in any order
---@return string|nil
function M.nearest(word, candidates)
  if type(word) ~= "string" or #word == 0 or #word > LONGEST then return nil end
  local best, best_distance
  for _, candidate in ipairs(candidates) do
    if #candidate <= LONGEST and candidate ~= word then
      local distance = M.distance(word:lower(), candidate:lower())
      local shared = math.min(#word, #candidate)
      local is_start = shared >= 3 and candidate:sub(1, shared) == word:sub(1, shared)
      if is_start then distance = math.min(distance, 1.5) end
      local longest = math.max(#word, #candidate)
      local limit = longest < 3 and 0 or math.max(1, longest // 3)
      local is_near = distance <= limit or is_start
      if is_near and (not best or distance < best_distance or distance == best_distance and candidate < best) then
        best, best_distance = candidate, distance
      end
    end
  end
  return best
end

--- `; did you mean 'write'?`, to end a message with; empty if nothing is near.
---@param word any
---@param candidates string[]
---@return string
function M.hint(word, candidates)
  local meant = type(word) == "string" and M.nearest(word, candidates)
  return meant and ("; did you mean '%s'?"):format(meant) or ""
end

return M

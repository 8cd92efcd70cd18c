--- Embeddings as providers answer with them, checked: as many as there were texts, all of numbers, all of one length.
--- Pure; never yields.

local json = require "weir.native.json"

local M = {}

local function is_vector(value, length)
  if type(value) ~= "table" or value == json.null or #value == 0 or length and #value ~= length then return false end
  for index = 1, #value do
    if type(value[index]) ~= "number" then return false end
  end
  return true
end

--- Checks vectors.
---@param list any
---@param count integer how many texts were given
---@return number[][]|nil vectors
---@return string|nil message
function M.check(list, count)
  if type(list) ~= "table" or list == json.null then return nil, "an answer without embeddings" end
  if #list ~= count then return nil, ("%d embeddings for %d texts"):format(#list, count) end
  for index = 1, count do
    if not is_vector(list[index], #list[1]) then return nil, ("embedding %d is no list of numbers as long as the first"):format(index) end
  end
  return json.list(list)
end

return M

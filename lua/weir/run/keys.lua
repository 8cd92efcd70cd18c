--- The keys of a journal taken apart: `step`, `group/step`, `group#2/step` for a second visit, `map[3]/step` for an
--- item. Pure.

local M = {}

--- The parts of a key.
---@param key string
---@return string[]
function M.segments(key)
  local segments = {}
  for segment in key:gmatch "[^/]+" do segments[#segments + 1] = segment end
  return segments
end

--- What a part says: a name, which visit of it, which item.
---@param segment string
---@return { name: string, visit: integer, index: integer|nil } visit from 1, index from 0
function M.segment(segment)
  local name, index = segment:match "^(.-)%[(%d+)%]$"
  local base, visit = (name or segment):match "^(.-)#(%d+)$"
  return { name = base or name or segment, visit = math.tointeger(visit) or 1, index = math.tointeger(index) }
end

--- A part without its item.
---@param segment string
---@return string
function M.without_index(segment)
  return (segment:gsub("%[%d+%]$", ""))
end

--- The name of the step that a key stands for.
---@param key string
---@return string
function M.name(key)
  return M.segment(key:match "[^/]+$" or key).name
end

--- What a key begins with: the group or step of the run itself, in which visit, without its item.
---@param key string
---@return string
function M.root(key)
  return M.without_index(key:match "^[^/]+" or key)
end

--- Whether a key stands below another: in its body, among its items.
---@param key string
---@param above string
---@return boolean
function M.is_below(key, above)
  local next_byte = key:sub(#above + 1, #above + 1)
  return key:sub(1, #above) == above and (next_byte == "/" or next_byte == "[")
end

--- What the keys of a plan's steps begin with, when an entry of a journal chose a plan.
---@param entry table
---@return string|nil prefix such as `report/plan/`, `report/plan#2/`
---@return string|nil key of the step that plans
function M.plan_prefix(entry)
  if entry[1] ~= "choice" then return nil end
  local step, tag = entry[2]:match "^(.+)/%(plan%)([#~%d.]*)$"
  return step and ("%s/plan%s/"):format(step, tag:match "#%d+$" or ""), step
end

return M

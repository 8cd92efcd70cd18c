--- How far an event is behind the first of those that started one another: a pipeline that publishes what starts it would
--- go on for ever. The number stands in the event, as an attribute of its own.

local M = {}

M.NAME, M.MAX = "weirhops", 64

--- How many hops an event has behind it. Pure.
---@param event weir.Event|nil
---@return integer
function M.of(event)
  return event and math.tointeger(tonumber(event[M.NAME])) or 0
end

--- The attribute of events that are published by what an event started; nil when no event did. Pure.
---@param event weir.Event|nil
---@return string|nil
function M.next(event)
  return event and tostring(M.of(event) + 1) or nil
end

return M

--- Supervision of what stands side by side, as in Erlang's supervisors (Armstrong, "Making reliable distributed systems in the
--- presence of software errors", 2003, and the OTP design principles): who is started again when one fails, and how many restarts
--- in how long a time are too many, so that the failure goes up. Pure.

local M = {}

--- one_for_one: who failed; rest_for_one: who failed and all that were started after it; one_for_all: everybody.
M.strategies = { "one_for_one", "rest_for_one", "one_for_all" }

--- Who is started again.
---@param strategy string one of `strategies`
---@param children string[] names, in the order in which they are started
---@param failed string the name of the one that failed
---@return string[] names in the same order
function M.restarted(strategy, children, failed)
  if strategy == "one_for_all" then return table.move(children, 1, #children, 1, {}) end
  for position, name in ipairs(children) do
    if name == failed then
      if strategy == "one_for_one" then return { name } end
      return table.move(children, position, #children, 1, {})
    end
  end
  return {}
end

--- Whether one more restart is too many: then the supervisor gives up, and whoever is above it decides.
---@param restarts number[] when there were restarts, in seconds, the oldest first
---@param now number
---@param intensity integer restarts that may be
---@param period number in so many seconds
---@return boolean
function M.is_too_many(restarts, now, intensity, period)
  local count = 0
  for index = #restarts, 1, -1 do
    if restarts[index] <= now - period then break end
    count = count + 1
  end
  return count >= intensity
end

return M

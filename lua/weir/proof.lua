--- What was under way and had to be stopped, because a step was cancelled or ran out of time: so that its
--- record can say so. Whoever ends something unfinished notes it here (ports, waits); whoever runs steps takes
--- the notes. They hang on the context of the running task; nothing here knows what a step is. Never waits.

local native = require "weir.native.scheduler"

local M = {}

local NAMES = 16 -- that one step tells apart; what comes after is counted without its name

---@class weir.Stopped
---@field what string        "process", "request", "sleep", or the kind of a durable wait
---@field name string|nil    the program, or the host that was asked
---@field count integer
---@field unseen integer|nil how many of them nobody has seen end

local function entry_of(list, what, name)
  for _, entry in ipairs(list) do
    if entry.what == what and entry.name == name then return entry end
  end
  if name and #list >= NAMES then return entry_of(list, what) end
  local entry = { what = what, name = name, count = 0 }
  list[#list + 1] = entry
  return entry
end

--- Notes that something was stopped before its end. Outside of all contexts nothing happens.
---@param what string
---@param name string|nil
---@param is_unseen boolean|nil it was told to end, and has not been seen to
function M.stopped(what, name, is_unseen)
  local context = native.context()
  if type(context) ~= "table" then return end
  local list = rawget(context, "stopped") or {}
  context.stopped = list
  local entry = entry_of(list, what, name)
  entry.count = entry.count + 1
  if is_unseen then entry.unseen = (entry.unseen or 0) + 1 end
end

--- Takes what was noted on a context; it is told once.
---@param context table
---@return weir.Stopped[]|nil
function M.take(context)
  local list = rawget(context, "stopped")
  if list then context.stopped = nil end
  return list
end

return M

--- Calls code of the user that has to be quick: a file that is loaded, a `setup`. It gets so long and no longer, in
--- a task of its own, and whoever else runs here goes on meanwhile.

local failure = require "weir.failure"
local scheduler = require "weir.native.scheduler"
local task = require "weir.task"

local M = {}

M.seconds = 1 -- that a file may load, and a setup may take

local LOOKS = 10    -- in that time at whether it is over
local PATIENCE = 10 -- times as long, for what has not computed so much by then

-- Where in the user's code an error was raised that does not say so itself, as one that comes from outside.
local function place_of(err)
  for level = 3, 40 do
    local info = debug.getinfo(level, "Sl")
    if not info then return end
    if info.source:sub(1, 1) == "@" then
      err.file, err.line = info.source:sub(2), info.currentline
      return
    end
  end
end

local function explain(err)
  local found = failure.explain(err)
  if found.code ~= "failed" then place_of(found) end
  return found
end

local function timed_out(err, where)
  if err.code ~= "timeout" and err.code ~= "cancelled" then return err end
  local place = where.file and where.line and ("%s:%d: "):format(where.file, where.line) or ""
  local found = failure.new("timeout", "%sit takes longer than %g s; loading and setting up are to be quick", place, M.seconds)
  found.file, found.line = where.file, where.line
  return found
end

-- Under a virtual clock no time passes while code runs, and what may not wait cannot be told to stop either.
local function is_unlimited()
  return scheduler.is_virtual() or not scheduler.can_wait()
end

-- What counts is the time that it has computed itself: others may keep it from that. One that waits is given more.
local function watch(scope, work)
  local from = scheduler.now()
  while select(3, work:join(M.seconds / LOOKS)) == "timeout" do
    local is_over = work:info().cpu >= M.seconds or scheduler.now() - from >= M.seconds * PATIENCE
    if is_over then return scope:cancel("it takes too long", "timeout") end
  end
end

--- Calls a function, for at most `seconds` of computing. Waits, where that is possible. A cancellation of the caller does not reach it.
---@param body fun(...): any
---@return boolean ok
---@return any ... its results, or the error {code, message, file?, line?}: `timeout` when it took too long
function M.call(body, ...)
  if is_unlimited() then return xpcall(body, explain, ...) end
  local results
  local arguments = table.pack(...)
  local within, err = task.within({ shield = true }, function(scope)
    local work = scheduler.start({ name = "load" }, function()
      results = table.pack(xpcall(body, explain, table.unpack(arguments, 1, arguments.n)))
      if not results[1] then scheduler.recover() end
    end)
    watch(scope, work)
  end)
  if results and (within or not results[1]) then
    if results[1] then return table.unpack(results, 1, results.n) end
    return false, timed_out(results[2], results[2])
  end
  return false, timed_out(failure.of(err), {})
end

return M

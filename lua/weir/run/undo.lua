--- Undoing: when a run fails or is cancelled, what its finished steps say in `undo` is done, the latest
--- first. Each undoing is a step of its own in the journal (`undo/KEY`), so it is done once whatever happens
--- in between. One that fails does not keep the others from being done; the run's error tells of it.

local agent = require "weir.run.kinds.agent"
local clock = require "weir.port.clock"
local keys = require "weir.run.keys"
local native = require "weir.native.scheduler"
local retry = require "weir.run.retry"
local step_runner = require "weir.run.step"
local task = require "weir.task"

local M = {}

local ONE_ATTEMPT = retry.policy()

local function step_of(undo)
  return { name = "undo", kind = agent, agent = undo.agent, module = "agents/" .. undo.agent, options = undo.options,
    input = function() return undo.input end, retry = ONE_ATTEMPT, is_simple = true }
end

local function undo_one(run, key, undo)
  local frame = { run = run, prefix = key .. "/", data = {} }
  native.set_context(frame)
  local status, err = step_runner.run(frame, step_of(undo), key)
  if status == "failed" then return ("; undoing failed in '%s': %s"):format(key, err.message) end
  return ""
end

local function undo_all(scope, run)
  run.scope, run.is_undoing = scope, true
  if run.interrupted then scope:cancel "the run is stopped" end
  local seen, troubles = {}, {}
  for position = #run.undos, 1, -1 do
    local done = run.undos[position]
    local count = (seen[done.key] or 0) + 1
    seen[done.key] = count
    local key = "undo/" .. done.key .. (count > 1 and ("#%d"):format(count) or "")
    troubles[#troubles + 1] = undo_one(run, key, done.undo)
  end
  return table.concat(troubles)
end

local function is_of(key, above)
  for _, one in ipairs(above) do
    if key == one or keys.is_below(key, one) then return true end
  end
  return false
end

--- Undoes what steps that do not count any more did, the latest first: what was undone before is not undone again. What
--- fails of it is told to whoever listens. Waits.
---@param run weir.Run
---@param above string[] keys of the steps; what is inside of them goes with them
function M.of(run, above)
  if not run.undos then return end
  local left, undone = {}, {}
  for _, done in ipairs(run.undos) do
    local list = is_of(done.key, above) and undone or left
    list[#list + 1] = done
  end
  if #undone == 0 then return end
  local outer = native.context()
  for position = #undone, 1, -1 do
    local done = undone[position]
    local trouble = undo_one(run, "undo/" .. done.key, done.undo)
    if trouble ~= "" then run:notify { kind = "log", step = done.key, level = "warn", text = trouble:sub(3) } end
  end
  native.set_context(outer)
  run.undos = #left > 0 and left or nil
end

--- Undoes what the run did. Waits, also in a cancelled task. What is stopped meanwhile goes on in another life.
---@param run weir.Run
---@param status "failed"|"cancelled"
---@param err { code: string, message: string, step: string? }
---@return boolean done  false: it was stopped
function M.all(run, status, err)
  if not run.undos then return true end
  local done = true
  task.within({ shield = true }, function()
    local journal = run.journal
    if journal and not journal.ending then
      journal:append { "ending", status, { code = err.code, message = err.message, step = err.step }, clock.wall_ms() }
    end
    local ok, troubles = task.within({}, undo_all, run)
    run.scope = nil
    done = ok
    if ok and troubles ~= "" then err.message = err.message .. troubles end
  end)
  return done
end

return M

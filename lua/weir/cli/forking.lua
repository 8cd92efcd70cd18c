--- What `weir retry` and `weir fork` share: values that are set, what is told before, the run itself.

local fork_view = require "weir.view.fork"
local input_of = require "weir.cli.input"
local progress = require "weir.cli.progress"
local run_command = require "weir.cli.run"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {}

local SHOWN = 12 -- lines of each list

-- Setting values -------------------------------------------------------------------------------------

-- What a text stands for: as the input's schema says; where a text stood, a text; else JSON if it is that.
local function value_of(made, path, given)
  local inside = path:match "^input%.(.+)$"
  if inside then return input_of.value(given, input_of.schema_at(made.plan.input_schema, inside)) end
  local old = made:value(path)
  return input_of.value(given, type(old) == "string" and { type = "string" } or nil)
end

--- Sets values in what a new run will begin with. Raises `invalid`, `not_found`.
---@param made weir.Fork
---@param settings string[] `a.b=V` each
---@param prefix string|nil stands before each path
function M.set(made, settings, prefix)
  for _, setting in ipairs(settings or {}) do
    local path, given = input_of.sides(setting, "a.b=V expected, such as --set draft.text=shorter")
    path = (prefix or "") .. path
    made:set(path, value_of(made, path, given))
  end
end

-- What is told ---------------------------------------------------------------------------------------

local function by_key(store, made) return fork_view.done_by(store, made.history.id) end

M.shape = fork_view.shape

-- Items of a map are one line.
local function gathered(list, by)
  local lines, seen = {}, {}
  for _, one in ipairs(list) do
    local label = one.key:gsub("%[%d+%]", "[*]")
    local name = label .. " " .. one.status
    local line = seen[name]
    if not line then
      line = { label = label, key = one.key, status = one.status, by = by[one.key], count = 0, is_edited = one.is_edited }
      seen[name], lines[#lines + 1] = line, line
    end
    line.count = line.count + 1
  end
  return lines
end

local function say_list(context, title, list, by)
  local err = context.err
  err:line(err:paint("bold", title))
  local lines = gathered(list, by)
  for index = 1, math.min(#lines, SHOWN) do
    local line = lines[index]
    local facts = { line.by ~= line.label and line.by or nil }
    if line.count > 1 then facts[#facts + 1] = text.count(line.count, "item") end
    if line.status ~= "finished" then facts[#facts + 1] = line.status end
    if line.is_edited then facts[#facts + 1] = "changed" end
    local what = text.safe(line.count > 1 and line.label or line.key)
    if #facts > 0 then what = what .. "  " .. err:paint("dim", table.concat(facts, "  ")) end
    err:line(("  %s %s"):format(progress.sign(context.console, line.status), what))
  end
  if #lines > SHOWN then err:line(err:paint("dim", ("  and %d more; --dry-run --json lists all"):format(#lines - SHOWN))) end
end

--- Says what will be done again, which may have effects, then what is kept.
---@param context weir.cli.Context
---@param store userdata
---@param made weir.Fork
function M.say(context, store, made)
  local by, err, kept = by_key(store, made), context.err, made:kept_list()
  if made.undone then
    err:line(err:paint("yellow", ("step '%s' was undone when the run ended: it and what followed it is done again"):format(made.undone)))
  end
  if #made.repeated > 0 then
    say_list(context, "done again, with all effects:", made.repeated, by)
  else
    err:line "nothing that was done before is done again"
  end
  if #kept > 0 then
    say_list(context, "kept:", kept, by)
  else
    err:line "nothing is kept"
  end
end

-- The run --------------------------------------------------------------------------------------------

--- Says or prints what would be done, and does nothing.
---@return integer status
function M.dry_run(context, arguments, store, made)
  if arguments.json then
    context.out:line(shape.line(M.shape(store, made)))
  else
    M.say(context, store, made)
    context.err:line "nothing was run"
  end
  return status.finished
end

local function end_status(run)
  if run.error and rawget(run.error, "mismatch") then return status.of_error(run.error) end
  return status.of_run(run.status)
end

--- Executes a run that was made, in the foreground, until it ends or only waits. Waits.
---@param context weir.cli.Context
---@param arguments { json: boolean?, quiet: boolean?, store: string? }
---@param engine weir.Engine
---@param id string
---@return integer status
function M.go_on(context, arguments, engine, id)
  local display
  local run = engine:reopen(id, { listener = function(event) display:notify(event) end })
  display = progress.new(context.console, { quiet = arguments.quiet })
  local interrupted, goes_on = run_command.execute(context, display, run)
  if not goes_on then run_command.report(context, run, arguments) end
  if interrupted then return status.interrupted end
  if run.reflection then require("weir.cli.reflecting").after(context, arguments, run) end
  return end_status(run)
end

--- Makes the new run and executes it in the foreground, until it ends or only waits. Waits.
---@param context weir.cli.Context
---@param arguments { json: boolean?, quiet: boolean?, store: string? }
---@param engine weir.Engine
---@param made weir.Fork
---@return integer status
function M.execute(context, arguments, engine, made)
  if not arguments.quiet then M.say(context, engine.store, made) end
  local id = made:make()
  if not arguments.quiet then
    context.err:line(("%s %s as %s"):format(made.kind == "fork" and "forking" or "retrying", made.history.id, id))
  end
  return M.go_on(context, arguments, engine, id)
end

return M

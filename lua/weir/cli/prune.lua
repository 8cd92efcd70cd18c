--- weir prune: removes runs whose time is over, and what nothing refers to any more.

local duration = require "weir.duration"
local interrupt = require "weir.cli.interrupt"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local upkeep = require "weir.upkeep"
local value_of = require "weir.value"

local M = {
  name = "prune",
  summary = "Removes runs that have ended and whose time is over; then what nothing refers to any more.",
  examples = { "prune --older 30d --dry-run", "prune --older 30d --keep 10", "prune --pipeline digest --older 7d --json" },
  notes = "How long a run is kept says `retention` of its pipeline, else --older, else `retention` in weir.lua; where none of\n"
    .. "them says, it stays. What has not ended stays, too. Ctrl-C stops between two batches; the next prune goes on.\n"
    .. "Exit status: 0 done, 75 some runs are damaged and were left, 130 interrupted.",
}

local function whole_number(value)
  local number = math.tointeger(tonumber(value))
  if number and number >= 0 then return number end
  return nil, ("--keep: a whole number expected, got '%s'"):format(value)
end

local function older(value)
  local seconds, message = duration.parse(tonumber(value) or value)
  return seconds, message and "--older: " .. message
end

function M.declare(parser)
  parser:option("--older", "how long runs are kept, such as 30d"):argname("D"):convert(older)
  parser:option("--keep", "so many of the newest ended runs of each pipeline stay"):argname("N"):convert(whole_number)
  parser:option("--pipeline", "only runs of this pipeline"):argname "NAME"
  parser:flag("--dry-run", "only say how many runs would go")
  session.declare_store(parser)
end

local function say_runs(context, done, verb)
  local out = context.out
  out:line(("%s %s (%s in %s of their journals)"):format(verb, text.count(done.runs, "run"), text.bytes(done.bytes),
    text.count(done.entries, "entry", "entries")))
  for _, pipeline in ipairs(value_of.names(done.by_pipeline)) do
    out:line(("  %s  %s"):format(text.safe(pipeline), text.count(done.by_pipeline[pipeline], "run")))
  end
end

local function say(context, done, is_dry)
  say_runs(context, done, is_dry and "would remove" or "removed")
  if not is_dry then
    context.out:line(("removed %s, %s, %s, %s (%s)"):format(text.count(done.documents, "document"),
      text.count(done.definitions, "definition"), text.count(done.modules, "module version"), text.count(done.blobs, "blob"),
      text.bytes(done.blob_bytes)))
  end
end

-- What was left is no result: a message for each.
local function warn(context, done)
  local err = context.err
  for _, found in ipairs(done.damaged) do
    err:line(err:paint("red", ("run %s: "):format(found.run)) .. text.safe(found.message))
  end
  for _, why in ipairs(done.left) do err:line(err:paint("yellow", "left: ") .. text.safe(why)) end
  if done.stopped then err:line "stopped; `weir prune` goes on" end
end

local function as_json(done, is_dry)
  local left = json.list {}
  for index, why in ipairs(done.left) do left[index] = why end
  local damaged = json.list {}
  for index, found in ipairs(done.damaged) do damaged[index] = found end
  return { dry_run = is_dry == true, runs = done.runs, entries = done.entries, bytes = done.bytes, by_pipeline = done.by_pipeline,
    documents = done.documents, definitions = done.definitions, modules = done.modules, blobs = done.blobs,
    blob_bytes = done.blob_bytes, damaged = damaged, left = left, stopped = done.stopped }
end

local function status_of(done)
  if done.stopped then return status.interrupted end
  return #done.damaged > 0 and status.store or status.finished
end

function M.run(arguments, context)
  local here = session.project()
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    local watch = interrupt.watch(context.err, function() end)
    local ok, done = pcall(upkeep.prune, session.engine(here, store), { older = arguments.older, keep = arguments.keep,
      pipeline = arguments.pipeline, dry_run = arguments.dry_run, is_stopping = function() return watch.came end })
    watch:close()
    if not ok then error(done, 0) end
    if arguments.json then
      context.out:line(shape.line(as_json(done, arguments.dry_run)))
    else
      say(context, done, arguments.dry_run)
      warn(context, done)
    end
    return status_of(done)
  end)
end

return M

--- Removes runs that have ended and whose time is over, as a whole: row and journal, what people decided in them, signals
--- and timers, their documents. After them what nothing refers to any more. A run goes in one transaction, but for a part
--- of its documents that goes before; so a prune that is cut short leaves no half of a run, and the next one goes on.

local checkpoint = require "weir.port.store"
local clock = require "weir.port.clock"
local duration = require "weir.duration"
local failure = require "weir.failure"
local items = require "weir.run.map.items"
local native = require "weir.native.scheduler"
local pages = require "weir.pages"
local pins = require "weir.upkeep.pins"
local question = require "weir.approval.question"
local removal = require "weir.workspace.removal"
local starts = require "weir.run.starts"
local tidy = require "weir.upkeep.tidy"
local waits = require "weir.event.waits"

local M = {}

local HAS_ENDED = require("weir.run.keeping").HAS_ENDED
local TOGETHER = 100 -- operations after which runs are removed in one batch
local PAUSE = 0.002  -- seconds between batches, in which others are served
local YOUNG = 3600   -- seconds for which a blob is spared

-- Which runs ------------------------------------------------------------------------------------------

-- The definition that a run pinned says how long its runs are kept: seconds, or nil.
local function retention_of(prune, version)
  local known = prune.retention[version]
  if known == nil then
    local kept, _, code = prune.store:get("definitions", version)
    local given = kept and kept.kind == "pipeline" and kept.normal.retention
    known = given and duration.parse(given) or code == "corrupt" and math.huge -- who knows what it said
    prune.retention[version] = known
  end
  return known or nil
end

-- A run that another one waits for is found again by that one.
local function is_awaited(prune, row)
  if type(row.parent) ~= "string" then return false end
  local parent = prune.store:row(row.parent)
  return parent ~= nil and not HAS_ENDED[parent.status]
end

local function is_over(prune, row)
  local seconds = retention_of(prune, row.version) or prune.older
  return seconds ~= nil and (row.ended_ms or row.started_ms) + seconds * 1000 <= prune.now_ms
end

local function is_wanted(prune, found)
  local row, pipeline = found.row, found.row.pipeline
  if not HAS_ENDED[row.status] or prune.pipeline and pipeline ~= prune.pipeline then return false end
  prune.seen[pipeline] = (prune.seen[pipeline] or 0) + 1
  if prune.seen[pipeline] <= prune.keep or prune.live[found.id] then return false end
  return is_over(prune, row) and not is_awaited(prune, row)
end

local function note_damage(prune, run_id, message)
  local list = prune.result.damaged
  list[#list + 1] = { run = run_id, message = message }
end

-- The newest first, since of each pipeline the newest are kept; given the oldest first, since those go first.
local function select_runs(prune)
  local ids = {}
  for found in pages.runs(prune.store, { reverse = true }) do
    if found.damaged then
      note_damage(prune, found.id, ("run '%s': its row is damaged"):format(found.id))
    elseif type(found.row.pipeline) == "string" and is_wanted(prune, found) then
      ids[#ids + 1] = found.id
      prune.pipeline_of[found.id] = found.row.pipeline
      prune.key_of[found.id] = found.row.key
    end
  end
  local first, last = 1, #ids
  while first < last do
    ids[first], ids[last] = ids[last], ids[first]
    first, last = first + 1, last - 1
  end
  return ids
end

-- What belongs to them --------------------------------------------------------------------------------

local function belongs(prune, run_id, space, key)
  if not prune.pipeline_of[run_id] then return end
  local list = prune.belongings[run_id] or {}
  list[#list + 1] = { op = "delete", space = space, key = key }
  prune.belongings[run_id] = list
end

-- The key stands for this run, unless it came from another store.
local function has_started(prune, run_id, key)
  local kept = type(key) == "string" and prune.store:get(starts.SPACE, key)
  return kept and kept.run == run_id
end

-- A question names its run only inside; a timer behind the moment.
local function gather(prune)
  for _, space in ipairs { question.pending, question.decided } do
    for found in pages.keys(prune.store, space) do
      local asked = not found.damaged and question.read(found.value.action)
      if asked then belongs(prune, asked.run, space, found.key) end
    end
  end
  for found in pages.keys(prune.store, "timers") do
    local run_id = found.key:match "/(.+)$"
    if run_id then belongs(prune, run_id, "timers", found.key) end
  end
  for found in pages.keys(prune.store, waits.WAITS) do
    local run_id = found.key:match "^[^/]*/([^/]+)/"
    if run_id then belongs(prune, run_id, waits.WAITS, found.key) end
  end
end

-- Damage of any part is raised.
local function measure(store, run_id)
  local entries, bytes = 0, 0
  for entry in pages.entries(store, run_id) do
    entries, bytes = entries + 1, bytes + #checkpoint.encode(entry)
  end
  return { run = run_id, entries = entries, bytes = bytes }
end

-- Removing ----------------------------------------------------------------------------------------------

local function pause(prune)
  clock.sleep(prune.pause)
end

local function must(result, message, code)
  if not result then failure.raise(code or "failed", "%s", message) end
  return result
end

local function write(prune, operations)
  must(prune.store:batch(operations))
  pause(prune)
end

-- What belongs to a run, and at last the run: so many operations as one batch takes are left for that.
local function last_operations(prune, run_id)
  local operations = removal.run(prune.store, run_id, function(list) write(prune, list) end)
  local function add(operation)
    if #operations >= TOGETHER then
      write(prune, operations)
      operations = {}
    end
    operations[#operations + 1] = operation
  end
  for _, space in ipairs { "signals", items.SPACE, waits.FOUND, waits.TAKEN } do
    for found in pages.keys(prune.store, space, run_id .. "/") do add { op = "delete", space = space, key = found.key } end
  end
  for _, operation in ipairs(prune.belongings[run_id] or {}) do add(operation) end
  local key = prune.key_of[run_id]
  if has_started(prune, run_id, key) then add { op = "delete", space = starts.SPACE, key = key } end
  add { op = "forget", run = run_id }
  return operations
end

local function count(prune, size)
  local result = prune.result
  result.runs, result.entries, result.bytes = result.runs + 1, result.entries + size.entries, result.bytes + size.bytes
  local pipeline = prune.pipeline_of[size.run]
  result.by_pipeline[pipeline] = (result.by_pipeline[pipeline] or 0) + 1
  if prune.on_run then prune.on_run(size.run, size) end
end

-- Runs gather until there is enough for a batch. If it is refused each is tried alone: that one is left.
local function flush(prune)
  local group = prune.group
  prune.group, prune.gathered = {}, 0
  if #group == 0 then return end
  local all = {}
  for _, part in ipairs(group) do table.move(part.operations, 1, #part.operations, #all + 1, all) end
  if prune.store:batch(all) then
    for _, part in ipairs(group) do count(prune, part.size) end
    return pause(prune)
  end
  for _, part in ipairs(group) do
    local done, message, code = prune.store:batch(part.operations)
    if done then count(prune, part.size)
    elseif code == "corrupt" then note_damage(prune, part.size.run, message)
    elseif code == "conflict" or code == "not_found" then table.insert(prune.result.left, message)
    else must(done, message, code) end
    pause(prune)
  end
end

local function remove(prune, run_id)
  local ok, part = pcall(function()
    local size = measure(prune.store, run_id)
    return { size = size, operations = prune.dry_run and {} or last_operations(prune, run_id) }
  end)
  if not ok then
    native.recover()
    if failure.of(part).code ~= "corrupt" then error(part, 0) end
    return note_damage(prune, run_id, failure.of(part).message)
  end
  if prune.dry_run then return count(prune, part.size) end
  prune.group[#prune.group + 1], prune.gathered = part, prune.gathered + #part.operations
  if prune.gathered >= TOGETHER then flush(prune) end
end

local function remove_runs(prune)
  local ids = select_runs(prune)
  if #ids == 0 then return end
  if not prune.dry_run then gather(prune) end
  for _, run_id in ipairs(ids) do
    if prune.is_stopping() then break end
    remove(prune, run_id)
    native.yield()
  end
  flush(prune)
end

-- What nothing refers to --------------------------------------------------------------------------------

-- Whatever is in the way of one part is told, and the others are done.
local function part_of(prune, what, body)
  if prune.is_stopping() then return end
  local ok, err = pcall(body)
  if ok then return end
  native.recover()
  local why = failure.of(err)
  if why.code ~= "corrupt" and why.code ~= "conflict" then error(err, 0) end
  table.insert(prune.result.left, ("%s: %s"):format(what, why.message))
end

local function remove_rest(prune)
  local result = prune.result
  part_of(prune, "documents", function() result.documents = tidy.documents(prune) end)
  part_of(prune, "remembered outputs and answers", function() tidy.remembered(prune) end)
  part_of(prune, "history", function() tidy.history(prune) end)
  part_of(prune, "definitions and modules", function()
    local removed = pins.sweep(prune.store, function() pause(prune) end)
    result.definitions, result.modules = removed.definitions, removed.modules
  end)
  part_of(prune, "blobs", function() result.blobs, result.blob_bytes = tidy.blobs(prune) end)
end

-- The option, then what the settings say.
local function older_of(engine, options)
  local given, where = options.older, "older"
  if given == nil then given, where = engine.project.settings.retention, engine.project.root .. "/weir.lua: retention" end
  if given == nil then return nil end
  local seconds, message = duration.parse(given)
  if not seconds then failure.raise("invalid", "%s: %s", where, message) end
  return seconds
end

--- Removes runs; see `weir.upkeep`, `prune`.
---@param engine weir.Engine
---@param options table
---@return weir.Pruned
function M.prune(engine, options)
  local prune = { engine = engine, store = engine.store, live = engine.live, older = older_of(engine, options), keep = options.keep or 0,
    pipeline = options.pipeline, dry_run = options.dry_run, pause = options.pause or PAUSE, young = options.young or YOUNG,
    on_run = options.on_run, is_stopping = options.is_stopping or function() return false end, now_ms = clock.wall_ms(),
    retention = {}, seen = {}, pipeline_of = {}, key_of = {}, belongings = {}, group = {}, gathered = 0,
    result = { runs = 0, entries = 0, bytes = 0, by_pipeline = {}, definitions = 0, modules = 0, documents = 0, blobs = 0,
      blob_bytes = 0, damaged = {}, left = {} } }
  remove_runs(prune)
  if not prune.dry_run and not (options.is_lazy and prune.result.runs == 0) then remove_rest(prune) end
  prune.result.stopped = prune.is_stopping()
  return prune.result
end

return M

--- Reloads what depends on files that have changed: in order, once, all or nothing. Everything is loaded aside and
--- checked, states are handed over, then all is swapped at once; if anything fails, every old version goes on serving,
--- and the report says what is wrong where. A file that was saved half is told so and loaded again when it changes next.

local active = require "weir.registry.active"
local excerpt = require "weir.registry.excerpt"
local failure = require "weir.failure"
local gate = require "weir.gate"
local names = require "weir.registry.names"
local native = require "weir.native.scheduler"
local publish = require "weir.registry.publish"
local registry_type = require "weir.registry"

local M = {}

---@class weir.ReloadReport
---@field reloaded { name: string, from: string|nil, to: string, file: string|nil }[] name: full, such as "agents/writer"
---@field failed { name: string, code: string, message: string, file: string|nil, line: integer|nil, excerpt: string|nil }[]
---@field removed { name: string, version: string, file: string|nil }[] the file has gone; the version goes on serving
---@field unchanged string[]
---@field seconds number
---@field at_ms integer

--- A report in which nothing has happened yet.
---@return weir.ReloadReport
function M.new_report()
  return { reloaded = {}, failed = {}, removed = {}, unchanged = {}, at_ms = native.wall_ms() }
end

local function failed(full, err)
  return { name = full, code = err.code, message = err.message, file = err.file, line = err.line,
    excerpt = excerpt.of_file(err.file, err.line) }
end

M.failed = failed

-- For whoever measures: how often each name was reloaded, and how often that failed.
local function count(registry, full, result)
  local own = registry.counts[full] or { reloaded = 0, failed = 0 }
  own[result], registry.counts[full] = own[result] + 1, own
end

--- Tells those who observe. What they do wrong does not break a reload.
---@param registry weir.Registry
---@param report weir.ReloadReport
function M.tell(registry, report)
  for _, one in ipairs(report.reloaded) do count(registry, one.name, "reloaded") end
  for _, one in ipairs(report.failed) do count(registry, one.name, "failed") end
  for observer in pairs(registry.observers) do
    local ok = pcall(observer, report)
    if not ok then native.recover() end
  end
end

-- What serves has no file any more.
local function note_removed(registry, report, full, current)
  registry.failed[full] = nil
  if current then
    current.is_removed = true
    report.removed[#report.removed + 1] = { name = full, version = current.version, file = current.file }
  end
end

local function is_chosen(registry, full, version)
  local record = active.of(registry, full)
  return record ~= nil and record.instead_of == version
end

-- A module that is broken need not be told once more for each pipeline that names it.
local function is_told(report, err)
  for _, one in ipairs(report.failed) do
    if one.file == err.file and one.line == err.line and err.message:find(one.message, 1, true) then return true end
  end
  return false
end

local function load_one(registry, report, full, overlay, is_forced)
  local current = names.current(registry, full)
  registry.failed[full] = nil -- noted again if it still cannot be loaded; without a file it is forgotten
  local loaded, err = names.load(registry, full, overlay)
  if not loaded and err.code == "not_found" and not registry.failed[full] then return note_removed(registry, report, full, current) end
  if not loaded then
    if not is_told(report, err) then report.failed[#report.failed + 1] = failed(full, err) end
    return nil
  end
  if current then current.is_removed = nil end
  if current and (current.version == loaded.version or not is_forced and is_chosen(registry, full, loaded.version)) then
    report.unchanged[#report.unchanged + 1] = full
    return nil
  end
  return loaded
end

-- Names that were to change together and did not stay together: when one of them is loaded again, all are.
local function with_companions(registry, fulls)
  local set = {}
  for _, full in ipairs(fulls) do set[full] = true end
  local groups = {}
  for _, group in ipairs(registry.unsettled or {}) do
    local is_met = false
    for full in pairs(group) do is_met = is_met or set[full] end
    if is_met then
      for full in pairs(group) do set[full] = true end
    else
      groups[#groups + 1] = group
    end
  end
  registry.unsettled = groups
  return names.in_order(set)
end

local function note_unsettled(registry, report, changes)
  if #report.failed == 0 then return end
  local group = {}
  for _, change in ipairs(changes) do group[change.full] = true end
  for _, one in ipairs(report.failed) do group[one.name] = true end
  table.insert(registry.unsettled, group)
end

local function load_all(registry, fulls, report, is_forced)
  local changes, overlay = {}, {}
  for _, full in ipairs(fulls) do
    local loaded = load_one(registry, report, full, overlay, is_forced)
    if loaded then
      changes[#changes + 1] = { full = full, new = loaded }
      if loaded.module then overlay[full] = loaded end
    end
  end
  return changes
end

-- Setting up went wrong: it is tried again when one of the files changes of which the new version was made.
local function note_failures(registry, report, changes, failures)
  local needs = {}
  for _, change in ipairs(changes) do needs[change.full] = change.new.module and registry_type.needs(change.new) end
  for _, one in ipairs(failures) do
    report.failed[#report.failed + 1] = failed(one.full, one.err)
    registry.failed[one.full] = { err = one.err, needs = needs[one.full] or {} }
  end
end

-- All aside, then all at once.
local function reload_all(registry, fulls, about, report)
  local changes = load_all(registry, with_companions(registry, fulls), report, about.is_forced)
  if #report.failed == 0 and #changes > 0 then
    local failures = publish.all(registry, changes, about)
    note_failures(registry, report, changes, failures or {})
  end
  if #report.failed > 0 then return note_unsettled(registry, report, changes) end
  for _, change in ipairs(changes) do
    report.reloaded[#report.reloaded + 1] = { name = change.full, from = change.old and change.old.version, to = change.new.version,
      file = change.new.file }
  end
end

-- A pipeline may have been saved before the module that it was changed for.
local function retry_pipelines(registry, about, report)
  local waiting = {}
  for full in pairs(registry.failed) do
    if names.pipeline(full) then waiting[#waiting + 1] = full end
  end
  table.sort(waiting)
  for _, full in ipairs(waiting) do
    local again = M.new_report()
    reload_all(registry, { full }, about, again)
    table.move(again.reloaded, 1, #again.reloaded, #report.reloaded + 1, report.reloaded)
  end
end

--- Reloads names, as `changed` does with what depends on files. Inside of `publish.exclusively`. Waits.
---@param registry weir.Registry
---@param fulls string[] in order
---@param about { by: string?, via: string?, action: string?, is_forced: boolean? } is_forced: also what was chosen instead of a
---   file gives way to it
---@return weir.ReloadReport
function M.names(registry, fulls, about)
  local report, from = M.new_report(), native.now()
  local ok, err = pcall(function()
    reload_all(registry, fulls, about, report)
    if #report.reloaded > 0 then retry_pipelines(registry, about, report) end
  end)
  if not ok then -- it could not be kept
    local found = failure.of(err)
    report.reloaded = {}
    for _, full in ipairs(fulls) do report.failed[#report.failed + 1] = failed(full, found) end
  end
  report.seconds = native.now() - from
  return report
end

-- Paths below a root.
local function relative_paths(registry, paths)
  local changed = {}
  for path in pairs(paths) do
    changed[path] = path:sub(1, 1) ~= "/" or nil
    for _, root in ipairs(registry.roots) do
      if path:sub(1, #root + 1) == root .. "/" then changed[path:sub(#root + 2)] = true end
    end
  end
  return changed
end

local function reload_round(registry, round)
  registry.next_round = nil -- what changes from now on is for the next one
  local fulls = names.affected(registry, relative_paths(registry, round.paths))
  local report = M.names(registry, fulls, round.about)
  if #fulls > 0 then M.tell(registry, report) end
  return report
end

-- A round is nobody's: it goes on for those who wait with somebody who is cancelled.
local function run_round(registry, round)
  local ok, result = pcall(publish.exclusively, registry, reload_round, registry, round)
  if registry.next_round == round then registry.next_round = nil end
  if ok then round.report = result else round.err = result end
  round.done:open()
end

--- Reloads what depends on changed files: modules and pipelines whose file, or a file that they require, is among them;
--- also files that are new, and what could not be loaded before and needs one of them. Waits until all of it serves, or none.
--- While one reload is under way, all that changes meanwhile is reloaded together after it. Who observes the registry is
--- told. What is wrong with files is in the report, never raised.
---@param registry weir.Registry
---@param paths string[] absolute, or relative to a root
---@param about { by: string?, via: string?, action: string? }|nil action: what the audit is to say; nil: nothing
---@return weir.ReloadReport
function M.changed(registry, paths, about)
  registry.changes = registry.changes + 1
  local round = registry.next_round
  if not round then -- what comes while a round waits for its turn joins it
    round = { paths = {}, done = gate.new(), about = about or {} }
    registry.next_round = round
    native.spawn_root(run_round, registry, round)
  end
  for _, path in ipairs(paths) do round.paths[path] = true end
  round.done:wait "a reload"
  if round.err then error(round.err, 0) end
  return round.report
end

--- Reloads whatever has changed of all that was loaded, for those who were not told what has. Waits.
---@param registry weir.Registry
---@param about table|nil as of `changed`
---@return weir.ReloadReport
function M.all(registry, about)
  local paths = {}
  for _, full in ipairs(names.known(registry)) do paths[#paths + 1] = names.files(full)[1] end
  return M.changed(registry, paths, about)
end

return M

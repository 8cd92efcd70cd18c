--- New runs that begin with what an earlier one did: a retry, and a fork in which values are changed. The journal of
--- the new run begins with the outcomes that are kept, as if a process had made them and died; then it goes on like
--- any run that is reopened. The earlier run is only read.
---
--- What is kept answers whatever is asked under its key, because values it was made from may have been changed. Only
--- under another version of the definition (`latest`) what was asked is compared, and all that no question tells
--- apart (bodies, maps, skipped steps, who was first) is worked out anew. Of a kept outcome the new run neither does
--- nor undoes anything, and it spends nothing of its budget.

local beginning = require "weir.run.beginning"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local history = require "weir.run.history"
local id = require "weir.id"
local binding = require "weir.run.binding"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local keys = require "weir.run.keys"
local store_port = require "weir.port.store"
local system = require "weir.port.system"
local value_of = require "weir.value"

local M = {}

local known = history.known
local KEPT = { finished = true, failed = true, skipped = true }

---@class weir.Fork what a new run will begin with, and what it will do again
---@field kind "retry"|"fork"
---@field history weir.History of the earlier run
---@field from string|nil  the step of the earlier run at which it goes another way
---@field input any
---@field kept table<string, table> outcomes by key: {key, entry, value, status, label, is_edited}
---@field repeated { key: string, status: string, times: integer }[] what was begun before and will be done again, without
---   what only holds other steps
---@field undone string|nil the first step that the earlier run has undone: it and what followed it is not kept
---@field plan table compiled definition
---@field pins table<string, string>
---@field is_latest boolean
local Fork = {}
Fork.__index = Fork

local function refuse(code, run_id, message, ...)
  local err = failure.new(code, message, ...)
  err.run = run_id
  error(err, 0)
end

-- What is kept ---------------------------------------------------------------------------------------

-- The number and key of the first outcome that was undone, or is going to be, since the run failed or was cancelled.
local function first_undone(past, standing)
  local has_ending = false
  for _, entry in ipairs(past.entries) do has_ending = has_ending or entry[1] == "ending" end
  local first, key = math.huge, nil
  for one, entry in pairs(has_ending and standing or {}) do
    local extra = known(entry[9])
    if extra and known(extra.undo) and entry.n < first then first, key = entry.n, one end
  end
  return first, key
end

-- Which step made the run fail; nil for what is no step's fault, such as the budget.
local function failed_root(past)
  if past.row.status ~= "failed" then return nil end
  local err = known(past.row.error)
  local step = err and known(err.step)
  return type(step) == "string" and keys.root(step) or nil
end

-- Where the run still stood when it ended otherwise than by a step's failure.
local function open_roots(past)
  local decided, open = {}, {}
  for _, entry in ipairs(past.entries) do
    local joined = entry[1] == "choice" and entry[2]:match "^([^/]+)/joined$"
    if joined then decided[joined:gsub("#1$", "")] = true end
  end
  for _, key in ipairs(past.order) do
    local entry, root = past.outcomes[key], keys.root(key)
    if (not entry or entry[4] == "cancelled") and not decided[root] then open[root] = true end
  end
  return open
end

-- The keys of what has steps of its own: bodies, maps and the like. A gate stands below its group, not in it.
local function keys_above(past)
  local holds = {}
  for _, key in ipairs(past.order) do
    local segments, above = keys.segments(key), nil
    local last = segments[#segments]
    for index = 1, #segments - (last == "(gate)" and 2 or 1) do
      above = above and above .. "/" .. segments[index] or segments[index]
      holds[above], holds[keys.without_index(above)] = true, true
    end
    holds[keys.without_index(key)] = holds[keys.without_index(key)] or last:find "%]$" ~= nil
  end
  return holds
end

local function keep(self, standing, is_kept)
  for key, entry in pairs(standing) do
    if KEPT[entry[4]] and not key:find "^undo/" and is_kept(key, entry) then
      local extra = known(entry[9]) or {}
      self.kept[key] = { key = key, entry = entry, status = entry[4], value = entry[8], label = known(extra.label),
        verdict = known(extra.verdict) }
    end
  end
end

-- The steps that have made plans: what stands below them belongs to those.
local function plan_steps(past)
  local steps = {}
  for _, entry in ipairs(past.entries) do
    local _, step = keys.plan_prefix(entry)
    steps[#steps + 1] = step
  end
  return steps
end

local function is_below_any(key, list)
  for _, above in ipairs(list) do
    if keys.is_below(key, above) then return true end
  end
  return false
end

-- Under another definition what no question tells apart is worked out again.
local function drop_unasked(self)
  local holds = keys_above(self.history)
  local plans = plan_steps(self.history)
  local of_map, of_body = store_port.fingerprint("map", "", {}), store_port.fingerprint("groups", "", {})
  for key, one in pairs(self.kept) do
    local asked = one.entry[3]
    local is_unasked = one.status == "skipped" or holds[key] or is_below_any(key, plans)
    if is_unasked or asked == of_map or asked == of_body then self.kept[key] = nil end
  end
end

local function list_repeated(self)
  local past, holds = self.history, keys_above(self.history)
  local times = {}
  for _, entry in ipairs(past.entries) do
    if entry[1] == "start" or entry[1] == "attempt" or (entry[1] == "step" and not times[entry[2]]) then
      times[entry[2]] = (times[entry[2]] or 0) + 1
    end
  end
  for _, key in ipairs(past.order) do
    local entry = past.outcomes[key]
    local is_work = not holds[key] and not key:find "^undo/" and not (entry and entry[4] == "skipped")
    if is_work and not self.kept[key] then
      self.repeated[#self.repeated + 1] = { key = key, status = entry and entry[4] or "begun", times = times[key] or 1 }
    end
  end
end

-- The definition -------------------------------------------------------------------------------------

local function latest_definition(engine, past)
  local kept = engine.store:get("definitions", past.head.version)
  local file = kept and known(kept.file)
  if not file or not require("weir.port.files").stat(file) then
    local message
    file, message = engine.project:pipeline_file(past.head.pipeline)
    if not file then failure.raise("not_found", "%s", message) end
  end
  local definition, errors = engine.project:load(file)
  if not definition then failure.raise("invalid", "%s", require("weir.definition.check").format(errors[1])) end
  return definition
end

-- What the new run is to be of, with the versions of all that it uses.
local function resolve(engine, past, latest)
  local plan = not latest and past.plan
    or (latest and engine:plan_of(latest_definition(engine, past)) or engine:plan_of_version(past.head.version))
  local pins = not latest and known(past.head.pins) or {}
  local held = latest and binding.hold(engine, plan) or binding.hold_pinned(engine, plan, pins)
  if latest then
    local plans = { plan }
    for _, child in pairs(held.children) do plans[#plans + 1] = child end
    keeping.definitions(engine, plans)
    keeping.modules(engine, held.entries)
    pins = value_of.copy(held.pins)
  end
  held:release()
  return plan, pins
end

local function new(engine, past, kind, latest)
  local plan, pins = resolve(engine, past, latest)
  return setmetatable({ kind = kind, history = past, engine = engine, input = value_of.copy(known(past.head.input)), kept = {},
    repeated = {}, plan = plan, pins = pins, is_latest = latest == true }, Fork)
end

-- Retrying -------------------------------------------------------------------------------------------

local RETRIED = { failed = true, cancelled = true, finished = true, quarantined = true }
local INSTEAD = {
  running = "`weir resume %s` goes on with it, `weir cancel %s` ends it",
  waiting = "`weir show %s` says what for, `weir cancel %s` ends it",
  in_doubt = "`weir show %s` says what has to be decided, `weir cancel %s` ends it",
}

local function check_status(past)
  local status = past.row.status
  if RETRIED[status] then return end
  refuse("conflict", past.id, "run %s has not ended, it is %s: %s; a retry is for runs that have ended", past.id,
    status == "in_doubt" and "in doubt" or status, (INSTEAD[status] or INSTEAD.running):format(past.id, past.id))
end

-- What came before a step had its outcome, without all that belongs to the step.
local function before(past, text)
  local found = past:find(text)
  local last = found.n or math.huge
  local name = found.key or found.group
  if not name then return function(_, entry) return entry.n < last end end
  return function(key, entry) return entry.n < last and key ~= name and not keys.is_below(key, name) end, name
end

-- All that has finished, and failures that the run went on from: not those of the group that made it fail, or in which
-- it ended.
local function before_failure(past)
  local root = failed_root(past)
  local open = root and { [root] = true } or open_roots(past)
  return function(key, entry) return entry[4] ~= "failed" or not open[keys.root(key)] end
end

local function nothing() return false end

local function refuse_undone(past, key)
  refuse("conflict", past.id, "step '%s' was undone when run %s ended, so neither it nor what follows it can be kept; go back to it "
    .. "or further", key, past.id)
end

-- What was undone is not kept, nor what followed it. What somebody asked to be kept is refused then.
local function within_undone(self, is_kept, is_asked)
  local standing = self.history:standing()
  local first, undone = first_undone(self.history, standing)
  if undone and is_asked then
    for key, entry in pairs(standing) do
      local is_work = entry[4] == "finished" and not key:find "^undo/"
      if entry.n >= first and is_work and is_kept(key, entry) then refuse_undone(self.history, undone) end
    end
  end
  self.undone = undone
  return function(key, entry) return entry.n < first and is_kept(key, entry) end
end

--- What a retry of a run would keep and repeat. Without `from` it keeps what has finished of a run that did not
--- finish, as far as it was not undone, and nothing of a run that did, or when there is another input. Waits for the
--- disk only with `latest`. Raises {code, message, run}: `not_found`, `conflict` (the run has not ended; what would
--- be kept was undone), `invalid`.
---@param engine weir.Engine
---@param run_id string
---@param options { from: string|nil, latest: boolean|nil, anew: boolean|nil }|nil from: keeps what came before this step,
---   see `History:find`; latest: the definition and modules as the project's files have them now; anew: keeps nothing
---@return weir.Fork
function M.retry(engine, run_id, options)
  options = options or {}
  local past = history.load(engine, run_id)
  check_status(past)
  local self = new(engine, past, "retry", options.latest)
  local is_kept
  if options.from then
    is_kept, self.from = before(past, options.from)
  elseif options.anew or past.row.status == "finished" then
    is_kept = nothing
  else
    is_kept = before_failure(past)
  end
  keep(self, past:standing(), within_undone(self, is_kept, options.from ~= nil))
  if self.is_latest then drop_unasked(self) end
  list_repeated(self)
  return self
end

-- Forking --------------------------------------------------------------------------------------------

--- What a fork of a run would keep and repeat: it keeps all outcomes up to that of a step, and goes on behind it. The
--- run may be of any status. Raises {code, message, run, step}: `not_found` (the step has no outcome), `conflict` (what
--- would be kept was undone), `invalid`.
---@param engine weir.Engine
---@param run_id string
---@param text string the step, see `History:find`
---@return weir.Fork
function M.fork(engine, run_id, text)
  local past = history.load(engine, run_id)
  local found = past:find_outcome(text)
  local self = new(engine, past, "fork")
  self.from, self.at = found.key or found.group or tostring(found.n), found
  keep(self, past:standing(found.n), within_undone(self, function(_, entry) return entry.n <= found.n end, true))
  if found.entry and found.entry[4] == "cancelled" then
    self.kept[found.key] = { key = found.key, entry = found.entry, status = "cancelled" }
  end
  list_repeated(self)
  return self
end

local function fits_name(self, name)
  local exact = self.kept[name]
  if exact then return exact end
  local fits = {}
  for key, one in pairs(self.kept) do
    if keys.name(key) == name then fits[#fits + 1] = one end
  end
  if #fits == 1 then return fits[1] end
  if #fits == 0 then
    local names = { "input" }
    for key in pairs(self.kept) do names[#names + 1] = keys.name(key) end
    refuse("not_found", self.history.id, "'%s' is no step that is kept%s", name, require("weir.suggest").hint(name, names))
  end
  table.sort(fits, function(a, b) return a.key < b.key end)
  refuse("invalid", self.history.id, "'%s' is the name of %d steps, such as %s and %s; give the key of one", name, #fits, fits[1].key,
    fits[2].key)
end

local function split(path)
  local names = {}
  for name in (path .. "."):gmatch "([^.]*)%." do
    if name == "" then failure.raise("invalid", "'%s': an empty name; a.b expected", path) end
    names[#names + 1] = name
  end
  return names
end

-- Where a path of StepData leads: the holder of the value, and its name there.
local function locate(self, names)
  if names[1] == "input" and not self.kept.input then return self, "input" end
  return fits_name(self, names[1]), "value"
end

--- The value that a path of StepData has in the new run: `input.name`, `draft.text`, or a key of the journal in the place
--- of the step's name. Raises `not_found`, `invalid`.
---@param path string
---@return any value nil when nothing stands there
function Fork:value(path)
  local names = split(path)
  local holder, field = locate(self, names)
  local value = known(holder[field])
  for index = 2, #names do
    if type(value) ~= "table" then return nil end
    value = known(value[names[index]])
  end
  return value
end

local function put(root, names, value, path)
  if #names == 1 then return value end
  if root == nil then root = {} end
  local at = root
  for index = 2, #names do
    if type(at) ~= "table" or json.is_list(at) then
      failure.raise("invalid", "'%s': '%s' is no object; give the whole value", path, table.concat(names, ".", 1, index - 1))
    end
    if index == #names then break end
    if at[names[index]] == nil then at[names[index]] = {} end
    at = at[names[index]]
  end
  at[names[#names]] = value
  return root
end

--- Changes a value of StepData in the new run: of its input, or of the output of a step that is kept; a step that
--- failed counts as finished with it. Raises `not_found`, `invalid`.
---@param path string as of `value`
---@param value any plain data, not nil
function Fork:set(path, value)
  local names = split(path)
  local holder = locate(self, names)
  if holder == self then
    self.input = put(self.input, names, value, path)
    return
  end
  local old = holder.status == "finished" and value_of.copy(holder.value) or nil -- else it is an error
  holder.value, holder.is_edited, holder.status = put(old, names, value, path), true, "finished"
end

-- A changed output may take another branch: what the definition makes of it counts.
local function relabel(self, one)
  local outcomes = {}
  for key, other in pairs(self.kept) do
    if other.entry.n <= one.entry.n then
      outcomes[key] = { "step", key, 0, other.status, 0, 0, 1, other.value, n = other.entry.n }
    end
  end
  local data, step = self.history:data(one.entry.n, one.key, outcomes, self.input)
  if not step then return end
  if step.kind.name == "approval" then
    one.label = type(one.value) == "table" and one.value.decision or nil
  elseif step.label then
    data[step.name] = one.value
    local label, message = step.label(data)
    if label == nil and message then refuse("invalid", self.history.id, "the branch of step '%s': %s", one.key, message) end
    one.label = label
  end
end

-- Making ---------------------------------------------------------------------------------------------

local function check_input(self)
  local ok, checked, errors = self.plan.check_input(self.input)
  if ok then return checked end
  local err = failure.new("invalid", "%s", checked)
  err.details, err.run = errors, self.history.id
  error(err, 0)
end

local function check_point(self)
  local at = self.at and self.at.key and self.kept[self.at.key]
  if not at or at.status == "finished" or at.status == "skipped" then return end
  refuse("invalid", self.history.id, "step '%s' has %s, and a fork that keeps that ends there as well; give it an output with "
    .. "--set %s=..., or do it again with `weir retry %s --from %s`", at.key, at.status, at.key, self.history.id, at.key)
end

--- Makes the new run: its journal stands in the store, nothing of it is executed. `Engine:reopen` goes on with it. Waits
--- for the disk. Raises {code, message, run}: `invalid` (the input, a branch, a fork that keeps a failure), `full`, ...
---@param options { by: string|nil, more: (fun(run_id: string): table[])|nil }|nil by: who asks; default the user of the system; more:
---   operations of the store that are written with the end of the journal
---@return string run_id
function Fork:make(options)
  check_point(self)
  local input = check_input(self)
  for _, one in pairs(self.kept) do
    if one.is_edited then relabel(self, one) end
  end
  local past, now = self.history, clock.wall_ms()
  local of = known(past.head.of)
  local head = { format = keeping.FORMAT, pipeline = self.plan.name, version = self.plan.version, input = input, pins = self.pins,
    at = now, by = options and options.by or system.user_name(),
    event = known(past.head.event), event_offset = known(past.head.event_offset),
    of = { run = past.id, from = self.from, kind = self.kind, is_latest = self.is_latest, seed = of and of.seed or past.id } }
  local run_id = id.new "r"
  local row = { status = "running", pipeline = self.plan.name, version = self.plan.version, started_ms = now, of = past.id }
  beginning.write(self, run_id, head, row, options and options.more and options.more(run_id) or nil)
  return run_id
end

local function by_n(a, b) return a.n < b.n end

--- What is kept, in the order in which it came.
---@return { key: string, status: string, n: integer, is_edited: boolean|nil }[]
function Fork:kept_list()
  local list = {}
  for key, one in pairs(self.kept) do
    list[#list + 1] = { key = key, status = one.status, n = one.entry.n, is_edited = one.is_edited }
  end
  table.sort(list, by_n)
  return list
end

return M

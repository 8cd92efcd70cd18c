--- The history of a run: its journal, read back to any of its entries. What was known then (StepData), which
--- steps came later, and which entry somebody means. Only reads; a run may be of any status.

local failure = require "weir.failure"
local journal = require "weir.run.journal"
local json = require "weir.native.json"
local keeping = require "weir.run.keeping"
local keys = require "weir.run.keys"
local suggest = require "weir.suggest"
local value_of = require "weir.value"

local M = {}

---@class weir.History
---@field id string
---@field row table
---@field head table    of the journal: {pipeline, version, input, pins, at, of, ...}
---@field entries table[]  as in `weir.run.journal`, each with its number in `n`
---@field outcomes table<string, table> the latest outcome of each key, also of those that a later attempt made void
---@field order string[] keys of steps in the order in which they began
---@field plan table|nil the compiled definition; nil when it cannot be had
local History = {}
History.__index = History

local function known(value)
  if value == json.null then return nil end
  return value
end

M.known = known

local function note_step(self, entry)
  local key = entry[2]
  if not self.seen[key] then
    self.seen[key] = true
    self.order[#self.order + 1] = key
  end
  if entry[1] == "step" then self.outcomes[key] = entry end
end

local IS_STEP = { start = true, step = true, attempt = true, draft = true }

-- A flow that was built in memory, or a definition of another time, cannot be compiled; its outcomes can be read.
local function plan_of(engine, version)
  local ok, plan = pcall(engine.plan_of_version, engine, version)
  return ok and plan or nil
end

--- Reads the history of a run. Raises {code, message}: `not_found`, `corrupt`, `invalid` (a newer format).
---@param engine weir.Engine
---@param run_id string
---@return weir.History
function M.load(engine, run_id)
  local entries, row, code = engine.store:load(run_id)
  if not entries then failure.raise(code or "failed", "%s", row) end
  local first = entries[1]
  if not first or first[1] ~= "run" then failure.raise("corrupt", "run %s: its journal does not begin with its start", run_id) end
  local self = setmetatable({ id = run_id, row = row, engine = engine, head = journal.head_of(entries), entries = entries,
    outcomes = {}, order = {}, seen = {} }, History)
  if self.head.format > keeping.FORMAT then failure.raise("invalid", "run %s was written by a newer weir", run_id) end
  for number, entry in ipairs(entries) do
    entry.n = number
    if IS_STEP[entry[1]] then note_step(self, entry) end
  end
  self.plan = plan_of(engine, self.head.version)
  return self
end

--- The outcomes that stood after an entry, by key: what a failed attempt had made before is void.
---@param last integer|nil number of the entry; nil: the latest
---@return table<string, table>
function History:standing(last)
  local entries = self.entries
  if last and last < #entries then entries = table.move(entries, 1, last, 1, {}) end
  return journal.new(nil, entries).recorded
end

-- Which entry is meant -------------------------------------------------------------------------------

local function of_number(self, text)
  local n = math.tointeger(tonumber(text))
  local entry = n and self.entries[n]
  if not entry then
    failure.raise("not_found", "run %s has no journal entry %s; it has those from 1 to %d", self.id, text, #self.entries)
  end
  return { n = n, key = entry[1] == "step" and entry[2] or nil, entry = entry[1] == "step" and entry or nil }
end

-- The last outcome below a group, or in it.
local function of_group(self, text)
  local prefix, found = text .. "/", nil
  for key, entry in pairs(self.outcomes) do
    if key:sub(1, #prefix) == prefix and (not found or entry.n > found.n) then found = entry end
  end
  return found and { n = found.n, group = text }
end

local function by_name(self, text)
  local fits = {}
  for _, key in ipairs(self.order) do
    if keys.name(key) == text then fits[#fits + 1] = key end
  end
  if #fits > 1 then
    local err = failure.new("invalid", "'%s' is the name of %d steps of run %s, such as %s and %s; give the key of one", text, #fits,
      self.id, fits[1], fits[2])
    err.run = self.id
    error(err, 0)
  end
  return fits[1]
end

local function names_of(self)
  local names, seen = {}, {}
  for _, key in ipairs(self.order) do
    for _, name in ipairs { key, keys.name(key) } do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  return names
end

--- Finds what a person means by a step: a key of the journal, a step's name, a group, `map[3]`, or the number of a
--- journal entry. Raises `not_found`, which names the nearest, and `invalid` for the name of several steps.
---@param text string
---@return { n: integer|nil, key: string|nil, group: string|nil, entry: table|nil } n: of its outcome, nil when it has begun
---   only; group: all that stands below it is meant
function History:find(text)
  if text:find "^%d+$" then return of_number(self, text) end
  local key = self.seen[text] and text
  local group = not key and of_group(self, text)
  if group then return group end
  key = key or by_name(self, text)
  if key then
    local entry = self.outcomes[key]
    return { key = key, entry = entry, n = entry and entry.n }
  end
  local names = names_of(self)
  local hint = suggest.hint(text, names)
  if hint == "" then hint = "; `weir show` lists those that did" end
  local err = failure.new("not_found", "step '%s' has not run in run %s%s", text, self.id, hint)
  err.run, err.step = self.id, text
  error(err, 0)
end

--- The same, for a step that has to have an outcome. Raises `not_found` also for one that has only begun.
---@param text string
---@return { n: integer, key: string|nil, group: string|nil, entry: table|nil }
function History:find_outcome(text)
  local found = self:find(text)
  if found.n then return found end
  local err = failure.new("not_found", "step '%s' has begun in run %s and has no outcome", found.key, self.id)
  err.run, err.step = self.id, found.key
  error(err, 0)
end

-- StepData -------------------------------------------------------------------------------------------

local function copy_of(data)
  local own = {}
  for name, value in pairs(data) do own[name] = value end
  return own
end

local function step_named(group, name)
  for _, step in ipairs(group.steps) do
    if step.name == name then return step end
  end
end

-- The step of a body that a key below `prefix` names itself, if it does.
local function own_step(body, segments)
  local first = keys.segment(segments[1])
  local group = not first.index and body.groups[body.index[first.name] or 0]
  if not group then return nil end
  if group.is_bare then return #segments == 1 and group.steps[1] or nil, group end
  if #segments ~= 2 or keys.segment(segments[2]).index then return nil end
  return step_named(group, segments[2]), group
end

local function put_error(data, group, entry)
  local err = known(entry[8])
  if entry[4] ~= "failed" or not err or not (group.branch and group.branch.failed) then return end
  data.error = { code = err.code, message = err.message, step = known(err.step) }
end

-- What the outcomes of a body have put into its StepData, in their order.
local function publish(view, body, prefix, data)
  local found = {}
  for key, entry in pairs(view.outcomes) do
    if key:sub(1, #prefix) == prefix then
      local step, group = own_step(body, keys.segments(key:sub(#prefix + 1)))
      if step then found[#found + 1] = { step = step, group = group, entry = entry } end
    end
  end
  table.sort(found, function(a, b) return a.entry.n < b.entry.n end)
  for _, one in ipairs(found) do
    data[one.step.name] = one.entry[4] == "finished" and one.entry[8] or nil
    put_error(data, one.group, one.entry)
  end
end

local function evaluated(evaluate, data)
  local ok, value = pcall(evaluate, data)
  return ok and value or nil
end

local function batched(list, size)
  if not size then return list end
  local result = {}
  for from = 1, #list, size do result[#result + 1] = json.list(table.move(list, from, math.min(from + size - 1, #list), 1, {})) end
  return result
end

-- What a map goes over: the list itself, or what its chunker made of it.
local function items_of(view, step, key, data)
  local list
  if step.chunk then
    local chunked = view.outcomes[key .. "/chunk"]
    list = chunked and chunked[8]
    list = type(list) == "table" and list.chunks or list
  else
    list = evaluated(step.over, data)
  end
  return type(list) == "table" and batched(list, step.batch) or {}
end

local into_body

local function into_item(view, step, key, data, at, index)
  local own = copy_of(data)
  own.item, own.index = items_of(view, step, key, data)[index + 1], index
  local each = step.each
  local each_key = ("%s[%d]/%s"):format(key, index, each.name)
  local entry = view.outcomes[each_key]
  if entry and entry[4] == "finished" then own[each.name] = entry[8] end
  return each, each_key, own, at + 1
end

local function child_data(view, step, data)
  local version = view.pins["pipelines/" .. step.pipeline]
  local child = version and plan_of(view.engine, version)
  return child and child.body, { input = evaluated(step.input, data), run = data.run }
end

-- The body of a plan that a step has made, and what its steps saw besides one another.
local function planned_data(view, step, prefix, data)
  for _, entry in ipairs(view.entries) do
    if keys.plan_prefix(entry) == prefix then
      local made = plan_of(view.engine, entry[3].version)
      return made and made.body, { input = evaluated(step.input, data), run = data.run }
    end
  end
end

-- From a step of the plan down to where the key ends: the step there, and StepData as it saw it.
local function into_step(view, step, key, data, at)
  local segment = view.segments[at]
  local index = segment and keys.segment(segment).index
  if index and step.each then
    local each, each_key, own, below = into_item(view, step, key, data, at, index)
    if below > #view.segments then return each, own end
    return into_step(view, each, each_key, own, below)
  end
  if at >= #view.segments then return step, data end
  if step.branches then
    local branch = step_named({ steps = step.branches }, view.segments[at + 1])
    if branch then return into_step(view, branch, ("%s/%s"):format(key, branch.name), copy_of(data), at + 1) end
  end
  if step.body then return into_body(view, step.body, key .. "/", copy_of(data), at + 1) end
  if step.goal then
    local prefix = ("%s/%s/"):format(key, view.segments[at + 1])
    local body, inner = planned_data(view, step, prefix, data)
    if body then return into_body(view, body, prefix, inner, at + 2) end
  end
  if step.pipeline then
    local body, inner = child_data(view, step, data)
    if body then return into_body(view, body, key .. "/", inner, at + 1) end
  end
  return nil, data
end

function into_body(view, body, prefix, data, at)
  publish(view, body, prefix, data)
  local segments = view.segments
  if at > #segments then return nil, data end
  local first = keys.segment(segments[at])
  local group = body.groups[body.index[first.name] or 0]
  if not group then return nil, data end
  local step, key = group.steps[1], prefix .. keys.without_index(segments[at])
  if not group.is_bare then
    at = at + 1
    if at > #segments then return nil, data end
    step = step_named(group, keys.segment(segments[at]).name)
    key = key .. "/" .. keys.without_index(segments[at])
  end
  if not step then return nil, data end
  return into_step(view, step, key, data, at)
end

-- A flow is a program; of it only the outcomes are known.
local function by_key(outcomes, data)
  for key, entry in pairs(outcomes) do
    if entry[4] == "finished" and not key:find "^undo/" then data[key] = entry[8] end
  end
  return data
end

--- StepData as it was after an entry, as a step saw it: inside a map with its item, inside a body with what is around
--- it, inside a child pipeline that one's own. Of a flow: the outcomes by key.
---@param n integer number of the entry
---@param key string|nil of the step; nil: of the run's own steps
---@param outcomes table<string, table>|nil instead of those that stood then
---@param input any instead of the run's
---@return table data
---@return table|nil step of the plan that the key names
function History:data(n, key, outcomes, input)
  if input == nil then input = self.head.input end
  outcomes = outcomes or self:standing(n)
  local data = { input = known(input) }
  if not self.plan or not self.plan.body then return by_key(outcomes, data) end
  data.run = { id = self.id, pipeline = self.head.pipeline, started_at = require("weir.port.clock").rfc3339(self.head.at) }
  local view = { engine = self.engine, outcomes = outcomes, entries = self.entries, pins = known(self.head.pins) or {},
    segments = keys.segments(key or "") }
  local step, found = into_body(view, self.plan.body, "", data, 1)
  local result = copy_of(found)
  result.run = nil
  return result, step
end

local ENDED = { finished = true, failed = true, cancelled = true }

-- A step without an outcome.
local function open_status(self, key)
  if ENDED[self.row.status] then return "cancelled" end
  for _, wait in ipairs(known(self.row.waiting) or {}) do
    if wait.step == key then return wait.kind == "in_doubt" and "in_doubt" or "waiting" end
  end
  return "running"
end

--- The steps that came later than an entry, in the order in which they began: those whose outcome came after it, and
--- those that had none.
---@param n integer
---@return { key: string, status: string, n: integer|nil }[]
function History:later(n)
  local list = {}
  for _, key in ipairs(self.order) do
    local entry = self.outcomes[key]
    if not entry then
      list[#list + 1] = { key = key, status = open_status(self, key) }
    elseif entry.n > n then
      list[#list + 1] = { key = key, status = entry[4], n = entry.n }
    end
  end
  return list
end

--- A view of a run right after a step had its outcome. Raises as `load` and `find_outcome`.
---@param engine weir.Engine
---@param run_id string
---@param text string the step, see `History:find`
---@return { run: string, pipeline: string, version: string, key: string|nil, n: integer, at_ms: integer|nil, status: string|nil,
---   data: table, later: table[] }
function M.at(engine, run_id, text)
  local self = M.load(engine, run_id)
  local found = self:find_outcome(text)
  local entry = found.entry
  return { run = run_id, pipeline = self.head.pipeline, version = self.head.version, key = found.key or found.group, n = found.n,
    at_ms = entry and entry[6], status = entry and entry[4], data = value_of.copy((self:data(found.n, found.key or found.group))),
    later = self:later(found.n) }
end

return M

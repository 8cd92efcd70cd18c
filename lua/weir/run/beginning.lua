--- How the journal of a fork begins (see `weir.run.fork`): the outcomes that are kept, and the choices that hold for
--- them, in the order in which they came.

local batches = require "weir.run.batches"
local json = require "weir.native.json"
local keys = require "weir.run.keys"
local store_port = require "weir.port.store"

local M = {}

local function kept_entry(self, one)
  local entry, value = one.entry, one.value
  if value == nil then value = json.null end
  return { "step", one.key, entry[3], one.status, entry[5], entry[6], entry[7] or 1, value,
    { label = one.label, verdict = one.verdict, kept = self.history.id, edited = one.is_edited } }
end

-- The key of the step of a group in a visit: as the group runner makes it, a group with one step of its name has
-- no level of its own.
local function has_kept(self, prefix, group, visit, name)
  local at = prefix .. group .. (visit > 1 and "#" .. visit or "")
  return self.kept[at .. "/" .. name] or (name == group and self.kept[at])
end

-- Which of a group counted holds only for the outcomes it was chosen among.
local function is_joined(self, key, names)
  local prefix, group, visit = key:match "^(.-)([^/]+)#(%d+)/joined$"
  if not prefix then return false end
  for name in names:gmatch "[^,]+" do
    if not has_kept(self, prefix, group, math.tointeger(visit), name) then return false end
  end
  return names ~= ""
end

local function has_finished(self, run_id)
  local row = type(run_id) == "string" and self.engine.store:row(run_id) or nil
  return row and row.status == "finished"
end

-- Steps of a plan that are kept were made by that plan: it is the plan of the new run, too, as far as it was one then.
local function is_plan_kept(self, entry, last)
  local step = entry[2]:match "^(.+)/%(%l+%)[^/]*$"
  if not step or entry.n > last then return false end
  for key in pairs(self.kept) do
    if keys.is_below(key, step) then return true end
  end
  return false
end

local function is_choice_kept(self, entry, last)
  local key, value = entry[2], entry[3]
  if self.is_latest then return false end
  if key:find "^pin/" then return true end
  if key:find "/joined$" then return type(value) == "string" and is_joined(self, key, value) end
  if is_plan_kept(self, entry, last) then return true end
  if key:find "/?start [^/]*$" then return entry.n <= last and has_finished(self, value) end
  return false
end

local function last_kept(self)
  local last = self.at and self.at.n or 0
  for _, one in pairs(self.kept) do last = math.max(last, one.entry.n) end
  return last
end

-- What the journal begins with behind its head, in the order in which it came.
local function entries_of(self)
  local list, last = {}, last_kept(self)
  for _, one in pairs(self.kept) do list[#list + 1] = { n = one.entry.n, entry = kept_entry(self, one) } end
  for _, entry in ipairs(self.history.entries) do
    if entry[1] == "choice" and is_choice_kept(self, entry, last) then
      list[#list + 1] = { n = entry.n, entry = { "choice", entry[2], entry[3] } }
    end
  end
  table.sort(list, function(a, b) return a.n < b.n end)
  return list
end

local function put_sizes(list)
  local total = 0
  for _, one in ipairs(list) do
    one.size = #(store_port.encode(one.entry) or "")
    total = total + one.size
  end
  return total
end

--- Writes the journal of a fork. One that is longer than a transaction is set aside until all of it is there. Waits for
--- the disk. Raises {code, message} as `store:batch` refuses.
---@param self weir.Fork
---@param run_id string of the new run
---@param head table of its journal; `of.kept` gets how many entries follow it
---@param row table
---@param more table[]|nil operations that are written in the last transaction
function M.write(self, run_id, head, row, more)
  local list = entries_of(self)
  head.of.kept = #list
  local handle, out = self.engine.store:new_run(run_id, 1), batches.new(self.engine.store)
  local is_long = batches.is_long(#list + 1, put_sizes(list))
  local aside = { status = "quarantined", pipeline = row.pipeline, version = row.version, started_ms = row.started_ms, of = row.of,
    error = { code = "failed", message = "the process ended while the run was being made; cancel it and make it again" } }
  out:add({ op = "entry", journal = handle, entry = { "run", head }, row = is_long and aside or row }, 0)
  for index, one in ipairs(list) do
    local is_last = is_long and index == #list
    out:add({ op = "entry", journal = handle, entry = one.entry, row = is_last and row or nil }, one.size)
  end
  for _, operation in ipairs(more or {}) do out:add(operation, 0) end
  out:commit()
end

return M

--- The items of a large map in the store: a record for each range of 1,000, with the state and result of every item, in a space
--- of their own under (run, map, range). While a range is at work, what has come of its items is written in parts, a few
--- milliseconds after it is there; the whole record takes the place of the parts. So a map of a million items needs no
--- more memory than a few ranges, and a later life of the run, or a retry of it, does only what is missing.

local checkpoint = require "weir.native.checkpoint"
local failure = require "weir.failure"
local json = require "weir.native.json"
local pages = require "weir.pages"
local store_port = require "weir.port.store"

local M = {}

M.SPACE = "items"
M.SIZE = 1000 -- items of a range

local SPILL = 4096 -- bytes of a result that becomes a blob of its own

-- States as they are kept.
local LETTERS = { finished = "f", skipped = "s", failed = "x" }
local STATES = { f = "finished", s = "skipped", x = "failed" }

---@class weir.Range
---@field number integer    from 0
---@field items any[]
---@field count integer
---@field next integer      position of the item that is taken next
---@field left integer      items that have no outcome yet
---@field states table<integer, string>  by position, from 1
---@field results table<integer, any>    outputs; errors of those that failed
---@field dirty integer[]   positions that are not written yet
---@field parts integer     how many parts were written
---@field is_whole boolean   its record was written by an earlier life
---@field usage table|nil   what its items used, and is not written yet
---@field asked integer     fingerprint of the items

---@class weir.MapItems
local Items = {}
Items.__index = Items

--- The items of a map in the store of its run.
---@param run weir.Run
---@param key string of the map
---@param tag string of its attempt; empty for the first
---@return weir.MapItems
function M.open(run, key, tag)
  local place = ("%s%s/"):format(key, tag)
  local of = run.of and run.of.run
  return setmetatable({ store = run.engine.store, prefix = ("%s/%s"):format(run.id, place), before = of and ("%s/%s"):format(of, place) },
    Items)
end

local function must(result, message, code)
  if result == nil then failure.raise(code or "failed", "the items of the map could not be written: %s", message) end
  return result
end

local function range_key(prefix, number)
  return ("%s%09d"):format(prefix, number)
end

-- Writing --------------------------------------------------------------------------------------------

local function is_large(value)
  if type(value) == "string" then return #value > SPILL and checkpoint.encode(value) or nil end
  if type(value) ~= "table" then return nil end
  local bytes = must(checkpoint.encode(value))
  return #bytes > SPILL and bytes or nil
end

-- The outcome of items at some positions; large results as blobs, told apart by their place.
local function record_of(range, positions, operations)
  local states, values, blobs = {}, json.list {}, nil
  for index, position in ipairs(positions) do
    local value = range.results[position]
    states[index] = LETTERS[range.states[position]]
    local bytes = is_large(value)
    if bytes then
      operations[#operations + 1] = { op = "blob", bytes = bytes }
      blobs = blobs or {}
      blobs[tostring(index)] = require("weir.native.hash").sha256(bytes)
      value = json.null
    end
    values[index] = value == nil and json.null or value
  end
  return { of = range.asked, s = table.concat(states), v = values, b = blobs, u = range.usage }
end

--- Writes what has come of items since the last part. Waits.
---@param range weir.Range
---@return boolean done false: nothing has come of any
function Items:keep_part(range)
  local positions = range.dirty
  if #positions == 0 then return false end
  range.dirty, range.parts = {}, range.parts + 1
  local operations = {}
  local record = record_of(range, positions, operations)
  record.i, range.usage = json.list(positions), nil
  operations[#operations + 1] = { op = "put", space = M.SPACE, key = ("%s.%06d"):format(range_key(self.prefix, range.number), range.parts),
    value = record }
  must(self.store:batch(operations))
  return true
end

local function add_usage(range, used)
  if not used then return end
  range.usage = range.usage or {}
  for name, amount in pairs(used) do range.usage[name] = (range.usage[name] or 0) + amount end
end

--- Writes a range all of whose items have an outcome, and what the reducer has made of all up to there. Waits.
---@param range weir.Range
---@param reduced table|nil plain data
function Items:keep_whole(range, reduced)
  local operations, positions = {}, {}
  for position = 1, range.count do positions[position] = position end
  add_usage(range, range.kept_usage)
  local record = record_of(range, positions, operations)
  local key = range_key(self.prefix, range.number)
  operations[#operations + 1] = { op = "put", space = M.SPACE, key = key, value = record }
  for part = 1, range.parts do operations[#operations + 1] = { op = "delete", space = M.SPACE, key = ("%s.%06d"):format(key, part) } end
  if reduced then operations[#operations + 1] = { op = "put", space = M.SPACE, key = self.prefix .. "reduced", value = reduced } end
  must(self.store:batch(operations))
end

-- Reading --------------------------------------------------------------------------------------------

local function value_in(self, record, index)
  local hash = type(record.b) == "table" and record.b[tostring(index)]
  if not hash then return record.v[index] end
  local bytes, message, code = self.store:get_blob(hash)
  if not bytes then failure.raise(code, "a result of the map could not be read: %s", message) end
  return checkpoint.decode(bytes)
end

local function take_record(self, range, record)
  for index = 1, #record.s do
    local position = type(record.i) == "table" and record.i[index] or index
    if range.states[position] == nil then range.left = range.left - 1 end
    range.states[position], range.results[position] = STATES[record.s:sub(index, index)], value_in(self, record, index)
  end
  return type(record.u) == "table" and record.u or nil
end

-- The whole of a range, or its parts, of which items that take long may leave as many as there are items.
local function rows_of(self, prefix, number)
  local key = range_key(prefix, number)
  local whole = self.store:get(M.SPACE, key)
  if whole then return { { value = whole, key = key } } end
  local rows = {}
  for row in pages.rows(self.store, M.SPACE, { prefix = key .. "." }) do rows[#rows + 1] = row end
  return rows
end

-- Failures of an earlier run are what a retry does again.
local function forget_failures(range)
  for position = 1, range.count do
    if range.states[position] == "failed" then
      range.states[position], range.results[position], range.left = nil, nil, range.left + 1
    end
  end
end

local function load_from(self, range, prefix)
  local used
  local rows = rows_of(self, prefix, range.number)
  for _, row in ipairs(rows) do
    if row.value.of ~= range.asked then
      failure.raise("conflict", "the items %d to %d of the map are not those that were recorded; the run stops",
        range.number * M.SIZE, range.number * M.SIZE + range.count - 1)
    end
    local more = take_record(self, range, row.value)
    if more then
      used = used or {}
      for name, amount in pairs(more) do used[name] = (used[name] or 0) + amount end
    end
  end
  return used, rows
end

--- Takes over what earlier lives, or the run that this one is a retry of, have made of a range. Does not wait. Raises
--- `conflict` when the items are not the same.
---@param range weir.Range
---@return table<string, number>|nil used by what earlier lives did
function Items:load(range)
  range.asked = store_port.fingerprint("items", "", range.items)
  local used, rows = load_from(self, range, self.prefix)
  for _, row in ipairs(rows) do
    local part = row.key:match "%.(%d+)$"
    if part then range.parts = math.max(range.parts, math.tointeger(part)) else range.is_whole = true end
  end
  range.kept_usage = used
  if range.left < range.count or not self.before then return used end
  pcall(load_from, self, range, self.before) -- other items than then: nothing of it counts
  forget_failures(range)
  for position = 1, range.count do
    if range.states[position] then range.dirty[#range.dirty + 1] = position end
  end
  return used
end

--- What the reducer had made of the first ranges in an earlier life.
---@return table|nil
function Items:reduced()
  return (self.store:get(M.SPACE, self.prefix .. "reduced"))
end

return M

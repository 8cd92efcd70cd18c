--- Runs chosen by what their rows say: for lists and for what is done to many.

local civil = require "weir.schedule.civil"
local clock = require "weir.port.clock"
local failure = require "weir.failure"
local standing = require "weir.view.standing"
local yield = require("weir.native.scheduler").yield

local M = {}

local PAGE = 200

local function midnight(given)
  local year, month, day = given:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  if not year or not civil.read_day(given) then return nil end
  return os.time { year = math.tointeger(year), month = math.tointeger(month), day = math.tointeger(day), hour = 0 } * 1000
end

--- The moment that a duration before now, or a day, stands for. Raises `invalid`.
---@param given string|nil such as 2h, or 2026-11-23
---@param option string for messages
---@return integer|nil ms since 1970
function M.since(given, option)
  if not given then return nil end
  local from = midnight(given)
  if from then return from end
  local seconds, message = require("weir.duration").parse(tonumber(given) or given)
  if not seconds then failure.raise("invalid", "%s: %s, or a day such as 2026-11-23", option, message) end
  return clock.wall_ms() - math.floor(seconds * 1000)
end

local function page_of(store, query)
  local page, message, code = store:runs(query)
  if not page then failure.raise(code or "failed", "%s", message) end
  return page
end

-- A damaged row may be any run's.
local function fits(row, query)
  if not row then return query.damaged end
  local err = type(row.error) == "table" and row.error or {}
  return (not query.status or row.status == query.status) and (not query.pipeline or row.pipeline == query.pipeline)
    and (not query.code or err.code == query.code) and (not query.step or err.step == query.step)
    and (not query.since_ms or row.started_ms >= query.since_ms)
end

-- What the store can look for in rows without reading them.
local function field_of(query)
  for _, name in ipairs { "pipeline", "code", "step" } do
    if query[name] then return { name, query[name] } end
  end
end

-- Runs that wait already and stand in the store as running: they belong between those that it lists.
local function early(store, query)
  local list = {}
  if query.status ~= "waiting" then return list end
  for _, id in ipairs(standing.waiting_ids(query.live)) do
    local row = (not query.after or id < query.after) and store:row(id)
    if row and row.status == "running" then list[#list + 1] = { id = id, row = row } end
  end
  return list
end

local function new_list(store, query)
  return { query = query, limit = query.limit or math.huge, early = early(store, query) }
end

local function take(list, entry)
  local row = entry.row and standing.row(list.query.live, entry.id, entry.row)
  if #list < list.limit and fits(row, list.query) then list[#list + 1] = { id = entry.id, row = row, damaged = entry.damaged } end
end

-- Those that come before a run, or all.
local function take_early(list, run_id)
  while list.early[1] and (not run_id or list.early[1].id > run_id) do take(list, table.remove(list.early, 1)) end
end

local function is_too_old(entry, query)
  return query.since_ms and entry.row and entry.row.started_ms < query.since_ms
end

-- Whether there may be older ones that fit.
local function take_page(list, page)
  for _, entry in ipairs(page) do
    take_early(list, entry.id)
    if is_too_old(entry, list.query) then return false end
    if not entry.rest then take(list, entry) end
  end
  return #list < list.limit and (#page == PAGE or page[#page] ~= nil and page[#page].rest == true)
end

local function plain(list)
  local found = {}
  for index, entry in ipairs(list) do found[index] = entry end
  return found
end

--- Runs that fit, the newest first, as they stand. Yields.
---@param store userdata
---@param query { status: string?, pipeline: string?, code: string?, step: string?, since_ms: integer?, limit: integer?,
---   damaged: boolean?, after: string?, live: table<string, weir.Run>?, pages: integer? } damaged: those whose row cannot be
---   read too; after: older than this run; live: runs that this process executes; pages: so often the store is asked at most,
---   each time for some thousand rows
---@return { id: string, row: table? }[]
---@return string|nil rest the store was asked so often, and there may be more, older than this run
function M.runs(store, query)
  local list, after, field = new_list(store, query), query.after, field_of(query)
  for _ = 1, query.pages or math.maxinteger do
    local page = page_of(store, { status = query.status, with = field, after = after, limit = PAGE, reverse = true, damaged = true })
    if not take_page(list, page) then
      take_early(list)
      return plain(list)
    end
    yield() -- there may be very many, and the library is not preempted
    after = page[#page].id
  end
  return plain(list), after
end

local FIELDS = { status = true, since = true, pipeline = true, code = true, step = true }

--- Reads a query of words `name=value`. Raises `invalid`.
---@param given string such as "status=failed since=1h"
---@return table query of `runs`
function M.parse(given)
  local query = {}
  for word in given:gmatch "%S+" do
    local name, value = word:match "^(%w+)=(.+)$"
    if not name or not FIELDS[name] then
      local hint = require("weir.suggest").hint(name or word, { "status", "since", "pipeline", "code", "step" })
      failure.raise("invalid", "--where: status=, since=, pipeline=, code= or step= expected, got '%s'%s", word, hint)
    end
    query[name] = value
  end
  if not next(query) then failure.raise("invalid", "--where: a query such as \"status=failed since=1h\" expected") end
  query.since_ms, query.since = M.since(query.since, "--where since="), nil
  return query
end

return M

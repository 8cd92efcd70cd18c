--- Runs chosen by what their rows say: for lists and for what is done to many.

local clock = require "weir.port.clock"
local failure = require "weir.failure"
local yield = require("weir.native.scheduler").yield

local M = {}

local PAGE = 200

local function midnight(given)
  local year, month, day = given:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  if not year then return nil end
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
  return (not query.pipeline or row.pipeline == query.pipeline) and (not query.code or err.code == query.code)
    and (not query.step or err.step == query.step)
end

--- Runs that fit, the newest first.
---@param store userdata
---@param query { status: string?, pipeline: string?, code: string?, step: string?, since_ms: integer?, limit: integer?,
---   damaged: boolean?, after: string? } damaged: those whose row cannot be read too; after: older than this run
---@return { id: string, row: table? }[]
function M.runs(store, query)
  local found, after, limit = {}, query.after, query.limit or math.huge
  while #found < limit do
    local page = page_of(store, { status = query.status, after = after, limit = PAGE, reverse = true, damaged = true })
    for _, entry in ipairs(page) do
      if query.since_ms and entry.row and entry.row.started_ms < query.since_ms then return found end
      if #found < limit and fits(entry.row, query) then found[#found + 1] = entry end
    end
    if #page < PAGE then break end
    yield() -- there may be very many, and the library is not preempted
    after = page[#page].id
  end
  return found
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

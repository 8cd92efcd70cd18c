--- Refusals as HTTP says them: problem details (RFC 9457) made of {code, message, run, step}. Pure.

local failure = require "weir.failure"
local json = require "weir.native.json"
local utf8_of = require("weir.text.visible").utf8

local M = {}

M.content_type = "application/problem+json"

local ERRORS_MAX = 100

-- Of what raised {code}; a door that knows better says so.
local STATUS = { invalid = 422, failed = 500, timeout = 504, cancelled = 409, rejected = 409, limit = 429, full = 507, empty = 429,
  closed = 503, not_found = 404, conflict = 409, denied = 403, unavailable = 503, corrupt = 500 }

local TITLES = { [200] = "OK", [202] = "Accepted", [204] = "No Content", [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden",
  [404] = "Not Found", [405] = "Method Not Allowed", [409] = "Conflict", [412] = "Precondition Failed", [413] = "Content Too Large",
  [415] = "Unsupported Media Type", [421] = "Misdirected Request", [422] = "Unprocessable Content", [429] = "Too Many Requests",
  [500] = "Internal Server Error", [503] = "Service Unavailable", [504] = "Gateway Timeout", [507] = "Insufficient Storage" }

M.titles = TITLES

--- A refusal with a status of its own, to be raised.
---@param status integer
---@param code string
---@param message string a format when arguments follow
---@return table err {code, message, status}
function M.new(status, code, message, ...)
  local err = failure.new(code, message, ...)
  err.status = status
  return err
end

--- Raises one.
---@param status integer
---@param code string
---@param message string
function M.raise(status, code, message, ...)
  error(M.new(status, code, message, ...), 0)
end

local function errors_of(details)
  if type(details) ~= "table" or not details[1] then return nil end
  local list = json.list {}
  for index = 1, math.min(#details, ERRORS_MAX) do
    local entry = details[index]
    list[index] = { path = entry.path or entry.field, message = entry.message and utf8_of(entry.message), line = entry.line,
      did_you_mean = entry.did_you_mean }
  end
  return list
end

-- What a program of ours did wrong is for the log, not for who asked.
local function is_internal(raised)
  return type(raised) ~= "table" or rawget(raised, "code") == nil or rawget(raised, "traceback") ~= nil
end

--- What was raised, as an answer.
---@param raised any {code, message, status?, headers?, run?, step?, details?, extra?}, or anything
---@param shape (fun(problem: table): table)|nil makes something else of the problem details, for clients that know none
---@return integer status
---@return table<string, string> headers
---@return string body
---@return boolean is_internal whether it is to be logged
function M.of(raised, shape)
  local own = type(raised) == "table" and raised or {}
  local err, internal = failure.of(raised), is_internal(raised)
  local status = rawget(own, "status") or STATUS[err.code] or 500
  local value = { type = "urn:weir:problem:" .. err.code, title = TITLES[status] or tostring(status), status = status, code = err.code,
    detail = internal and "something went wrong inside the host; its log says what" or utf8_of(err.message), run = rawget(own, "run"),
    step = err.step, errors = errors_of(err.details) }
  for name, more in pairs(rawget(own, "extra") or {}) do value[name] = more end
  if shape then value = shape(value) end
  local headers = { ["Content-Type"] = shape and "application/json" or M.content_type, ["Cache-Control"] = "no-store" }
  for name, more in pairs(rawget(own, "headers") or {}) do headers[name] = more end
  if (status == 429 or status == 503) and not headers["Retry-After"] then headers["Retry-After"] = "1" end
  return status, headers, json.encode(value) or ('{"status":%d}'):format(status), internal
end

return M

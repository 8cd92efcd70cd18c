--- Errors as the library raises and records them: {code, message, step?, traceback?, healing?}, whatever was
--- thrown. Pure; never raises on what it is given.

local native = require "weir.native.scheduler"
local visible = require "weir.text.visible"

local M = {}

local MESSAGE_MAX = 4096 -- bytes of a message that is kept
local NOTE_BYTES = 40    -- for how much there was: what was shortened once stays as it is
local FIELDS_MAX = 8     -- of a table that says nothing of itself
local FIELD_BYTES = 80

M.codes = {}
for code in ([[full empty closed timeout cancelled invalid failed rejected limit not_found conflict denied
  unavailable corrupt]]):gmatch "%S+" do M.codes[code] = true end

--- A new error. Its tostring is the message.
---@param code string one of `codes`
---@param message string a format when arguments follow
---@return { code: string, message: string }
function M.new(code, message, ...)
  if select("#", ...) > 0 then message = message:format(...) end
  return native.failure(code, message)
end

--- Raises a new error.
---@param code string
---@param message string
function M.raise(code, message, ...)
  error(M.new(code, message, ...), 0)
end

local function shorten(text)
  if #text <= MESSAGE_MAX then return text end
  return visible.head(text, MESSAGE_MAX - NOTE_BYTES) .. ("... (%d bytes in all)"):format(#text)
end

local function field_of(name, value)
  local kind = type(value)
  if kind == "string" then
    value = #value > FIELD_BYTES and visible.head(value, FIELD_BYTES - 3) .. "..." or value
    return ("%s = '%s'"):format(name, value)
  end
  return ("%s = %s"):format(name, (kind == "number" or kind == "boolean") and tostring(value) or "a " .. kind)
end

-- An address says nothing to people; what a table holds does.
local function described(value)
  local kind, fields = type(value), {}
  if kind ~= "table" then return ("an error that is a %s"):format(kind) end
  for name, field in next, value do
    if type(name) == "string" or type(name) == "number" then fields[#fields + 1] = field_of(tostring(name), field) end
  end
  table.sort(fields)
  if #fields > FIELDS_MAX then fields = table.move(fields, 1, FIELDS_MAX, 1, { [FIELDS_MAX + 1] = "..." }) end
  return ("an error that is a table {%s}"):format(table.concat(fields, ", "))
end

local function text_of(value)
  if type(value) == "string" then return value end
  local ok, text = pcall(tostring, value)
  if not ok or type(text) ~= "string" then return ("an error that is a %s and cannot be shown"):format(type(value)) end
  local address = ("%p"):format(value)
  if text:find(address, 1, true) or text:find ": %(nil%)$" then return described(value) end
  return text
end

-- What others raise may have fields of our names.
local function field(err, name, kind)
  local value = rawget(err, name)
  if type(value) == kind then return value end
end

local function of_table(err)
  local code = rawget(err, "code")
  local message = rawget(err, "message")
  if type(message) ~= "string" then message = text_of(err) end
  local failure = M.new(M.codes[code] and code or "failed", shorten(message))
  failure.step = field(err, "step", "string")
  failure.traceback = field(err, "traceback", "string")
  failure.details = field(err, "details", "table")
  failure.mismatch = field(err, "mismatch", "boolean")
  failure.class = field(err, "class", "string")
  failure.healing = field(err, "healing", "table")
  return failure
end

--- Any error value as {code, message, ...}. What is not ours has the code `failed`.
---@param err any what was raised
---@return { code: string, message: string, step: string?, traceback: string? }
function M.of(err)
  if type(err) == "table" then return of_table(err) end
  if err == nil then return M.new("failed", "an error without a value (error(nil))") end
  return M.new("failed", shorten(text_of(err)))
end

--- A message handler for xpcall: keeps the error and adds where it was raised.
---@param err any
---@return table
function M.explain(err)
  local failure = M.of(err)
  if failure.code == "failed" and not failure.traceback then failure.traceback = shorten(debug.traceback(nil, 2)) end
  return failure
end

return M

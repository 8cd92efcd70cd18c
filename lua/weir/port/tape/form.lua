--- What a tape keeps of a request: the same for one that is recorded and one that is looked up. Without secrets. Never waits.

local hash = require "weir.native.hash"
local json = require "weir.native.json"
local secret = require "weir.secret"

local M = {}

M.FORMAT = 1

local MASK = "[secret]"
-- Headers whose values are keys, by a part of their name; parts of a url by all of it.
local HEADER_WORDS = { "authorization", "cookie", "key", "token", "secret", "passw", "credential" }
local URL_NAMES = {}
for name in ("key api_key apikey api-key access_token token secret client_secret password sig signature"):gmatch "%S+" do
  URL_NAMES[name] = true
end

-- Texts ---------------------------------------------------------------------------------------------

--- A text as JSON has it.
---@param text string
---@return string|{ base64: string }
function M.packed(text)
  if utf8.len(text) then return text end
  return { base64 = require("weir.native.digest").to_base64(text) }
end

--- The text that `packed` was given; nil when it is none.
---@param value any
---@return string|nil
function M.unpacked(value)
  if type(value) == "string" then return value end
  if type(value) ~= "table" or type(value.base64) ~= "string" then return nil end
  return (require("weir.native.digest").from_base64(value.base64))
end

-- Headers -------------------------------------------------------------------------------------------

local function is_called_secret(name)
  for _, word in ipairs(HEADER_WORDS) do
    if name:find(word, 1, true) then return true end
  end
  return false
end

local function has_handle(list)
  for _, part in ipairs(list) do
    if secret.is_handle(part) then return true end
  end
  return false
end

local function shown_text(name, text)
  if is_called_secret(name) then return MASK end
  return M.packed(secret.redact(tostring(text)))
end

-- A list with a handle in it is one value; any other is a header that is repeated.
local function shown_value(name, value)
  if secret.is_handle(value) then return tostring(value) end
  if type(value) ~= "table" then return shown_text(name, value) end
  local parts = json.list {}
  if has_handle(value) then
    for index, part in ipairs(value) do parts[index] = secret.redact(tostring(part)) end
    return M.packed(table.concat(parts))
  end
  for index, part in ipairs(value) do parts[index] = shown_text(name, part) end
  return parts
end

--- Headers as they are kept.
---@param headers table<string, any>|nil
---@return table<string, any>
function M.headers(headers)
  local shown = {}
  for name, value in pairs(type(headers) == "table" and headers or {}) do
    local lower = tostring(name):lower()
    shown[lower] = shown_value(lower, value)
  end
  return shown
end

local function unpacked_value(value)
  if type(value) ~= "table" or not json.is_list(value) then return M.unpacked(value) end
  local list = json.list {}
  for index, one in ipairs(value) do list[index] = M.unpacked(one) or "" end
  return list
end

--- Kept headers of an answer as the client gives them.
---@param shown table<string, any>
---@return table<string, string|string[]>
function M.unpacked_headers(shown)
  local headers = {}
  for name, value in pairs(shown) do headers[name] = unpacked_value(value) end
  return headers
end

-- Requests ------------------------------------------------------------------------------------------

--- A url as it is kept.
---@param url string
---@return string
function M.url(url)
  url = secret.redact(url):gsub("^(%a[%w+.-]*://)[^/?#]*@", "%1" .. MASK .. "@")
  return (url:gsub("([?&])([^=&#]*)=([^&#]*)", function(before, name, _)
    if URL_NAMES[name:lower()] then return ("%s%s=%s"):format(before, name, MASK) end
  end))
end

local function header_of(headers, wanted)
  local value = headers[wanted]
  if value == nil then return "" end
  return type(value) == "string" and value or json.encode(value, { canonical = true })
end

---@class weir.TapeRequest
---@field method string
---@field url string
---@field headers table<string, any>
---@field body string|nil
---@field hash string

--- What is kept of a request.
---@param request table as `weir.port.http.open` takes it
---@return weir.TapeRequest
function M.request(request)
  local method, url, headers = request.method or "GET", M.url(tostring(request.url)), M.headers(request.headers)
  local body = request.body and secret.redact(request.body)
  return { method = method, url = url, headers = headers, body = body, hash = hash.sha256(string.pack("s4s4s4s4s4", method, url,
    header_of(headers, "accept"), header_of(headers, "content-type"), body or "")) }
end

--- All that is left of a transfer. Waits.
---@param transfer { read: fun(self): string?, string?, string? }
---@return string|nil bytes nil, message, code
function M.all(transfer)
  local parts = {}
  while true do
    local piece, message, code = transfer:read()
    if message then return nil, message, code end
    if not piece then return table.concat(parts) end
    parts[#parts + 1] = piece
  end
end

return M

--- Why a model did not answer: one class for each kind of failure, whoever the provider is, with the code that programs
--- branch on and with what is done about it unless the settings say otherwise.
---
--- A class comes from what the provider says (its own codes and types are the surest), else from the status, else from
--- how the connection failed. Pure; never yields.

local json = require "weir.native.json"
local log = require "weir.log"
local visible = require "weir.text.visible"

local M = {}

---@alias weir.model.Class
---| "auth" | "not_found" | "invalid_request" | "context_length" | "too_large" | "conflict" | "rate_limit" | "overloaded"
---| "server" | "timeout" | "connection" | "redirect" | "protocol" | "cut" | "refusal" | "cancelled"
---@alias weir.model.Action "retry"|"fall_back"|"resume"|"fail"

---@class weir.model.Detail
---@field class weir.model.Class
---@field status integer|nil         of the answer
---@field provider_code string|nil   the provider's word for it
---@field retry_after number|nil     seconds
---@field at_once boolean|nil        asking the same model again is of no use
---@field limits table|nil           what the provider says of its rate limits, see `weir.model.wire`
---@field usage table|nil            as far as it was known
---@field text string|nil            what was streamed so far
---@field response table|nil         of a refusal: the whole response

--- The classes: `code`, and the actions in the order in which they are tried by default.
---@type table<weir.model.Class, { code: string, actions: weir.model.Action[], doc: string }>
M.classes = {
  auth = { code = "denied", actions = { "fail" }, doc = "the key is wrong, missing or may not do this (401, 403)" },
  not_found = { code = "not_found", actions = { "fall_back" }, doc = "no such model, or a wrong base URL (404)" },
  invalid_request = { code = "invalid", actions = { "fail" }, doc = "the provider does not accept the request (400, 422)" },
  context_length = { code = "limit", actions = { "fall_back" }, doc = "the conversation is too long for the model" },
  too_large = { code = "limit", actions = { "fall_back" }, doc = "a request (413) or an answer with too many bytes" },
  conflict = { code = "conflict", actions = { "retry" }, doc = "somebody else is at it (409)" },
  rate_limit = { code = "full", actions = { "retry", "fall_back" }, doc = "too many requests or tokens (429)" },
  overloaded = { code = "unavailable", actions = { "retry", "fall_back" }, doc = "the provider has too much to do (503, 529)" },
  server = { code = "unavailable", actions = { "retry", "fall_back" }, doc = "the provider failed (500, 502, 504, other 5xx)" },
  timeout = { code = "timeout", actions = { "retry", "fall_back" }, doc = "nothing came in time, or not all of it (408)" },
  connection = { code = "unavailable", actions = { "retry", "fall_back" }, doc = "refused, reset; after DNS and TLS the next at once" },
  redirect = { code = "denied", actions = { "fail" }, doc = "the answer points to another host, which gets no key" },
  protocol = { code = "failed", actions = { "retry", "fall_back" }, doc = "HTML, no JSON, malformed JSON or events" },
  cut = { code = "unavailable", actions = { "resume" }, doc = "the answer ended before its end mark" },
  refusal = { code = "rejected", actions = { "fail" }, doc = "the model refuses, or a content filter does" },
  cancelled = { code = "cancelled", actions = { "fail" }, doc = "the call was cancelled" },
}

--- What is done about a refusal by default, in order.
---@param detail weir.model.Detail
---@return weir.model.Action[]
function M.actions(detail)
  local known = M.classes[detail.class]
  if detail.at_once and known and known.actions[1] ~= "fail" then return { "fall_back" } end
  return known and known.actions or { "fail" }
end

--- A refusal of a class.
---@param class weir.model.Class
---@param message string
---@param fields table|nil further fields of the detail
---@return nil
---@return string message
---@return string code
---@return weir.model.Detail detail
function M.refuse(class, message, fields)
  local detail = { class = class }
  for name, value in pairs(fields or {}) do detail[name] = value end
  return nil, message, M.classes[class].code, detail
end

-- Statuses -----------------------------------------------------------------------------------------

local STATUS = { [400] = "invalid_request", [401] = "auth", [403] = "auth", [404] = "not_found", [405] = "not_found",
  [408] = "timeout", [409] = "conflict", [413] = "too_large", [422] = "invalid_request", [429] = "rate_limit", [503] = "overloaded",
  [529] = "overloaded" }

--- The class of a status alone.
---@param status integer 300 or more
---@return weir.model.Class
function M.of_status(status)
  if STATUS[status] then return STATUS[status] end
  if status < 400 then return "redirect" end
  return status < 500 and "invalid_request" or "server"
end

-- What providers say -------------------------------------------------------------------------------

-- Codes and types of errors in bodies and streams, of several providers.
local WORDS = {
  invalid_api_key = "auth", authentication_error = "auth", permission_error = "auth", permission_denied = "auth", billing_error = "auth",
  insufficient_quota = "rate_limit", rate_limit_exceeded = "rate_limit", rate_limit_error = "rate_limit", tokens = "rate_limit",
  requests = "rate_limit", model_not_found = "not_found", not_found_error = "not_found", unsupported_country_region_territory = "auth",
  context_length_exceeded = "context_length", exceed_context_size_error = "context_length", string_above_max_length = "context_length",
  request_too_large = "too_large", overloaded_error = "overloaded", server_overloaded = "overloaded", unavailable_error = "overloaded",
  slow_down = "rate_limit", api_error = "server", server_error = "server", internal_error = "server", internal_server_error = "server",
  timeout_error = "timeout", content_filter = "refusal", content_policy_violation = "refusal", invalid_prompt = "refusal",
}

-- Words that say too little to go over a status.
local VAGUE = { api_error = true, server_error = true, tokens = true, requests = true, internal_error = true,
  internal_server_error = true }

-- What stands in the messages of those who have no code for it.
local PHRASES = {
  { "maximum context length", "context_length" }, { "context window", "context_length" },
  { "context size", "context_length" },
  { "prompt is too long", "context_length" }, { "exceeds the context", "context_length" },
  { "input length and `max_tokens`", "context_length" },
  { "exceed context limit", "context_length" },
}

local function text_of(value)
  return type(value) == "string" and value ~= "" and value or nil
end

-- The parts of an error object as it stands in a body or in an event of a stream.
local function parts_of(value)
  if type(value) ~= "table" then return nil end
  local err = value.error
  if err == nil then
    if text_of(value.detail) then return { message = value.detail } end
    if value.type ~= "error" and value.object ~= "error" then return nil end
    err = value
  end
  if text_of(err) then return { message = err, type = text_of(value.type), code = text_of(value.code) } end
  if type(err) ~= "table" or err == json.null then return nil end
  return { message = text_of(err.message) or text_of(err.detail), type = text_of(err.type), code = text_of(err.code),
    status = math.tointeger(err.code), param = text_of(err.param) }
end

local function class_of_words(parts, status)
  for _, word in ipairs { parts.code or "", parts.type or "" } do
    local class = WORDS[word:lower()]
    if class and not (status and VAGUE[word:lower()]) then return class end
  end
  local message = (parts.message or ""):lower()
  local may_be_long = not status or status == 400 or status == 413 or status == 422 or status == 500
  for _, row in ipairs(may_be_long and PHRASES or {}) do
    if message:find(row[1], 1, true) then return row[2] end
  end
end

local SHOWN = 300 -- bytes of a provider's message

--- What a provider says as a message may show it: on one line, at most 300 bytes, without values that are known as secret,
--- such as the key that some quote when it is wrong.
---@param text string
---@return string
function M.shown(text)
  return visible.plain(visible.head(log.redact(text), SHOWN))
end

--- Whether it is worth asking `said`: cheap, for each event of a stream.
---@param value table
---@return boolean
function M.may_be_said(value)
  return value.error ~= nil or value.detail ~= nil or value.type == "error" or value.object == "error"
end

---@class weir.model.Said
---@field class weir.model.Class
---@field message string what the provider says, on one line, at most 300 bytes
---@field provider_code string|nil
---@field at_once boolean|nil

--- Reads what a provider says of an error: in the body of an answer, or in an event of its stream.
---@param value any decoded JSON
---@param status integer|nil of the answer; nil within a stream
---@return weir.model.Said|nil said nil when it is no error that is known
function M.said(value, status)
  local parts = parts_of(value)
  if not parts then return nil end
  local inner = status or parts.status
  local known = inner and inner >= 300 and inner < 600 and inner or nil
  local class = class_of_words(parts, known) or known and M.of_status(known) or "server"
  return { class = class, message = M.shown(parts.message or parts.code or parts.type or "an error without a message"),
    provider_code = parts.code or parts.type, at_once = parts.code == "insufficient_quota" or parts.type == "insufficient_quota" or nil }
end

--- The class of an answer that is no success, with what its body says.
---@param status integer
---@param body string as far as it was read
---@return weir.model.Said
function M.of_answer(status, body)
  local value = body ~= "" and json.decode(body) or nil
  local said = M.said(value, status)
  if said then return said end
  local title = body:match "<[Tt][Ii][Tt][Ll][Ee][^>]*>%s*(.-)%s*</"
  local text = title or not body:find "^%s*<" and body or ""
  if not utf8.len(text) then text = "" end
  return { class = M.of_status(status), message = M.shown((text:gsub("^%s+", ""):gsub("%s+$", ""))) }
end

-- Connections --------------------------------------------------------------------------------------

-- What libcurl says of names that are not found and of certificates and handshakes that fail.
local AT_ONCE = { "could not resolve", "couldn't resolve", "ssl", "tls", "certificate" }

local OF_CODE = { timeout = "timeout", denied = "auth", invalid = "invalid_request", limit = "too_large", not_found = "auth" }

--- The class of a request for which no answer came.
---@param message string of the port
---@param code string
---@return weir.model.Class class
---@return boolean|nil at_once asking again is of no use
function M.of_connection(message, code)
  local class = OF_CODE[code]
  if class then return class end
  local lower = message:lower():gsub("^%S+ %S+: ", "")
  for _, word in ipairs(AT_ONCE) do
    if lower:find(word, 1, true) then return "connection", true end
  end
  return "connection"
end

return M

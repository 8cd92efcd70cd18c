--- The messages of the Model Context Protocol: JSON-RPC 2.0, made and read, and the versions that weir speaks.
---
--- Source: https://modelcontextprotocol.io/specification, revisions 2026-07-28 (every request says who asks; no
--- handshake) and 2025-11-25 (the last one with a handshake). Pure; never yields.

local json = require "weir.native.json"

local M = {}

M.MODERN = "2026-07-28"
--- Versions with a handshake, the newest first.
M.LEGACY = { "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05" }
M.BYTES = 16 * 1024 * 1024 -- of one message

M.CLIENT = { name = "weir", version = require "weir.version" }

M.METHOD_NOT_FOUND, M.INTERNAL_ERROR = -32601, -32603
M.HEADER_MISMATCH, M.MISSING_CAPABILITY, M.UNSUPPORTED_VERSION, M.URL_ELICITATION = -32020, -32021, -32022, -32042

-- What the codes of a server mean to a program. Any other one is `failed`.
local CODES = {
  [-32601] = "not_found", [-32602] = "invalid", [-32002] = "not_found", [-32020] = "conflict", [-32021] = "unavailable",
  [-32022] = "unavailable", [-32042] = "unavailable",
}

local TEXT_BYTES = 2000 -- of what a server says, in a message

function M.request(id, method, params)
  return { jsonrpc = "2.0", id = id, method = method, params = params }
end

function M.notification(method, params)
  return { jsonrpc = "2.0", method = method, params = params }
end

function M.result(id, result)
  return { jsonrpc = "2.0", id = id, result = result }
end

function M.failure(id, code, message)
  return { jsonrpc = "2.0", id = id, error = { code = code, message = message } }
end

--- Tells the server that the answer to a request is not waited for any more.
function M.cancelled(id, reason)
  return M.notification("notifications/cancelled", { requestId = id, reason = reason })
end

--- Whether a value is a JSON object.
---@param value any
---@return boolean
function M.is_object(value)
  return type(value) == "table" and (next(value) == nil or not json.is_list(value))
end

--- "request", "notification", "response"; nil for what is no message.
---@param message any
---@return string|nil
function M.kind(message)
  if not M.is_object(message) or message.jsonrpc ~= "2.0" then return nil end
  if type(message.method) == "string" then return message.id ~= nil and "request" or "notification" end
  if message.id ~= nil and (M.is_object(message.error) or message.result ~= nil) then return "response" end
end

--- Reads a text: one message, or a list of them as older servers may send.
---@param text string
---@return table[]|nil messages
---@return string|nil why
function M.decode(text)
  local value, message = json.decode(text, { max_bytes = M.BYTES })
  if value == nil then return nil, message end
  local list = type(value) == "table" and json.is_list(value) and value or { value }
  for _, one in ipairs(list) do
    if not M.kind(one) then return nil, "it is no JSON-RPC 2.0 message" end
  end
  return list
end

--- A number as the id that weir gave.
---@param id any
---@return integer|nil
function M.own_id(id)
  return type(id) == "number" and math.tointeger(id) or nil
end

--- Where an object of a message is, or an empty one.
---@param value any
---@return table
function M.object(value)
  return M.is_object(value) and value or {}
end

--- Seconds in a few digits, for a person: what is left of a deadline is not told to the microsecond.
---@param seconds number
---@return string
function M.seconds(seconds)
  return (seconds < 10 and "%.2g seconds" or "%.0f seconds"):format(seconds)
end

--- What a server says of its failure, for a person, and weir's code for it.
---@param err table of a response
---@return string message
---@return string code
function M.explain(err)
  local number = M.own_id(err.code)
  local text = type(err.message) == "string" and err.message ~= "" and err.message or "it says no more"
  if #text > TEXT_BYTES then text = require("weir.text.visible").head(text, TEXT_BYTES) .. "..." end
  return ("%s (%s)"):format(text, number or "no code"), CODES[number] or "failed"
end

return M

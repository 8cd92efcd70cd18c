--- What a tool gave, as the text that a model reads. Bounded: what is longer is cut, and says so. Pure.

local json = require "weir.native.json"

local M = {}

--- Bytes of a result that a model is given, unless told otherwise.
M.LIMIT = 65536

-- Cuts between characters.
local function cut(text, limit)
  if #text <= limit then return text end
  local last = utf8.offset(text, 0, limit + 1) or limit + 1
  return ("%s\n[cut: %d of %d bytes]"):format(text:sub(1, last - 1), last - 1, #text)
end

local function text_of_part(part)
  if part.type == "text" then return part.text end
  if part.type == "resource" and type(part.resource) == "table" and part.resource.text then return part.resource.text end
  return ("[%s, which is no text]"):format(tostring(part.type))
end

-- What an MCP server gave: a list of parts.
local function text_of_parts(parts)
  local texts = {}
  for index, part in ipairs(parts) do texts[index] = text_of_part(part) end
  return table.concat(texts, "\n")
end

--- The text of an output: a string as it is, what an MCP server gave by its parts, anything else as JSON.
---@param value any
---@param limit integer|nil bytes, default 64 KiB
---@return string
function M.text(value, limit)
  local text = value
  if type(value) == "table" and json.is_list(value.content) and value.is_error ~= nil then
    text = text_of_parts(value.content)
  elseif type(value) ~= "string" then
    text = json.encode(value) or tostring(value)
  end
  return cut(text, limit or M.LIMIT)
end

--- What a model is told of a call that went wrong.
---@param err { code: string, message: string }
---@return string
function M.refusal(err)
  return cut(("error (%s): %s"):format(err.code, err.message), 4096)
end

return M

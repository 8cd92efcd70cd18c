--- What models that need nothing have in common: finding the text that they are given and what is asked of them, and
--- answering in the form that was asked for. Pure; never yields.

local errors = require "weir.model.errors"
local json = require "weir.native.json"
local tokens = require "weir.text.tokens"

local M = {}

local INSTRUCTION_MAX = 400 -- bytes of a line or paragraph that is taken for an instruction

local HEAD = 1024           -- bytes at the beginning of a text in which it is looked for

-- A paragraph, a line, or the beginning of a line that asks for a number of words, before a colon and a text.
local FORMS = { "^(.-:)[ \t]*\r?\n[ \t]*\r?\n()", "^([^\r\n]-:)[ \t]*\r?\n()", "^([^\r\n:]-%d+%s+%a+[^\r\n:]-:)[ \t]+()" }

--- Parts an instruction from the text that follows it. What asks ends with a colon.
---@param text string
---@return string instruction "" when there is none
---@return string rest
function M.split(text)
  local head = text:sub(1, HEAD)
  for _, form in ipairs(FORMS) do
    local instruction, at = head:match(form)
    if instruction and #instruction <= INSTRUCTION_MAX and not instruction:find "\n[ \t\r]*\n" and text:find("%S", at) then
      return instruction, text:sub(at)
    end
  end
  return "", text
end

---@class weir.model.Given
---@field text string         of the last message of the user, without what asks
---@field instruction string  what asks: before the text, and in messages of the system
---@field input_tokens integer words of all messages

--- What a model is given.
---@param request table
---@return weir.model.Given
function M.given(request)
  local asks, last, words = {}, "", 0
  for _, message in ipairs(request.messages) do
    words = words + tokens.count(message.content or "")
    if message.role == "system" then asks[#asks + 1] = message.content end
    if message.role == "user" then last = message.content end
  end
  local instruction, text = M.split(last)
  asks[#asks + 1] = instruction
  return { text = text, instruction = table.concat(asks, "\n"), input_tokens = words }
end

--- The number that an instruction names before one of some words, such as 20 in "at most 20 words".
---@param instruction string
---@param nouns table<string, boolean>
---@return integer|nil
function M.number_of(instruction, nouns)
  for digits, noun in instruction:lower():gmatch "(%d+)%s+(%a+)" do
    if nouns[noun] and #digits < 9 then return math.max(1, math.tointeger(tonumber(digits))) end
  end
end

--- The text up to the first of the sequences that are to end it.
---@param text string
---@param stops string[]|nil
---@return string
function M.until_stop(text, stops)
  local first = #text + 1
  for _, stop in ipairs(stops or {}) do
    local at = stop ~= "" and text:find(stop, 1, true)
    if at and at < first then first = at end
  end
  return text:sub(1, first - 1)
end

--- Why a request cannot be met; nil when it can.
---@param request table
---@param name string of the module
---@return string|nil message
function M.unmet(request, name)
  local choice = request.tool_choice
  if choice == "required" or type(choice) == "table" then
    return ("%s: a model that needs nothing calls no tools; leave tool_choice out or name another model"):format(name)
  end
end

-- Structured output --------------------------------------------------------------------------------

local function is_of(schema, kind)
  if type(schema) ~= "table" or schema.type ~= kind then return false end
  return kind ~= "array" or type(schema.items) == "table" and schema.items.type == "string"
end

-- The one field of an object that takes the value; nil when there is none, or when others are required too.
local function field_for(schema, kind)
  local found
  for name, inner in pairs(type(schema.properties) == "table" and schema.properties or {}) do
    if is_of(inner, kind) and (not found or name < found) then found = name end
  end
  for _, name in ipairs(schema.required or {}) do
    if name ~= found and is_of((schema.properties or {})[name], kind) then found = name end
  end
  for _, name in ipairs(schema.required or {}) do
    if name ~= found then return nil end
  end
  return found
end

local function bounded(value, schema)
  if type(value) ~= "table" or not schema.maxItems then return value end
  return json.list(table.move(value, 1, math.min(#value, schema.maxItems), 1, {}))
end

--- A text or a list of texts in the form of a schema: by itself, or as the field of an object that takes it.
---@param value string|string[]
---@param schema table
---@return any|nil shaped
---@return string|nil message
function M.shaped(value, schema)
  local kind = type(value) == "string" and "string" or "array"
  if is_of(schema, kind) then return bounded(value, schema) end
  local name = schema.type == "object" and field_for(schema, kind)
  if not name then
    return nil, ("the schema has no place for %s alone"):format(kind == "string" and "a text" or "a list of texts")
  end
  return { [name] = bounded(value, schema.properties[name]) }
end

--- Gives out an answer: its pieces one after the other, or in the form of the schema that was asked for.
---@param answer weir.model.Answer
---@param request table
---@param pieces string[] of a text
---@param value string|string[] for structured output
---@return table|nil response
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail
function M.answer(answer, request, pieces, value)
  if request.schema then
    local shaped, message = M.shaped(value, request.schema)
    if not shaped then return errors.refuse("invalid_request", message) end
    pieces = { json.encode(shaped) }
  end
  for _, piece in ipairs(pieces) do answer:text(piece) end
  answer:usage { output_tokens = tokens.count(table.concat(pieces)) }
  answer.finish = answer.finish or "stop"
  return answer:response()
end

return M

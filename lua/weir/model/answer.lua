--- One answer of a model while it comes: what was given out, what has been used, and what it is in the end.
---
--- Model modules tell it each delta; it passes on those that somebody waits for and keeps all of them, so that whatever
--- breaks, what came before is known. Text goes out only where a stream was asked for, usage always.

local deltas = require "weir.model.deltas"
local errors = require "weir.model.errors"
local json = require "weir.native.json"

local M = {}

---@class weir.model.Answer
---@field finish string|nil  why the model ended, once it has said so
---@field model string|nil   as the provider names it
---@field id string|nil
---@field limits table|nil   see weir.model.limits
---@field signature string|nil of the reasoning
local Answer = {}
Answer.__index = Answer

--- An answer to a request.
---@param ctx table emit(delta)
---@param request table see the contract of model modules
---@return weir.model.Answer
function M.new(ctx, request)
  return setmetatable({ ctx = ctx, request = request, numbering = deltas.numbering(),
    collector = deltas.collector { first_call = deltas.count_calls(request.messages or {}) + 1 } }, Answer)
end

--- Takes a delta, and gives it out. Waits while the one who reads is behind.
---@param delta table
function Answer:add(delta)
  self.collector:add(delta)
  if self.request.stream or delta.usage then self.ctx:emit(delta) end
end

--- Takes text; nothing when it is none.
---@param text any
---@param field "text"|"reasoning"|"refusal"|nil
function Answer:text(text, field)
  if type(text) ~= "string" or text == "" then return end
  field = field or "text"
  self.collector[field]:add(text)
  if self.request.stream then self.ctx:emit { [field] = text } end
end

local function whole_number(value)
  return type(value) == "number" and value >= 0 and math.tointeger(value) or nil
end

--- Takes counts of tokens as far as they are numbers; what is unknown stays unknown.
---@param counts { input_tokens: any, output_tokens: any, cached_tokens: any, reasoning_tokens: any }
function Answer:usage(counts)
  local usage, known = {}, self.collector.usage or {}
  for _, name in ipairs { "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens" } do
    local count = whole_number(counts[name])
    if count and count ~= known[name] then usage[name] = count end
  end
  if next(usage) then self:add { usage = usage } end
end

--- Takes a piece of a tool call, or a whole one.
---@param index integer|nil as the provider numbers it
---@param id string|nil
---@param name string|nil
---@param arguments string|table|nil a piece of text, or all of them
function Answer:tool_call(index, id, name, arguments)
  if type(id) ~= "string" then id = nil end
  if type(name) ~= "string" then name = nil end
  local place = self.numbering:place(math.tointeger(index), id, name)
  if type(arguments) == "table" then arguments = json.encode(arguments) end
  if type(arguments) ~= "string" then arguments = nil end
  self:add { tool_call = { index = place, id = id, name = name, arguments = arguments } }
end

--- A refusal that says what had been given out and used before.
---@param class weir.model.Class
---@param message string
---@param fields table|nil
---@return nil
---@return string message
---@return string code
---@return weir.model.Detail detail
function Answer:refuse(class, message, fields)
  local detail = { usage = self.collector.usage, limits = self.limits }
  local text = self.collector:text_so_far()
  if text ~= "" then detail.text = text end
  for name, value in pairs(fields or {}) do detail[name] = value end
  return errors.refuse(class, message, detail)
end

local function refuses(self, response)
  local why = response.message.refusal
  if not why and response.finish ~= "content_filter" and response.finish ~= "refusal" then return nil end
  local message = response.finish == "content_filter" and "a content filter stopped the answer" or "the model refuses to answer"
  if why then message = ("%s: %s"):format(message, errors.shown(why)) end
  return { self:refuse("refusal", message, { response = response }) }
end

-- A structured answer is taken whole or not at all.
local function value_of(self, response)
  local text = response.message.content
  if response.finish == "length" then
    return nil, { self:refuse("protocol", "the structured answer was cut off at max_tokens; raise it", { at_once = true }) }
  end
  local value, message = json.decode(text)
  if message then return nil, { self:refuse("protocol", "a structured answer was asked for, the model gave no JSON: " .. message) } end
  return value
end

--- Whether the model has said anything at all.
---@return boolean
function Answer:is_empty()
  return not self.finish and self.collector:is_empty()
end

--- How long what the model has said is, in bytes.
---@return integer
function Answer:size()
  return self.collector:size()
end

--- What the answer is in the end.
---@return table|nil response
---@return string|nil message
---@return string|nil code
---@return weir.model.Detail|nil detail class `refusal`, or `protocol` where structured output is none
function Answer:response()
  local response = self.collector:response { finish = self.finish, model = self.model, id = self.id }
  response.limits, response.message.reasoning_signature = self.limits, self.signature
  local refusal = refuses(self, response)
  if not refusal and self.request.schema and not response.message.tool_calls then
    response.value, refusal = value_of(self, response)
  end
  if refusal then return table.unpack(refusal, 1, 4) end
  return response
end

return M

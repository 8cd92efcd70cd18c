--- What a model is asked: one shape for every provider. Checked and completed here, so that a model module need not doubt
--- what it is given. Pure.

local failure = require "weir.failure"
local json = require "weir.native.json"
local schema = require "weir.schema"
local value_of = require "weir.value"

local M = {}

local ANY_OBJECT = { type = "object" }

local CALL = { type = "object", additionalProperties = false, required = { "id", "name" }, properties = {
  id = { type = "string" }, name = { type = "string" }, arguments = ANY_OBJECT, raw = { type = "string" }, problem = { type = "string" } } }

local MESSAGE = { type = "object", additionalProperties = false, required = { "role", "content" }, properties = {
  role = { enum = { "system", "user", "assistant", "tool" } }, content = { type = "string" }, reasoning = { type = "string" },
  reasoning_signature = { type = "string" },
  refusal = { type = "string" }, tool_calls = { type = "array", items = CALL }, tool_call_id = { type = "string" },
  is_error = { type = "boolean" } } }

local TOOL = { type = "object", additionalProperties = false, required = { "name" }, properties = {
  name = { type = "string", pattern = "^[A-Za-z0-9_.-]{1,128}$" }, description = { type = "string" }, parameters = ANY_OBJECT } }

local REQUEST = { type = "object", additionalProperties = false, required = { "messages" }, properties = {
  messages = { type = "array", minItems = 1, items = MESSAGE },
  tools = { type = "array", items = TOOL },
  tool_choice = { oneOf = { { enum = { "auto", "none", "required" } },
    { type = "object", additionalProperties = false, required = { "name" }, properties = { name = { type = "string" } } } } },
  schema = ANY_OBJECT, schema_name = { type = "string", pattern = "^[A-Za-z0-9_-]{1,64}$" },
  stop = { type = "array", items = { type = "string", minLength = 1 } },
  max_tokens = { type = "integer", minimum = 1 }, temperature = { type = "number", minimum = 0 },
  top_p = { type = "number", exclusiveMinimum = 0, maximum = 1 }, seed = { type = "integer" },
  reasoning = { enum = { "low", "medium", "high" } },
  timeout = { type = "number", exclusiveMinimum = 0 }, idle_timeout = { type = "number", exclusiveMinimum = 0 },
  metadata = ANY_OBJECT } }

local validate

-- A text stands for a conversation: what is asked, and before it who answers.
local function messages_of(given)
  if given.messages ~= nil then
    if given.prompt ~= nil then failure.raise("invalid", "a request has `messages` or a `prompt`, not both") end
    return given.messages
  end
  if given.prompt == nil then failure.raise("invalid", "a request has `messages`, or a `prompt`") end
  return { { role = "user", content = given.prompt } }
end

local function is_system(message)
  return type(message) == "table" and message.role == "system"
end

local function with_system(messages, system)
  if system == nil then return messages end
  if is_system(messages[1]) then failure.raise("invalid", "a request has `system`, or messages that begin with it, not both") end
  return table.move(messages, 1, #messages, 2, { { role = "system", content = system } })
end

local OWN = { prompt = true, system = true }

-- What a request is made of besides its shape: who hears what comes, what it is about.
local NOT_ASKED = { emit = true, label = true, model = true, cache = true }

--- A checked request of what was given: `messages`, or a `prompt` and perhaps `system`. Raises `invalid`.
---@param given table
---@return weir.model.Request
function M.check(given)
  if type(given) ~= "table" then failure.raise("invalid", "a request is a table, got %s", value_of.show(given)) end
  local request = {}
  for name, value in pairs(given) do
    if not OWN[name] and not NOT_ASKED[name] then request[name] = value end
  end
  local messages = messages_of(given)
  if type(messages) ~= "table" then failure.raise("invalid", "messages: a list expected, got %s", value_of.show(messages)) end
  request.messages = json.list(with_system(table.move(messages, 1, #messages, 1, {}), given.system))
  validate = validate or assert(schema.compile(REQUEST, { trusted = true }))
  local fits, errors = validate(request, "request")
  if not fits then failure.raise("invalid", "%s", errors[1].message) end
  return request
end

--- What tells one request from another, without its messages, which are told apart by their hashes.
---@param request weir.model.Request
---@return table
function M.settings(request)
  local settings = {}
  for name, value in pairs(request) do
    if name ~= "messages" then settings[name] = value end
  end
  return settings
end

return M

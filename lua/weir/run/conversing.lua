--- Model, tool, model: asks a model, does what tools it calls, and asks again with what they gave, until it answers. Every
--- call of the model and of a tool is a step in the journal, so that after a crash the conversation goes on where it was.

local failure = require "weir.failure"
local flow = require "weir.run.flow"
local json = require "weir.native.json"
local offer = require "weir.tool.offer"
local result = require "weir.tool.result"
local suggest = require "weir.suggest"
local tooling = require "weir.run.tooling"
local value_of = require "weir.value"

local M = {}

local ROUNDS, CALLS = 16, 64 -- at most, unless told otherwise

local OWN = { "tools", "client_tools", "rounds", "calls", "limits", "is_trusted", "result_bytes", "on_call" }

local function names_of(tools)
  local names = {}
  for index, tool in ipairs(tools) do names[index] = tool.name end
  return names
end

local function by_name(tools)
  local index = {}
  for _, tool in ipairs(tools) do index[tool.name] = tool end
  return index
end

local function client_tools_of(given)
  local tools = given.client_tools
  if tools == nil then return {} end
  if type(tools) ~= "table" then failure.raise("invalid", "client_tools: a list expected, got %s", value_of.show(tools)) end
  for place, tool in ipairs(tools) do
    if type(tool) ~= "table" or type(tool.name) ~= "string" then
      failure.raise("invalid", "client_tools[%d]: {name, description, parameters} expected, got %s", place - 1, value_of.show(tool))
    end
  end
  return tools
end

local function answer(call, text, is_error)
  return { role = "tool", tool_call_id = call.id, content = text, is_error = is_error or nil }
end

-- What cannot be called is told to the model, which may try again.
local function refusal(self, call)
  local tool = self.by_name[call.name]
  if not tool then
    return ("error (not_found): there is no tool '%s'%s; there are %s"):format(call.name, suggest.hint(call.name, self.names),
      table.concat(self.names, ", "))
  end
  local wrong = offer.refusal(tool, call)
  return wrong and ("error (invalid): tool '%s': %s"):format(call.name, wrong)
end

-- The calls of a message that can be made, as steps.
local function steps_of(self, calls)
  local steps, step_of = {}, {}
  for index, call in ipairs(calls) do
    if not refusal(self, call) then
      local tool = self.by_name[call.name]
      local step = tooling.step(self.ctx, tool, ("%d.%s"):format(index, tool.name), call.arguments, self.is_tainted)
      steps[#steps + 1], step_of[index] = step, step
    end
  end
  return steps, step_of
end

local function told(self, call, step, outcome)
  if outcome.status == "finished" then
    step.on_consent()
    local value = outcome.value
    local is_error = type(value) == "table" and value.is_error == true
    return answer(call, result.text(value, self.result_bytes), is_error)
  end
  return answer(call, result.refusal(failure.of(outcome.value)), true)
end

-- Makes the calls of a message side by side; what each gave, in the order of the calls.
local function call_tools(self, calls)
  self.made = self.made + #calls
  if self.made > self.calls then failure.raise("limit", "the model has called tools more than %d times", self.calls) end
  local steps, step_of = steps_of(self, calls)
  local outcomes = #steps > 0 and flow.perform_all(self.ctx, "tools", steps) or {}
  local messages = {}
  for index, call in ipairs(calls) do
    local step = step_of[index]
    messages[index] = step and told(self, call, step, outcomes[step.name]) or answer(call, refusal(self, call), true)
    if step and not step.tool.is_trusted then self.is_tainted = true end
    if self.on_call then self.on_call(call, messages[index]) end
  end
  return messages
end

local function within(self, response)
  for name, limit in pairs(self.limits) do
    local used = response.usage[name] or name == "tokens" and (response.usage.input_tokens or 0) + (response.usage.output_tokens or 0) or 0
    self.used[name] = (self.used[name] or 0) + used
    if self.used[name] >= limit then failure.raise("limit", "the conversation has used its %g %s", limit, name) end
  end
end

-- What the client of the conversation does itself is handed out to it.
local function is_for_client(self, calls)
  for _, call in ipairs(calls) do
    if self.of_client[call.name] then return true end
  end
  return false
end

local function state_of(ctx, given)
  local tools = tooling.offered(ctx, given.tools or ctx._step.tools or {})
  return { ctx = ctx, tools = tools, by_name = by_name(tools), names = names_of(tools), rounds = given.rounds or ROUNDS,
    calls = given.calls or CALLS, limits = given.limits or {}, used = {}, made = 0, is_tainted = given.is_trusted ~= true,
    of_client = by_name(client_tools_of(given)),
    result_bytes = given.result_bytes, on_call = given.on_call }
end

local function request_of(self, given)
  local request = {}
  for name, value in pairs(given) do request[name] = value end
  for _, name in ipairs(OWN) do request[name] = nil end
  if given.prompt then request.prompt, request.messages = nil, { { role = "user", content = given.prompt } } end
  if type(request.messages) ~= "table" then
    failure.raise("invalid", "messages: a list, or a prompt, expected, got %s", value_of.show(request.messages))
  end
  if given.system then
    request.system = nil
    request.messages = table.move(request.messages, 1, #request.messages, 2, { { role = "system", content = given.system } })
  end
  request.messages = json.list(table.move(request.messages, 1, #request.messages, 1, {}))
  local definitions = offer.definitions(self.tools)
  for _, tool in ipairs(given.client_tools or {}) do definitions[#definitions + 1] = tool end
  if #definitions > 0 then request.tools = definitions end
  return request
end

--- Asks until there is an answer. Waits. Raises as `ctx:chat` does, and `limit` when there was none within the rounds, calls or
--- limits.
---@param ctx weir.Context
---@param given table as for `ctx:chat`, and: tools (names, {use, approve_if, sticky, has_consequences, is_trusted}, or functions {name,
---   description, parameters, call}; default: those of the step), client_tools ({name, description, parameters}, whose calls are
---   handed out), rounds (16), calls (64), limits {tokens, usd},
---   is_trusted (nobody but the owner wrote what the model reads), result_bytes (65536)
---@return weir.model.Response response the last one, and `messages`: the whole conversation
function M.converse(ctx, given)
  local self = state_of(ctx, given)
  local request = request_of(self, given)
  for _ = 1, self.rounds do
    local response = ctx:chat(request)
    local messages = request.messages
    messages[#messages + 1] = response.message
    local calls = response.message.tool_calls
    if not calls or #calls == 0 or is_for_client(self, calls) then
      response.messages = messages
      return response
    end
    within(self, response)
    local told_messages = call_tools(self, calls)
    table.move(told_messages, 1, #told_messages, #messages + 1, messages)
    if type(request.tool_choice) == "table" or request.tool_choice == "required" then request.tool_choice = "auto" end
  end
  failure.raise("limit", "the model has not come to an answer within %d rounds", self.rounds)
end

--- Calls one tool by its name. Waits. Raises what it raises; `invalid` when its arguments do not fit.
---@param ctx weir.Context
---@param name string as a step's `tools` name it
---@param input table
---@return any output
function M.tool(ctx, name, input)
  local tools = tooling.offered(ctx, { name })
  if #tools ~= 1 then failure.raise("invalid", "'%s' stands for %d tools; name one", name, #tools) end
  local wrong = offer.refusal(tools[1], { name = name, arguments = input })
  if wrong then failure.raise("invalid", "tool '%s': %s", name, wrong) end
  return flow.perform(ctx, tooling.step(ctx, tools[1], tools[1].name, input, false))
end

return M

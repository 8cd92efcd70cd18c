--- Asks a language model, with whatever tools its step offers. Which model it is, the step or the settings say.

local M = {
  kind = "agent", name = "ask", api = 1, asks_model = true,
  doc = "Asks a language model",
  needs = { prompt = "string?", messages = "array?", system = "string?", schema = "object?", tools = "array?", tool_choice = "any?",
    max_tokens = "integer?", temperature = "number?", stop = "string[]?" },
  gives = { text = "string", value = "any?", model = "string", finish = "string", tool_calls = "array?" },
  options = {
    system = "string?",                              -- who answers, unless the input says it
    schema = "object?",                              -- JSON Schema of the answer, which becomes `value`
    max_tokens = "integer?",
    temperature = "number?",
    stop = "string[]?",
    reasoning = { enum = { "low", "medium", "high" }, optional = true },
    rounds = "integer?",                             -- model calls at most, where tools are offered
    stream = { type = "boolean", default = true },   -- hands on the text as it comes
    trusted = { type = "boolean", default = false }, -- nobody but the owner wrote what the model reads
  },
}

local function begins_with_system(messages)
  local first = type(messages) == "table" and messages[1]
  return type(first) == "table" and first.role == "system"
end

-- What the input says goes before the options.
local ASKED = { "system", "schema", "max_tokens", "temperature", "stop", "reasoning" }

--- Asks, calls the tools that the model asks for, and gives its answer. Waits.
---@param ctx weir.Context
---@param input { prompt: string?, messages: table[]?, system: string?, schema: table?, tools: table[]?, max_tokens: integer?,
---  temperature: number?, stop: string[]? } tools: definitions of tools that are not called here: such a call is the answer
---@return { text: string, value: any, model: string, finish: string, tool_calls: table[]? }
function M.execute(ctx, input)
  local options = ctx.options
  local request = { prompt = input.prompt, messages = input.messages, client_tools = input.tools, tool_choice = input.tool_choice,
    rounds = options.rounds, is_trusted = options.trusted, emit = options.stream }
  for _, name in ipairs(ASKED) do
    request[name] = input[name]
    if request[name] == nil then request[name] = options[name] end
  end
  if begins_with_system(input.messages) then request.system = nil end
  local answer = ctx:converse(request)
  return { text = answer.message.content, value = answer.value, model = answer.model, finish = answer.finish,
    tool_calls = answer.message.tool_calls }
end

return M

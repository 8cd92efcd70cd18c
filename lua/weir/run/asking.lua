--- What a context asks of language models: one answer (`chat`), vectors (`embed`), or work that needs tools (`converse`).
--- Each call is a step of its own below the one that asks, found again by its order.

local context = require "weir.run.context"
local failure = require "weir.failure"
local flow = require "weir.run.flow"
local retry = require "weir.run.retry"

local methods = context.methods

local chat_kind, embed_kind, conversation_of, request_of -- loaded by the first call: most runs ask no model

local function load()
  chat_kind, embed_kind = require "weir.run.kinds.chat", require "weir.run.kinds.embed"
  conversation_of, request_of = require "weir.model.conversation", require "weir.model.request"
end

local function conversation(ctx)
  local own = rawget(ctx, "_conversation")
  if not own then
    own = conversation_of.new()
    ctx._conversation = own
  end
  return own
end

-- Text goes to the step's stream; what a model that is asked again takes back, is taken back there.
local function speaker(ctx)
  local sent = 0
  return function(delta)
    if delta.restart and delta.restart < sent then
      ctx._stream:take_back(sent - delta.restart)
      sent = delta.restart
    end
    if delta.text and delta.text ~= "" then
      sent = sent + #delta.text
      ctx:emit(delta.text)
    end
  end
end

-- Who hears an answer as it comes: `emit = true` is whoever reads the step's stream, a function hears each piece.
local function hearer(ctx, given)
  if given.emit == nil or given.emit == false then return nil end
  if given.emit == true then return speaker(ctx) end
  if type(given.emit) ~= "function" then failure.raise("invalid", "emit: true or a function expected, got %s", type(given.emit)) end
  return given.emit
end

local function one_attempt(name, kind, input, asked)
  return { name = name, kind = kind, input = function() return input end, asked = asked, retry = retry.policy(), is_simple = true }
end

--- Asks a language model. Waits until it has answered. Which model, is what the step's field `model` says, or the setting.
--- Raises {code, message, class}: `invalid` (the request), `limit` (a budget, a context that is too long), `denied`, `rejected`,
--- `unavailable`, `timeout`, ...; class says more, see docs/models.md.
---@param given { messages: table[]?, prompt: string?, system: string?, model: any, schema: table?, tools: table[]?, tool_choice: any,
---   stop: string[]?, max_tokens: integer?, temperature: number?, top_p: number?, seed: integer?, reasoning: string?, timeout: number?,
---   idle_timeout: number?, emit: boolean|fun(delta: table)?, label: string?, cache: number? }
---@return weir.model.Response {message, finish, usage, value, model, id}
function methods:chat(given)
  if not chat_kind then load() end
  local request = request_of.check(given)
  local hashes, settings = conversation_of.hashes(request.messages), request_of.settings(request)
  local asked = { request = request, hashes = hashes, settings = settings, emit = hearer(self, given),
    can_roll_back = type(given.emit) ~= "function", conversation = conversation(self),
    model = context.remedied_model(self) or given.model or self._step.model or self._frame.run.model,
    ttl = given.cache or self._step.cache, label = given.label or self._frame.run.plan.name .. "/" .. self._step.name }
  local response = flow.perform(self, one_attempt("chat", chat_kind, { messages = table.concat(hashes), settings = settings }, asked))
  asked.conversation:heard(flow.latest_key(self), hashes, response.message)
  if asked.emit and not asked.was_heard and response.message.content ~= "" then asked.emit { text = response.message.content } end
  return response
end

--- Asks for the vectors of texts. Waits. Raises as `chat` does.
---@param texts string[]
---@param options { model: string? }|nil
---@return { vectors: number[][], usage: table, model: string }
function methods:embed(texts, options)
  if not embed_kind then load() end
  local model = context.remedied_model(self) or options and options.model or self._step.model or self._frame.run.model
  local asked = { texts = texts, model = model }
  return flow.perform(self, one_attempt("embed", embed_kind, { texts = texts, model = asked.model }, asked))
end

--- Asks a model that may call tools, and does what it calls, until it answers. Waits. See `weir.run.conversing`.
---@param given table
---@return weir.model.Response response and `messages`: the whole conversation
function methods:converse(given)
  return require("weir.run.conversing").converse(self, given)
end

--- Calls a tool. Waits. Raises what it raises.
---@param name string an agent, agents/NAME, pipelines/NAME or mcp/SERVER/TOOL
---@param input table
---@return any output
function methods:tool(name, input)
  return require("weir.run.conversing").tool(self, name, input or {})
end

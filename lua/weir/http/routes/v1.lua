--- /v1: each pipeline that takes messages, as a model that programs made for OpenAI can ask.

local channel = require "weir.native.channel"
local completion = require "weir.http.completion"
local door = require "weir.http.door"
local failure = require "weir.failure"
local json = require "weir.native.json"
local lookup = require "weir.http.lookup"
local native = require "weir.native.scheduler"
local problem = require "weir.http.problem"

local PREFIX = "weir/"
local BUFFER = 64 -- items between the run and the client
local BEAT = 10   -- seconds between two comments while nothing comes

local HEADERS = { ["Content-Type"] = "text/event-stream; charset=utf-8", ["Cache-Control"] = "no-store", ["X-Accel-Buffering"] = "no",
  ["X-Content-Type-Options"] = "nosniff" }

-- Models ---------------------------------------------------------------------------------------------

local function properties_of(definition)
  local input = definition.normal.input
  if type(input) ~= "table" then return nil end
  if input.type == "object" or input["$ref"] then return input.properties or {} end
  return input
end

local function takes_messages(definition)
  local properties = properties_of(definition)
  return properties ~= nil and properties.messages ~= nil
end

local function model_of(definition)
  return { id = PREFIX .. definition.name, object = "model", created = (definition.loaded_at or 0) // 1000, owned_by = "weir" }
end

local function list(call)
  local data = json.list {}
  for _, name in ipairs(call.host.project:pipeline_names()) do
    local definition = call.host.project:pipeline(name)
    if definition and takes_messages(definition) then data[#data + 1] = model_of(definition) end
  end
  return 200, { object = "list", data = data }
end

local function find(host, model)
  local name = model:match "^weir/(.+)$" or model
  local definition = lookup.definition(host, name)
  if definition and takes_messages(definition) then return definition end
  local err = problem.new(404, "not_found", "there is no model '%s'; GET /v1/models lists them", model:sub(1, 100))
  error(err, 0)
end

local function show(call)
  return 200, model_of(find(call.host, PREFIX .. call.params.name))
end

-- Runs -----------------------------------------------------------------------------------------------

-- What the pipeline's input names, of what the request gives.
local function input_of(definition, body)
  local given, input = completion.read(body), {}
  for name in pairs(properties_of(definition)) do input[name] = given[name] end
  return input
end

-- The step whose text is the pipeline's answer, while it comes; nil: any that streams.
local function source_of(normal)
  local name = type(normal.output) == "string" and normal.output:match "^%$%.([a-z][a-z0-9_]*)"
  if name then return name end
  local last = normal.groups and normal.groups[#normal.groups]
  return last and #last.steps == 1 and last.steps[1].name or nil
end

local function is_conflict(err) return failure.of(err).code == "conflict" end

-- Whoever goes away before the run has ended leaves it, or cancels it where the pipeline says so.
local function leave(run, definition, log)
  if run.ended_ms or definition.normal.on_disconnect ~= "cancel" then return end
  native.spawn_root(function()
    local ok, err = pcall(run.engine.cancel, run.engine, run.id, "the client has gone")
    if ok or is_conflict(err) or not log then return end -- it has ended meanwhile
    log:error("a run whose client has gone could not be cancelled", { run = run.id, error = failure.of(err).message })
  end)
end

-- The run of a request, and the text that its answering step streams. Its client may go away while it is being started.
local function start(call, definition, wants_stream)
  local host, texts = call.host, channel.new(BUFFER)
  local source, sent = source_of(definition.normal), {}
  local function listener(event)
    if event.kind == "item" and wants_stream and type(event.item) == "string" and (not source or event.step:match "[^/]+$" == source) then
      texts:send(event.item)
      sent[event.step] = event.n
    elseif event.kind == "rewind" and sent[event.step] and sent[event.step] > event.items then
      texts:close("a step was tried again and said something else; ask again", "conflict") -- no such client takes text back
    elseif event.kind == "run" and event.status ~= "running" then
      texts:close()
    end
  end
  local has_gone = false
  local ok, run = pcall(door.detached, function()
    local begun = host.engine:start(definition, input_of(definition, call.body), { by = call.who.name, listener = listener })
    if has_gone then leave(begun, definition, host.log) end
    return begun
  end)
  if ok then return run, texts end
  has_gone = true
  texts:close() -- or the run would wait for somebody to read
  error(run, 0)
end

local function leaving(call, run, definition, texts)
  return setmetatable({}, { __close = function()
    texts:close()
    leave(run, definition, call.host.log)
  end })
end

local function head_of(run, call)
  return { id = "chatcmpl-" .. run.id, created = run.started_ms // 1000, model = call.body.model }
end

local function ended(run)
  if run.status == "finished" then return completion.answer(run.output) end
  local err = run.error or failure.new("failed", "run %s is %s", run.id, tostring(run.status))
  local raised = failure.new(err.code, "%s", err.message)
  raised.run = run.id
  error(raised, 0)
end

local function used_by(run)
  return function(name) return run.used and run:used(name) or 0 end
end

local function refusal_event(run, raised)
  local err = failure.of(raised)
  return ("data: %s\n\n"):format(json.encode(completion.refusal { status = 500, detail = err.message, code = err.code, run = run.id }))
end

-- Sends what comes until the run has left the host; false: the client has gone.
local function send_texts(request, head, texts, run)
  local sent = 0
  while true do
    local text, message, code = texts:recv(BEAT)
    if text then
      sent = sent + #text
      if not request:write(completion.piece(head, { content = text })) then return nil end
    elseif code == "timeout" then
      if not request:write ": still here\n\n" then return nil end
    elseif code == "conflict" then
      request:write(refusal_event(run, failure.new(code, "%s", message)))
      request:close()
      return nil
    else
      return sent
    end
  end
end

local function send_end(request, head, run, sent, wants_usage)
  run:wait()
  local ok, answer = pcall(ended, run)
  if not ok then return request:write(refusal_event(run, answer)) end
  if sent == 0 and answer.content ~= "" then request:write(completion.piece(head, { content = answer.content })) end
  if answer.tool_calls then request:write(completion.piece(head, { tool_calls = completion.indexed(answer.tool_calls) })) end
  request:write(completion.piece(head, {}, answer.finish))
  if wants_usage then request:write(completion.last(head, completion.usage(used_by(run)))) end
  request:write(completion.done)
end

local function stream(call, definition)
  local run, texts = start(call, definition, true)
  local _ <close> = leaving(call, run, definition, texts)
  local head, request = head_of(run, call), call.request
  local headers = { ["weir-run-id"] = run.id }
  for name, text in pairs(HEADERS) do headers[name] = text end
  if not request:stream(200, headers) then return end
  request:write(completion.piece(head, { role = "assistant", content = "" }))
  local sent = send_texts(request, head, texts, run)
  if not sent then return end
  local options = call.body.stream_options
  send_end(request, head, run, sent, type(options) == "table" and options.include_usage == true)
  request:close()
end

local function complete(call)
  local definition = find(call.host, call.body.model)
  if call.body.stream == true then return stream(call, definition) end
  local run, texts = start(call, definition, false)
  local _ <close> = leaving(call, run, definition, texts)
  run:wait()
  local answer = ended(run)
  return 200, completion.whole(head_of(run, call), answer, completion.usage(used_by(run))), { ["weir-run-id"] = run.id }
end

-- Routes ---------------------------------------------------------------------------------------------

local ANY = { type = "object" }

local function maybe(...) return { type = { ..., "null" } } end

local TEXT, OBJECT, NUMBER, INTEGER = maybe "string", maybe "object", maybe "number", maybe "integer"

local CALL = { type = "object", properties = { id = TEXT, ["function"] = { type = "object",
  properties = { name = { type = "string" }, arguments = { type = "string" } } } } }
local PART = { type = "object", required = { "type" }, properties = { type = { type = "string" }, text = { type = "string" },
  refusal = { type = "string" } } }
local MESSAGE = { type = "object", required = { "role" }, properties = { role = { type = "string" }, tool_call_id = TEXT,
  content = { type = { "string", "array", "null" }, items = PART }, tool_calls = { type = { "array", "null" }, items = CALL } } }
local TOOL = { type = "object", properties = { ["function"] = { type = "object", required = { "name" },
  properties = { name = { type = "string" }, description = TEXT, parameters = OBJECT } } } }
local FORMAT = { type = { "object", "null" }, properties = { json_schema = { type = "object", properties = { schema = ANY } } } }
local CHOICE = { type = { "string", "object", "null" }, properties = { ["function"] = { type = "object",
  properties = { name = { type = "string" } } } } }

return {
  { method = "POST", path = "/v1/chat/completions", role = "run", accepts = "application/json", handler = complete,
    refusal = completion.refusal,
    doc = "A run of the pipeline that `model` names (weir/NAME), as OpenAI's chat completions. Fields that are not known are left out.",
    body = { type = "object", required = { "model", "messages" }, properties = {
      model = { type = "string", minLength = 1, maxLength = 256 }, stream = { type = { "boolean", "null" } },
      messages = { type = "array", minItems = 1, items = MESSAGE }, tools = { type = { "array", "null" }, items = TOOL },
      tool_choice = CHOICE, response_format = FORMAT, stop = { type = { "string", "array", "null" }, items = { type = "string" } },
      temperature = NUMBER, top_p = NUMBER, max_tokens = INTEGER, max_completion_tokens = INTEGER, seed = INTEGER, user = TEXT,
      metadata = OBJECT, stream_options = OBJECT } },
    answers = { [200] = { doc = "The answer; with `stream` server-sent events.", schema = ANY } } },
  { method = "GET", path = "/v1/models", role = "read", handler = list, refusal = completion.refusal, doc = "Pipelines that take messages.",
    answers = { [200] = { doc = "The list.", schema = ANY } } },
  { method = "GET", path = "/v1/models/weir/{name}", role = "read", handler = show, refusal = completion.refusal,
    doc = "One of them.", answers = { [200] = { doc = "The model.", schema = ANY } } },
}

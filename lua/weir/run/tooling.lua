--- Calls of tools as steps: each is in the journal with a key and an idempotency key of its own, may need a person's consent,
--- and is a step of the kind of what it calls.

local agent_kind = require "weir.run.kinds.agent"
local child_kind = require "weir.run.kinds.child"
local condition = require "weir.condition"
local context = require "weir.run.context"
local failure = require "weir.failure"
local flow = require "weir.run.flow"
local json = require "weir.native.json"
local offer = require "weir.tool.offer"
local question = require "weir.run.question"
local retry = require "weir.run.retry"
local schema = require "weir.schema"

local M = {}

local STICKY = "consent %s"

--- The MCP servers of an engine, opened as they are needed.
---@param engine weir.Engine
function M.house(engine)
  local mcp = engine.mcp
  if not mcp then
    mcp = require("weir.mcp.house").new(engine.project.settings.mcp, { folder = engine.project.root, log = engine.log,
      on_tools_changed = engine.on_tools_changed })
    engine.mcp = mcp
  end
  return mcp
end

-- What a server offers is asked once in a step, and is the same in each of its attempts and lives.
local function served(ctx, server)
  local run = ctx._frame.run
  local function ask()
    local tools, message, code = M.house(run.engine):tools(server)
    if not tools then failure.raise(code or "unavailable", "%s", message) end
    local list = json.list {}
    for index, tool in ipairs(tools) do
      list[index] = { name = tool.name, description = tool.description, parameters = tool.parameters }
    end
    return list
  end
  if not run.journal then return ask() end
  return run.journal:choice(("%s/tools of %s"):format(ctx._key, server), ask)
end

--- The tools that a step offers, the same ones in every life of the run. Waits. Raises `not_found`, `invalid`, `unavailable`.
---@param ctx weir.Context
---@param given any[]
---@return weir.Tool[]
function M.offered(ctx, given)
  local run = ctx._frame.run
  local tools = offer.all(run.engine.project, given, function(server) return served(ctx, server) end)
  local modules, pipelines = {}, {}
  for _, tool in ipairs(tools) do
    if tool.source == "agent" then modules[#modules + 1] = "agents/" .. tool.of end
    if tool.source == "pipeline" then pipelines[#pipelines + 1] = tool.of end
  end
  flow.pin(ctx, modules, pipelines)
  return tools
end

-- A server asks a person something in the middle of a call.
local function elicit(frame, key)
  local count = 0
  return function(request)
    count = count + 1
    local record = question.ask(frame, ("%s/elicit#%d"):format(key, count), { kind = "approval",
      title = request.message or "an MCP server asks", show = { server = request.server, tool = request.tool }, form = request.schema })
    if record.decision == "approve" or record.decision == "edit" then return { action = "accept", content = record.answer or {} } end
    return { action = "decline" }
  end
end

local MCP = { name = "mcp" }

function MCP.execute(frame, step, key, input)
  local full = ("mcp/%s/%s"):format(step.tool.of, step.tool.tool)
  local result, message, code = M.house(frame.run.engine):call(full, input, { elicit = elicit(frame, key),
    on_progress = function(progress) frame.run:notify { kind = "progress", step = key, progress = progress } end })
  if not result then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
  return result
end

local FUNCTION = { name = "function" }

function FUNCTION.execute(frame, step, key, input)
  local output, message, code = step.tool.call(context.new(frame, step, key, input, 1), input)
  if output ~= nil then return output end
  if type(message) == "string" then failure.raise(failure.codes[code] and code or "failed", "%s", message) end
  return "done"
end

local KINDS = { agent = agent_kind, pipeline = child_kind, mcp = MCP, ["function"] = FUNCTION }

local function has_consent(run, tool)
  if not tool.sticky or not run.journal then return false end
  return run.journal.choices[STICKY:format(tool.name)] ~= nil or run.consents ~= nil and run.consents[tool.name] == true
end

-- Whether a person has to let a call through: always where somebody else's text may have asked for it, else as the
-- definition says.
local function needs_consent(run, tool, arguments, is_tainted)
  if not tool.has_consequences and not tool.approve_if then return false end
  if has_consent(run, tool) then return false end
  if is_tainted and tool.has_consequences then return true end
  if not tool.approve_if then return false end
  local test, message = condition.compile(tool.approve_if)
  if not test then failure.raise("invalid", "tool '%s': approve_if: %s", tool.name, message) end
  return test.test(arguments)
end

-- Whoever said yes once need not be asked again, if the tool says so.
local function note_consent(run, tool)
  if not tool.sticky or not run.journal or has_consent(run, tool) then return end
  run.consents = run.consents or {}
  run.consents[tool.name] = true
  run.journal:append { "choice", STICKY:format(tool.name), true }
end

--- A call as a step.
---@param ctx weir.Context
---@param tool weir.Tool
---@param name string of the step
---@param arguments table
---@param is_tainted boolean
---@return table step
function M.step(ctx, tool, name, arguments, is_tainted)
  local run = ctx._frame.run
  arguments = schema.defaults(tool.parameters, arguments)
  return { name = name, kind = KINDS[tool.source], tool = tool, agent = tool.source == "agent" and tool.of or nil,
    module = tool.source == "agent" and "agents/" .. tool.of or nil, pipeline = tool.source == "pipeline" and tool.of or nil,
    options = tool.options, input = function() return arguments end, retry = retry.policy(), is_simple = true,
    approve_if = function() return needs_consent(run, tool, arguments, is_tainted) end,
    asked_before = { approval = { title = function() return ("%s: may '%s' be called?"):format(run.plan.name, tool.name) end,
      show = function() return { tool = tool.name, source = tool.source, of = tool.of, arguments = arguments } end } },
    on_consent = function() note_consent(run, tool) end }
end

return M

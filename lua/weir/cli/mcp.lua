--- weir mcp: the servers of tools that the settings name, what they offer, and calling it by hand.

local client_of = require "weir.mcp.client"
local failure = require "weir.failure"
local house_of = require "weir.mcp.house"
local json = require "weir.native.json"
local session = require "weir.cli.session"
local settings_of = require "weir.settings"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local task = require "weir.task"
local text = require "weir.cli.text"

local M = {
  name = "mcp",
  summary = "Lists the MCP servers of the project and their tools, and calls a tool.",
  examples = { "mcp list", "mcp list files --json", "mcp call mcp/files/read '{\"path\": \"notes.md\"}'" },
  notes = "Servers stand in `weir.lua`: mcp = { NAME = { command = {...} } or { url = \"...\" } }. Each is started, or\n"
    .. "reached, and asked; then it is let go of. WHAT is a server for list, mcp/SERVER/TOOL for call.\n"
    .. "Exit status: 0 done, 1 a server did not answer, or the tool says that it failed, 6 no such server or tool.",
}

function M.declare(parser)
  parser:argument("action", "what to do"):choices { "list", "call" }
  parser:argument("what", "see below"):argname("WHAT"):args "?"
  parser:argument("arguments", "call: an object as JSON; {}"):argname("ARGUMENTS"):args "?"
end

local or_null = require("weir.value").or_null

local function shape_of(found)
  local tools = json.list {}
  for index, tool in ipairs(found.tools or {}) do
    tools[index] = { name = ("mcp/%s/%s"):format(found.name, tool.name), description = tool.description, parameters = tool.parameters }
  end
  local about = found.about or {}
  return { server = found.name, transport = found.transport, era = or_null(about.era), version = or_null(about.version), tools = tools,
    error = shape.failure(found.error) }
end

-- Asks one server. What is wrong with it is part of what was found.
local function look(house, name)
  local settings = house.settings[name]
  local found = { name = name, transport = settings.command and "stdio" or "http" }
  local client, message, code = house:client(name)
  if client then
    found.about = client:about()
    found.tools, message, code = client:tools()
  end
  if not found.tools then found.error = failure.new(code or "failed", "%s", message) end
  return found
end

-- All of them side by side; in the order of their names.
local function look_at(house, names)
  local list = {}
  local ok, err = task.within({}, function()
    for index, name in ipairs(names) do task.spawn(function() list[index] = look(house, name) end) end
  end)
  if not ok then error(err, 0) end
  return list
end

local function say_tools(context, found)
  local rows = {}
  for index, tool in ipairs(found.tools) do
    rows[index] = { ("  mcp/%s/%s"):format(found.name, tool.name), context.out:paint("dim", text.first_line(tool.description)) }
  end
  for _, line in ipairs(text.columns(rows)) do context.out:line((line:gsub("%s+$", ""))) end
end

local function say(context, found)
  if found.error then
    context.err:line(context.err:paint("red", "failed: ") .. text.safe(found.error.message))
    return
  end
  context.out:line(("%s  %s, MCP %s, %s"):format(found.name, found.transport, found.about.version, text.count(#found.tools, "tool")))
  say_tools(context, found)
end

local function names_of(house, given)
  if not given then return house:names() end
  if house.settings[given] then return { given } end
  local _, message, code = house:client(given)
  failure.raise(code, "%s", message)
end

local function list_all(arguments, context, house)
  if arguments.arguments then failure.raise("invalid", "mcp list takes at most one SERVER; `weir help mcp` has examples") end
  local names = names_of(house, arguments.what)
  if #names == 0 and not context.json then context.err:line "there are no MCP servers; the setting `mcp` in weir.lua names them" end
  local result = status.finished
  for _, found in ipairs(look_at(house, names)) do
    if context.json then context.out:line(shape.line(shape_of(found))) else say(context, found) end
    if found.error then result = status.failed end
  end
  return result
end

local function arguments_of(given)
  if not given then return {} end
  local value, message = json.decode(given)
  if value == nil then failure.raise("invalid", "ARGUMENTS: %s", message) end
  if type(value) ~= "table" or json.is_list(value) then
    failure.raise("invalid", "ARGUMENTS: an object expected, such as '{\"text\": \"ebb\"}'")
  end
  return value
end

local function refuse(message, code)
  local err = failure.new(code, "%s", message)
  if code == "unavailable" then err.status = status.failed end -- otherwise it is the store that is meant
  error(err, 0)
end

local function call_one(arguments, context, house)
  if not arguments.what then failure.raise("invalid", "mcp call takes mcp/SERVER/TOOL and its arguments; `weir help mcp` has examples") end
  local result, message, code = house:call(arguments.what, arguments_of(arguments.arguments))
  if not result then refuse(message, code) end
  if context.json then
    context.out:line(shape.line { content = result.content, structured = or_null(result.structured), is_error = result.is_error })
  else
    local to = result.is_error and context.err or context.out
    to:line(text.safe(client_of.text_of(result)))
  end
  return result.is_error and status.failed or status.finished
end

function M.run(arguments, context)
  local here = session.project()
  local settled = settings_of.resolve(here, {}, context.console.env)
  local house <close> = house_of.new(settled.mcp.value, { folder = here.root })
  return (arguments.action == "call" and call_one or list_all)(arguments, context, house)
end

return M

--- The command line: finds the command, gives it its arguments, and makes an exit status and a message
--- of whatever comes out.

local commands = require "weir.cli.commands"
local console = require "weir.cli.console"
local failure = require "weir.failure"
local native = require "weir.native.scheduler"
local status = require "weir.cli.status"

local M = {}

---@class weir.cli.Context
---@field console weir.cli.Console
---@field out weir.cli.Stream
---@field err weir.cli.Stream
---@field json boolean

local ALIASES = { ["-h"] = "help", ["--help"] = "help", ["-V"] = "version", ["--version"] = "version" }

local function unknown(name)
  if name:sub(1, 1) == "-" then
    failure.raise("invalid", "a command comes first, then its options, got '%s'; `weir help` lists the commands", name)
  end
  local hint = require("weir.suggest").hint(name, commands.names)
  if name:find "[./]" then hint = ("; did you mean 'weir run %s'?"):format(name) end
  failure.raise("invalid", "there is no command '%s'%s `weir help` lists them", name, hint == "" and ";" or hint)
end

local function has_json(arguments)
  for _, argument in ipairs(arguments) do
    if argument == "--json" then return true end
  end
  return false
end

local function execute(context, arguments)
  local given = arguments[1]
  if given == nil then return commands.load("help").run({}, context) end
  local name = ALIASES[given] or given
  if not commands.by_name[name] then unknown(given) end
  local parser = require "weir.cli.parser"
  local command = commands.load(name)
  local rest = table.move(arguments, 2, #arguments, 1, {})
  if parser.asks_for_help(rest) then
    context.out:write(parser.help(command))
    return status.finished
  end
  return command.run(parser.parse(command, rest), context)
end

-- An error that nobody foresaw is a defect of weir; it says where.
local function explain(err)
  if type(err) == "table" and err.code then return err end
  local found = failure.of(err)
  found.status, found.traceback = status.internal, debug.traceback(nil, 2)
  found.message = "internal error: " .. found.message
  return found
end

local function report(context, err)
  if context.json then
    context.out:line(require("weir.view.shape").line(require("weir.view.shape").refusal(err)))
  else
    local safe = require("weir.cli.text").safe
    context.err:line(context.err:paint("red", "weir: ") .. safe(err.message))
  end
  if err.traceback and err.status == status.internal then context.err:line(context.err:paint("dim", err.traceback)) end
end

local function finish(context, result)
  context.out:flush()
  context.err:flush()
  local failed = context.out.failed
  if failed and not failed:find "Broken pipe" and result == status.finished then
    context.err:line(("weir: what was to be printed could not be written: %s"):format(failed))
    return status.failed
  end
  return result
end

--- Runs a command. Waits.
---@param arguments string[] the command and its arguments
---@param options { stdout: table?, stderr: table?, env: function? }|nil see `console.new`
---@return integer status of `status.lua`
function M.main(arguments, options)
  local to = console.new(options)
  local context = { console = to, out = to.out, err = to.err, json = has_json(arguments) }
  local ok, result = xpcall(execute, explain, context, arguments)
  if not ok then
    native.recover()
    report(context, result)
    result = status.of_error(result)
  end
  return finish(context, result)
end

-- A host that has the store carries the command out.
local function elsewhere(arguments)
  if not commands.is_served(arguments[1]) then return nil end
  local ok, result = pcall(require("weir.cli.remote").attempt, arguments)
  if ok then return result end
  native.recover()
  return nil -- whatever is wrong is told by the command itself
end

return setmetatable(M, { __call = function(_, ...)
  local arguments = { ... }
  return elsewhere(arguments) or M.main(arguments)
end })

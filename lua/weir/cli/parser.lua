--- From a command's declaration to its arguments. Only the parser of the command at hand is built.

local argparse = require "argparse"
local failure = require "weir.failure"

local M = {}

---@class weir.cli.Command
---@field name string
---@field summary string
---@field examples string[] command lines without `weir`, the most common first
---@field notes string|nil what help says below the options
---@field declare fun(parser: table) adds arguments and options
---@field run fun(arguments: table, context: weir.cli.Context): integer gives the exit status

local function build(command)
  local parser = argparse("weir " .. command.name, nil):add_help(false):usage_max_width(100):help_max_width(100)
  command.declare(parser)
  parser:flag("--json", "print JSON, for programs")
  parser:flag("-h --help", "print this help")
  return parser
end

--- The help of a command; begins with an example.
---@param command weir.cli.Command
---@return string ends in a newline
function M.help(command)
  local lines = {}
  for _, example in ipairs(command.examples) do lines[#lines + 1] = "    weir " .. example end
  lines[#lines + 1] = ""
  lines[#lines + 1] = command.summary
  lines[#lines + 1] = ""
  lines[#lines + 1] = build(command):get_help()
  if command.notes then
    lines[#lines + 1] = ""
    lines[#lines + 1] = command.notes
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Whether arguments ask for help instead of work.
---@param arguments string[]
---@return boolean
function M.asks_for_help(arguments)
  for _, argument in ipairs(arguments) do
    if argument == "--" then return false end
    if argument == "-h" or argument == "--help" then return true end
  end
  return false
end

-- argparse says "unknown option '--jsn'\nDid you mean '--json'?"
local function reworded(message)
  message = message:gsub("\nDid you mean one of these: (.-)%?$", "; did you mean one of %1?")
  message = message:gsub("\nDid you mean (.-)%?$", "; did you mean %1?"):gsub("\n", "; ")
  return message:sub(-1) == "?" and message or message .. ";"
end

--- Parses arguments. Raises {code = "invalid", message} when they do not fit.
---@param command weir.cli.Command
---@param arguments string[]
---@return table by the names of options
function M.parse(command, arguments)
  local ok, result = build(command):pparse(arguments)
  if ok then return result end
  failure.raise("invalid", "%s `weir help %s` explains the command", reworded(result), command.name)
end

return M

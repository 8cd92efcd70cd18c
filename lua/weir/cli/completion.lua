--- weir completion: what a shell needs to complete weir's commands and options.

local argparse = require "argparse"
local commands = require "weir.cli.commands"
local status = require "weir.cli.status"

local SHELLS = { "bash", "fish", "zsh" }

local M = {
  name = "completion",
  summary = "Prints a script with which a shell completes commands, options and their values.",
  examples = { "completion bash > ~/.local/share/bash-completion/completions/weir", "completion zsh > ~/.zfunc/_weir",
    "completion fish > ~/.config/fish/completions/weir.fish" },
  notes = "For this shell alone: eval \"$(weir completion bash)\".",
}

function M.declare(parser)
  parser:argument("shell", "bash, zsh or fish"):argname("SHELL"):choices(SHELLS)
end

-- One parser of all commands, as the generators need it.
local function whole_parser()
  local parser = argparse("weir", "orchestrates pipelines of agents"):add_help(false)
  for _, name in ipairs(commands.names) do
    local command = commands.load(name)
    local inner = parser:command(name, commands.by_name[name].summary):add_help(false)
    command.declare(inner)
    inner:flag("--json", "print JSON, for programs")
    inner:flag("-h --help", "print this help")
  end
  return parser
end

--- The script for a shell.
---@param shell "bash"|"zsh"|"fish"
---@return string
function M.script(shell)
  local parser = whole_parser()
  return parser["get_" .. shell .. "_complete"](parser)
end

function M.run(arguments, context)
  context.out:write(M.script(arguments.shell))
  return status.finished
end

return M

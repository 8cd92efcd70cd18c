--- weir help: the overview, or one command.

local commands = require "weir.cli.commands"
local failure = require "weir.failure"
local suggest = require "weir.suggest"

local M = {
  name = "help",
  summary = "Explains a command, or lists them all.",
  examples = { "help run", "help" },
}

function M.declare(parser)
  parser:argument("command", "what to explain"):args "?"
end

local EXAMPLES = [[
    weir run hello --set name=Ada          run pipelines/hello.lua with an input
    weir show last                         what happened in it
    weir new shop && cd shop               a project of your own

weir runs pipelines of agents: Lua, YAML or JSON files whose every step is kept,
so that a run goes on where it was, whatever happens to the machine.
]]

local FOOT = [[
`weir help COMMAND` or `weir COMMAND --help` explains one. Every command takes --json.
RUN is an id, the beginning of one, or `last`. NAME is pipelines/NAME.lua, .yaml or .json.
The store is .weir/ of the project, or --store DIR, or WEIR_STORE.
]]

local function overview(out)
  out:line(EXAMPLES)
  for _, family in ipairs(commands.families) do
    out:line(out:paint("bold", family.title))
    for _, entry in ipairs(family.entries) do out:line(("  %-9s %s"):format(entry.name, entry.summary)) end
    out:line()
  end
  out:write(FOOT)
end

local function as_json(out)
  local shape = require "weir.view.shape"
  for _, name in ipairs(commands.names) do
    out:line(shape.line { command = name, summary = commands.by_name[name].summary })
  end
end

function M.run(arguments, context)
  local name = arguments.command
  if name then
    if not commands.by_name[name] then
      local hint = suggest.hint(name, commands.names)
      failure.raise("invalid", "there is no command '%s'%s `weir help` lists them", name, hint == "" and ";" or hint)
    end
    context.out:write(require("weir.cli.parser").help(commands.load(name)))
  elseif arguments.json then
    as_json(context.out)
  else
    overview(context.out)
  end
  return 0
end

return M

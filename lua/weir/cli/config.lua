--- weir config: the settings of the project, and where each comes from.

local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local settings = require "weir.settings"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"

local M = {
  name = "config",
  summary = "Prints the settings of the project as they hold here.",
  examples = { "config", "config --origin", "config --json" },
  notes = "A flag of a command goes over the environment, that over `weir.lua` of the project, that over the default.\n"
    .. "Exit status: 0 printed, 2 `weir.lua` or a variable says what does not fit.",
}

function M.declare(parser)
  parser:flag("--origin", "say where each value comes from")
  session.declare_store(parser)
end

local function encoded(value)
  return sayable.encode(value, { canonical = true }) or tostring(value)
end

local function shown(value)
  if value == nil then return "" end
  if type(value) == "string" then return text.safe(value) end
  return text.safe(encoded(value))
end

local or_null = require("weir.value").or_null

local function print_json(context, settled)
  for _, name in ipairs(settings.names) do
    local one = settled[name]
    context.out:line(shape.line { name = name, value = or_null(settings.shown(name, one.value)), origin = one.origin, where = one.where })
  end
end

local function print_table(context, settled, with_origin)
  local rows = {}
  for _, name in ipairs(settings.names) do
    local one = settled[name]
    if one.value ~= nil or with_origin then
      rows[#rows + 1] = { name, shown(settings.shown(name, one.value)), with_origin and context.out:paint("dim", one.where) or nil }
    end
  end
  for _, line in ipairs(text.columns(rows)) do context.out:line(line) end
end

function M.run(arguments, context)
  local settled = settings.resolve(session.project(), { store = arguments.store }, context.console.env)
  if arguments.json then
    print_json(context, settled)
  else
    print_table(context, settled, arguments.origin)
  end
  return status.finished
end

return M

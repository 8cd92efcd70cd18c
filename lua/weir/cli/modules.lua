--- weir modules: agents, critics and the like that pipelines of this project can name.

local modules_view = require "weir.view.modules"
local session = require "weir.cli.session"
local shape = require "weir.cli.shape"
local text = require "weir.cli.text"

local M = {
  name = "modules",
  summary = "Lists the modules that pipelines of this project can name, with version and file.",
  examples = { "modules", "modules --kind critic", "modules --json" },
  notes = "A project's own module comes before a built-in one of the same name.",
}

local SHORT = 12

function M.declare(parser)
  parser:option("--kind", "only modules of this kind"):argname("KIND"):choices(M.kinds())
end

M.kinds, M.list = modules_view.kinds, modules_view.list

-- Files of the project by their path in it; of the installation as they are.
local function shown_file(here, file)
  if not file then return "" end
  local prefix = here.root .. "/"
  if file:sub(1, #prefix) == prefix then return file:sub(#prefix + 1) end
  return require("luv").fs_realpath(file) or file
end

local function say(context, here, list)
  local rows = { { "KIND", "NAME", "VERSION", "FILE" } }
  for _, entry in ipairs(list) do
    local version = entry.version and entry.version:sub(1, SHORT) or context.out:paint("red", "broken")
    rows[#rows + 1] = { entry.kind, entry.name, version, shown_file(here, entry.file) }
  end
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
  for _, entry in ipairs(list) do
    if entry.error then context.err:line(context.err:paint("red", "broken: ") .. text.safe(entry.error)) end
  end
end

function M.run(arguments, context)
  local here = session.project()
  local list = M.list(here, arguments.kind)
  if arguments.json then
    for _, entry in ipairs(list) do context.out:line(shape.line(modules_view.shape(entry))) end
  else
    say(context, here, list)
  end
  return 0
end

return M

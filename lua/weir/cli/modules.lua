--- weir modules: agents, critics and the like that pipelines of this project can name.

local json = require "weir.native.json"
local kinds = require "weir.registry.kinds"
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

--- The kinds of modules, sorted.
---@return string[]
function M.kinds()
  return require("weir.value").names(kinds.kinds)
end

local function entry_of(here, kind, name)
  local entry, err = here.registry:lookup(kind, name)
  if entry then
    return { kind = kind, name = name, version = entry.version, file = entry.file, loaded_ms = entry.loaded_at, doc = entry.module.doc }
  end
  return { kind = kind, name = name, file = err.file, error = err.message }
end

--- All modules of a project, loaded; one that does not load has an `error`.
---@param here weir.Project
---@param only string|nil a kind
---@return { kind: string, name: string, version: string?, file: string?, loaded_ms: integer?, error: string? }[]
function M.list(here, only)
  local list = {}
  for _, kind in ipairs(only and { only } or M.kinds()) do
    for _, name in ipairs(here.registry:names(kind)) do list[#list + 1] = entry_of(here, kind, name) end
  end
  return list
end

local function or_null(value)
  if value == nil then return json.null end
  return value
end

local function entry_shape(entry)
  return { kind = entry.kind, name = entry.name, version = or_null(entry.version), file = or_null(entry.file),
    active = entry.error == nil, runs = json.null, loaded_at = shape.time(entry.loaded_ms), error = or_null(entry.error) }
end

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
    for _, entry in ipairs(list) do context.out:line(shape.line(entry_shape(entry))) end
  else
    say(context, here, list)
  end
  return 0
end

return M

--- weir modules: agents, critics and the like that pipelines of this project can name, and the pipelines; in all versions
--- that serve or are held by a run.

local listing = require "weir.registry.listing"
local modules_view = require "weir.view.modules"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local text = require "weir.cli.text"

local M = {
  name = "modules",
  summary = "Lists modules and pipelines: the versions that serve, and older ones that runs still hold.",
  examples = { "modules", "modules --kind critic", "modules --json" },
  notes = "A project's own module comes before a built-in one of the same name. New runs begin with the version that\n"
    .. "is not said to be older.",
}

local SHORT = 12

function M.declare(parser)
  local names = modules_view.kinds()
  names[#names + 1] = "pipeline"
  parser:option("--kind", "only modules of this kind"):argname("KIND"):choices(names)
  session.declare_store(parser)
end

-- Files of the project by their path in it; of the installation as they are.
local function shown_file(here, file)
  if not file then return "" end
  local prefix = here.root .. "/"
  if file:sub(1, #prefix) == prefix then return file:sub(#prefix + 1) end
  return require("luv").fs_realpath(file) or file
end

local function held_by(row)
  local runs = row.runs > 0 and text.count(row.runs, "run") or ""
  if row.active or not row.version then return runs end
  return "older" .. (runs ~= "" and ", " .. runs or "")
end

local function say(context, here, list)
  local rows = { { "KIND", "NAME", "VERSION", "FILE" } }
  for _, row in ipairs(list) do
    if held_by(row) ~= "" then rows[1][5] = "HELD BY" end
    local version = row.version and row.version:sub(1, SHORT) or context.out:paint("red", "broken")
    rows[#rows + 1] = { row.kind, row.name, version, shown_file(here, row.file), held_by(row) }
  end
  local lines = text.columns(rows)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
  for _, row in ipairs(list) do
    if row.error then context.err:line(context.err:paint("red", "broken: ") .. text.safe(row.error)) end
  end
end

local function report(arguments, context, here, engine)
  local list = listing.rows(here, engine, arguments.kind)
  if arguments.json then
    for _, row in ipairs(list) do context.out:line(shape.line(modules_view.shape(row))) end
  else
    say(context, here, list)
  end
  return 0
end

-- Without a store there are no runs that could hold anything.
function M.run(arguments, context)
  local here = session.project()
  local path = here:store_path(arguments.store)
  if path == ":memory:" or not require("luv").fs_stat(path .. "/data.mdb") then return report(arguments, context, here) end
  return session.with_store(session.open_store(here, arguments.store), function(store)
    return report(arguments, context, here, session.engine(here, store))
  end)
end

return M

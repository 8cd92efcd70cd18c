--- weir graph: a pipeline or a run, drawn as text for Mermaid or Graphviz.

local drawing = require "weir.cli.drawing"
local failure = require "weir.failure"
local json = require "weir.native.json"
local pages = require "weir.pages"
local record_of = require "weir.view.record"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"

local M = {
  name = "graph",
  summary = "Draws a pipeline, or a run with its steps coloured by their status: groups as boxes, arrows as runs go.",
  examples = { "graph pipelines/digest.lua", "graph digest --format dot | dot -Tsvg > digest.svg", "graph last" },
  notes = "A flow is a program: what is drawn of it is its latest run. Dashed arrows are those of no label, red ones of a failure.",
}

function M.declare(parser)
  parser:argument("what", "a pipeline file, its name, or a run"):argname "FILE|RUN"
  parser:option("--format", "mermaid or dot"):argname("FORMAT"):choices({ "mermaid", "dot" }):default "mermaid"
  session.declare_store(parser)
end

local function of_run(store, given)
  local record = record_of.load(store, (session.find_run(store, given)), session.live())
  if record.normal and record.normal.groups then return drawing.of_pipeline(record.normal, record) end
  return drawing.of_flow(record)
end

local function newest_of(store, pipeline)
  for found in pages.runs(store, { reverse = true }) do
    if found.row and found.row.pipeline == pipeline then return found.id end
  end
  failure.raise("not_found", "'%s' is a flow: what is drawn is its latest run, and the store holds none; `weir run %s` makes one",
    pipeline, pipeline)
end

local function refuse(errors)
  local first = errors[1]
  local err = failure.new(first.code or "invalid", "%s", require("weir.definition.check").format(first))
  err.file, err.line, err.status = first.file, first.line, status.usage
  error(err, 0)
end

local function of_file(arguments, here)
  local definition, errors = session.load(here, arguments.what)
  if not definition then refuse(errors) end
  if definition.kind == "pipeline" then return drawing.of_pipeline(definition.normal) end
  return session.with_store(session.open_present_store(here, arguments.store), function(store)
    return of_run(store, newest_of(store, definition.name))
  end)
end

local function is_run(given)
  return given == "last" or given:find "^r_[0-9a-z]*$" ~= nil
end

local function drawing_of(arguments)
  local what = arguments.what
  if not is_run(what) then return of_file(arguments, session.project(what:find "[/.]" and what or nil)) end
  return session.with_store(session.open_present_store(session.project(), arguments.store), of_run, what)
end

local function item_shape(item)
  local line = { id = item.id, title = item.title, notes = json.list(item.notes), status = item.status or json.null }
  if item.items then
    line.items = json.list {}
    for index, inner in ipairs(item.items) do line.items[index] = item_shape(inner) end
  end
  return line
end

local function as_json(drawn)
  local line = { title = drawn.title, items = json.list {}, edges = json.list {} }
  for index, item in ipairs(drawn.items) do line.items[index] = item_shape(item) end
  for index, edge in ipairs(drawn.edges) do
    line.edges[index] = { from = edge.from, to = edge.to, style = edge.style, label = edge.label or json.null }
  end
  return line
end

function M.run(arguments, context)
  local drawn = drawing_of(arguments)
  if arguments.json then
    context.out:line(shape.line(as_json(drawn)))
  else
    context.out:write(require("weir.cli." .. arguments.format).write(drawn))
  end
  return status.finished
end

return M

--- /api/pipelines and /api/modules: what can be run, and what of.

local failure = require "weir.failure"
local json = require "weir.native.json"
local lookup = require "weir.http.lookup"
local modules_view = require "weir.view.modules"
local native = require "weir.native.scheduler"
local problem = require "weir.http.problem"
local schemas = require "weir.http.schemas"

local function or_null(value)
  if value == nil then return json.null end
  return value
end

local function errors_of(err)
  local list = json.list {}
  for index, entry in ipairs(err.details or { err }) do
    list[index] = { file = or_null(entry.file), line = or_null(entry.line), field = or_null(entry.field), code = entry.code or "invalid",
      message = entry.message, did_you_mean = or_null(entry.did_you_mean) }
  end
  return list
end

local function entry_of(host, name, is_whole)
  local definition, err = lookup.definition(host, name)
  if not definition then
    if err.code == "not_found" then error(err, 0) end
    return { name = name, ok = false, file = or_null((host.project:pipeline_file(name))), version = json.null, errors = errors_of(err) }
  end
  local normal = definition.normal
  local entry = { name = name, ok = true, kind = definition.kind, file = or_null(definition.file), version = or_null(definition.version),
    doc = or_null(normal and normal.doc or definition.doc) }
  if is_whole then
    entry.input = or_null(host.engine:plan_of(definition).input_schema)
    entry.normal = or_null(normal)
  end
  return entry
end

local function pipelines(call)
  local items = json.list {}
  for index, name in ipairs(call.host.project:pipeline_names()) do
    items[index] = entry_of(call.host, name)
    native.yield()
  end
  return 200, { items = items, next = json.null }
end

local function pipeline(call)
  if not call.params.name:find "^[a-z][a-z0-9_-]*$" or #call.params.name > 64 then
    failure.raise("not_found", "there is no pipeline '%s'", call.params.name:sub(1, 60))
  end
  return 200, entry_of(call.host, call.params.name, true)
end

local function modules(call)
  local items = json.list {}
  for index, entry in ipairs(modules_view.list(call.host.project, call.query.kind)) do items[index] = modules_view.shape(entry) end
  return 200, { items = items, next = json.null }
end

local function has(list, wanted)
  for _, name in ipairs(list) do if name == wanted then return true end end
  return false
end

local function module_of(call)
  local here, kind, name = call.host.project, call.params.kind, call.params.name
  if not has(modules_view.kinds(), kind) or not has(here.registry:names(kind), name) then
    problem.raise(404, "not_found", "there is no module '%s/%s'; /api/modules lists them", kind:sub(1, 40), name:sub(1, 60))
  end
  return 200, modules_view.shape(modules_view.entry(here, kind, name))
end

return {
  { method = "GET", path = "/api/pipelines", role = "read", handler = pipelines, doc = "Lists the pipelines of the project.",
    answers = { [200] = { doc = "All of them.", schema = schemas.page "Pipeline" } } },
  { method = "GET", path = "/api/pipelines/{name}", role = "read", handler = pipeline,
    doc = "A pipeline with the schema of its input and its normal form.",
    answers = { [200] = { doc = "The pipeline; `ok` is false when it cannot be loaded.", schema = schemas.ref "Pipeline" } } },
  { method = "GET", path = "/api/modules", role = "read", handler = modules, doc = "Lists the modules that pipelines can name.",
    query = { kind = { type = "string", enum = modules_view.kinds() } },
    answers = { [200] = { doc = "All of them.", schema = schemas.page "Module" } } },
  { method = "GET", path = "/api/modules/{kind}/{name}", role = "read", handler = module_of, doc = "One module.",
    answers = { [200] = { doc = "The module.", schema = schemas.ref "Module" } } },
}

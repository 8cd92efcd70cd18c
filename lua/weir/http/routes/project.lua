--- /api/pipelines and /api/modules: what can be run, and what of.

local door = require "weir.http.door"
local failure = require "weir.failure"
local json = require "weir.native.json"
local kinds = require("weir.registry.kinds").kinds
local listing = require "weir.registry.listing"
local lookup = require "weir.http.lookup"
local modules_view = require "weir.view.modules"
local native = require "weir.native.scheduler"
local problem = require "weir.http.problem"
local revise = require "weir.registry.revise"
local schemas = require "weir.http.schemas"
local versions_view = require "weir.view.versions"

local or_null = require("weir.value").or_null

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

-- Modules --------------------------------------------------------------------------------------------

local function modules(call)
  local items = json.list {}
  for index, row in ipairs(modules_view.list(call.host.project, call.query.kind, call.host.engine)) do
    items[index] = modules_view.shape(row)
  end
  return 200, { items = items, next = json.null }
end

-- The full name of a module or pipeline of a path.
local function full_name(call)
  local here, kind, name = call.host.project, call.params.kind, call.params.name
  local folder = kind == "pipeline" and "pipelines" or kinds[kind] and kinds[kind].folder
  local known = folder and (kind == "pipeline" and here:pipeline_names() or here.registry:names(kind)) or {}
  for _, one in ipairs(known) do
    if one == name then return folder .. "/" .. name end
  end
  problem.raise(404, "not_found", "there is no module '%s/%s'; /api/modules lists them", kind:sub(1, 40), name:sub(1, 60))
end

local function module_of(call)
  full_name(call)
  local versions, serves = json.list {}, nil
  for _, row in ipairs(listing.rows(call.host.project, call.host.engine, call.params.kind)) do
    if row.name == call.params.name then
      versions[#versions + 1] = modules_view.shape(row)
      serves = serves or modules_view.shape(row)
    end
  end
  serves.versions = versions
  return 200, serves
end

local function versions(call)
  local full, held = full_name(call), {}
  for _, row in ipairs(listing.rows(call.host.project, call.host.engine, call.params.kind)) do
    if row.full == full then held[#held + 1] = row end
  end
  return 200, { items = versions_view.of(call.host.project.registry, full, held), next = json.null }
end

local function about(call) return { by = call.who.name, via = "http" } end

-- What cannot be loaded changes nothing, and says where it is wrong.
local function reload(call)
  local full = full_name(call)
  local report = door.detached(function() return revise.reload(call.host.project.registry, { full }, about(call)) end)
  local failed = report.failed[1]
  if not failed then return 200, modules_view.report(report) end
  local err = problem.new(422, failed.code or "invalid", "%s", failed.message)
  err.extra = { report = modules_view.report(report) }
  error(err, 0)
end

local function rollback(call)
  local full = full_name(call)
  local done = door.detached(function() return revise.rollback(call.host.project.registry, full, about(call)) end)
  return 200, { name = done.name, from = or_null(done.from), to = done.to, file = or_null(done.file) }
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
  { method = "GET", path = "/api/modules/{kind}/{name}", role = "read", handler = module_of,
    doc = "One module: the version that serves, and in `versions` all that are held. The kind `pipeline` stands for pipelines.",
    answers = { [200] = { doc = "The module.", schema = schemas.ref "Module" } } },
  { method = "GET", path = "/api/modules/{kind}/{name}/versions", role = "read", handler = versions,
    doc = "The versions of a module, or of a pipeline (its kind is `pipeline`), each with its source.",
    answers = { [200] = { doc = "All that are kept.", schema = { type = "object" } } } },
  { method = "POST", path = "/api/modules/{kind}/{name}/reload", role = "admin", accepts = "application/json", handler = reload,
    body = schemas.object {}, doc = "Has the file of a module serve as it is now, and what depends on it.",
    answers = { [200] = { doc = "What serves now.", schema = schemas.ref "Reload" },
      [422] = { doc = "It cannot be loaded; what served goes on serving. `report` says where it is wrong.",
        schema = schemas.ref "Problem" } } },
  { method = "POST", path = "/api/modules/{kind}/{name}/rollback", role = "admin", accepts = "application/json", handler = rollback,
    body = schemas.object {}, doc = "Has the version of a module serve that served before.",
    answers = { [200] = { doc = "It serves.", schema = schemas.ref "Rollback" } } },
}

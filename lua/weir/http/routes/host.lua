--- What a host says of itself: whether it lives, whether it takes work, what it counts, what it can be asked.

local json = require "weir.native.json"
local metrics = require "weir.http.metrics"
local model = require "weir.model"
local openapi = require "weir.http.openapi"
local schemas = require "weir.http.schemas"
local view = require "weir.view.models"

local function live()
  return 200, { status = "ok" }
end

local function ready(call)
  local host = call.host
  if host.engine.is_stopping then return 503, { status = "stopping" }, { ["Retry-After"] = "5" } end
  if host.store:stats().failure then return 503, { status = "the store has failed" }, { ["Retry-After"] = "60" } end
  return 200, { status = "ok" }
end

local function numbers(call)
  return 200, call.host.http.metrics:text(call.host), { ["Content-Type"] = metrics.content_type }
end

local function description(call)
  return 200, openapi.of(call.host.http.routes)
end

local function models(call)
  local host, items = call.host, json.list {}
  for index, row in ipairs(view.rows(host.project, model.of(host.engine).router, true, call.query.labels)) do
    items[index] = view.shape(row)
  end
  return 200, { items = items, next = json.null }
end

local HEALTH = schemas.ref "Health"

return {
  { method = "GET", path = "/healthz", role = "public", handler = live, doc = "Whether the host answers.",
    answers = { [200] = { doc = "It does.", schema = HEALTH } } },
  { method = "GET", path = "/readyz", role = "public", handler = ready, doc = "Whether the host takes work.",
    answers = { [200] = { doc = "It does.", schema = HEALTH }, [503] = { doc = "It stops, or its store has failed.", schema = HEALTH } } },
  { method = "GET", path = "/metrics", role = "read", handler = numbers, doc = "What the host counts, for Prometheus.",
    answers = { [200] = { doc = "Metrics.", type = "text/plain" } } },
  { method = "GET", path = "/api/models", role = "read", handler = models, query = { labels = { type = "boolean" } },
    doc = "Models: how often they worked, how fast they are, what they cost; with `labels` by task, too.",
    answers = { [200] = { doc = "All of them.", schema = { type = "object" } } } },
  { method = "GET", path = "/api/openapi.json", role = "read", handler = description, doc = "This description.",
    answers = { [200] = { doc = "OpenAPI 3.1.", schema = { type = "object" } } } },
}

--- The console, and what it looks at beyond the lists: how many runs there are of each status, all that is known of one
--- step, a definition as it was.

local console = require "weir.http.console"
local counts_of = require "weir.view.counts"
local definition_view = require "weir.view.definition"
local lookup = require "weir.http.lookup"
local schemas = require "weir.http.schemas"
local standing = require "weir.view.standing"
local step_view = require "weir.view.step"

local function index(call)
  return console.file(call, "index.html")
end

local function file(call)
  return console.file(call, call.params.file)
end

local function page(call)
  return console.file(call, call.params.folder .. "/" .. call.params.file)
end

local function edition()
  return 200, console.edition() .. "\n", { ["Content-Type"] = "text/plain; charset=utf-8", ["Cache-Control"] = "no-store" }
end

local function counts(call)
  local host, metrics = call.host, call.host.http.metrics
  return 200, standing.counts(host.engine.live, counts_of.of(host.store, function() return metrics:ended() end))
end

local function step(call)
  lookup.row(call.host, call.params.id)
  return 200, step_view.of(call.host.engine, call.params.id, call.params.key)
end

local function definition(call)
  return 200, definition_view.kept(call.host.store, call.params.version)
end

local FILE = { [200] = { doc = "The file.", type = "text/plain" }, [304] = { doc = "It is the one of If-None-Match." } }
local OBJECT = { type = "object" }

return {
  { method = "GET", path = "/", role = "public", handler = index, answers = FILE, doc = "The console." },
  { method = "GET", path = "/console/edition", role = "public", handler = edition, doc = "Which edition of the console this host has.",
    answers = { [200] = { doc = "32 hexadecimal digits.", type = "text/plain" } } },
  { method = "GET", path = "/console/{file}", role = "public", handler = file, answers = FILE, doc = "A file of the console." },
  { method = "GET", path = "/console/{folder}/{file}", role = "public", handler = page, answers = FILE, doc = "A file of the console." },
  { method = "GET", path = "/api/counts", role = "read", handler = counts,
    doc = "How many runs there are of each status, counted at most a few seconds ago.",
    answers = { [200] = { doc = "The numbers.", schema = OBJECT } } },
  { method = "GET", path = "/api/runs/{id}/steps/{key}", role = "read", handler = step,
    doc = "All that is known of one step: input, output, attempts, drafts. The key is encoded, as in draft%2Fwrite.",
    answers = { [200] = { doc = "The step.", schema = schemas.ref "Step" } } },
  { method = "GET", path = "/api/definitions/{version}", role = "read", handler = definition,
    doc = "A definition that runs of this store have used, in its normal form.",
    answers = { [200] = { doc = "The definition.", schema = OBJECT } } },
}

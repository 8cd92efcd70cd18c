--- What the specs of upkeep share: a project with a store of its own, runs of all sorts, copies.

local engine = require "weir.run.engine"
local json = require "weir.native.json"
local pages = require "weir.pages"
local process = require "weir.port.process"
local project = require "weir.project"
local store_port = require "weir.port.store"
local uv = require "luv"
local weir = require "weir"

local M = {}

local P, S = weir.pipeline, weir.step

--- A new folder.
function M.folder()
  return assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
end

function M.remove(folder)
  process.run({ "rm", "-rf", "--", folder }, {})
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

--- An engine over a store, in a project with stand-ins.
function M.engine(store, settings)
  local here = project.open "."
  here.settings = settings or {}
  here.registry:put { kind = "agent", name = "note", api = 1, options = { type = "object" }, execute = function(ctx, input)
    ctx.workspace:post("note", { text = ("tide "):rep(input.size or 1) })
    ctx.workspace:post("soon/" .. (input.name or "it"), "gone soon", { scope = "pipeline", ttl = "1s" })
    return { text = "noted" }
  end }
  return engine.new(here, store, { patience = 0, near = 0 })
end

--- Definitions by what their runs do.
M.pipelines = {
  plain = P "plain" { S "a" { agent = "echo", input = { text = "$.input.text" } } },
  large = P "large" { S "a" { agent = "echo", input = { text = "$.input.text" } } },
  fails = P "fails" { S "a" { agent = "combine", input = { what = "this does not fit" } } },
  asks = P "asks" { weir.approval "sure" { title = "Sure?" } },
  hears = P "hears" { S "ear" { wait = { signal = "word" } } },
  notes = P "notes" { S "a" { agent = "note", input = { size = 3 } } },
  sleeps = P "sleeps" { S "nap" { sleep = "1h" } },
}

--- Starts a run of a kind and gives it back.
function M.run(own, kind, input)
  local definition, errors = own.project:check(M.pipelines[kind])
  if not definition then error(errors[1].message) end
  return own:run(definition, input or {})
end

--- A run of a pipeline that was just built.
function M.run_of(own, pipeline, input)
  local definition, errors = own.project:check(pipeline)
  if not definition then error(errors[1].message) end
  return own:run(definition, input or {})
end

local SPACES = { "approvals", "decisions", "definitions", "modules", "signals", "timers", "workspace.heads", "workspace.versions",
  "workspace.terms", "workspace.postings", "workspace.closed", "workspace.expiry", "workspace.floors", "workspace.overlays" }

--- All that can be read of a store, as one text, but for what documents of pipelines say of who wrote them.
function M.everything(store)
  local parts = {}
  for _, space in ipairs(SPACES) do
    for found in pages.keys(store, space) do
      if not found.key:find "pipeline:" then parts[#parts + 1] = space .. " " .. found.key .. store_port.encode(found.value) end
    end
  end
  for id in pages.journals(store) do
    if not id:find "^workspace/pipeline:" then parts[#parts + 1] = id .. store_port.encode((store:load(id))) end
  end
  for found in pages.runs(store) do parts[#parts + 1] = found.id .. store_port.encode(found.row) end
  for _, status in ipairs { "finished", "failed", "cancelled", "waiting" } do
    for found in pages.runs(store, { status = status }) do parts[#parts + 1] = found.id end
  end
  return table.concat(parts, "\n")
end

--- All that can be read of a run, as one text.
function M.shown(store, run_id)
  local entries, row = store:load(run_id)
  return json.encode({ entries = entries, row = row }, { canonical = true })
end

function M.open(folder)
  return assert(store_port.open(folder))
end

return M

local canary = require "weir.healing.canary"
local incident_of = require "weir.healing.incident"
local json = require "weir.native.json"
local log_of = require "weir.log"
local operations = require "weir.healing.operations"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local TRIPS = [[
return { kind = "watcher", name = "trips", api = 1, options = {}, watch = function(ctx) error "the cable is loose" end }
]]
local FOLLOWS = [[
local weir = require "weir"
return weir.pipeline "follows" { on = { trips = {} }, weir.step "say" { agent = "echo" } }
]]
local TAKES = [[
local weir = require "weir"
return weir.pipeline "takes" { on = { event = { type = "parcel" } }, queue = { concurrency = 4 },
  supervise = { { use = "thresholds", options = { rules = { { remedy = "pause_pipeline" } } } } },
  weir.step "say" { agent = "shaky", input = "$.event.data" } }
]]
local SHAKY = [[
return { kind = "agent", name = "shaky", api = 1, execute = function(_, input) if input.bad then error "it is bad" end return input end }
]]

describe("a host that heals", function()
  local folder, host, lines
  before_each(function()
    folder, lines = support.folder(), {}
  end)
  after_each(function()
    if host then host:stop "the spec is over" end
    host = nil
    support.remove(folder)
  end)

  local function start()
    host = serve.start { folder = folder, http = false, env = function() end,
      logger = log_of.new { write = function(line) lines[#lines + 1] = json.decode(line) end } }
    assert(host.triggers:settle())
    return host
  end

  local function await(what, body)
    for _ = 1, 1500 do
      local found = body()
      if found then return found end
      task.sleep(0.02)
    end
    error("it did not come: " .. what .. "\n" .. json.encode(lines))
  end

  it("keeps the monitors of the eight versions of a pipeline that have run last, and of no others", function()
    local function save(n)
      support.write(folder, "pipelines/says.lua", ([[
local weir = require "weir"
return weir.pipeline "says" { doc = "v%d", supervise = { "thresholds" }, weir.step "say" { agent = "echo" } }
]]):format(n))
    end
    save(0)
    start()
    for n = 1, 12 do
      host.engine:start(assert(host.project:pipeline "says"), {}):wait()
      save(n)
      assert.equal(1, #host:reload().reloaded)
    end
    host.engine:start(assert(host.project:pipeline "says"), {}):wait()
    local pipelines = 0
    for _ in pairs(host.engine.monitors) do pipelines = pipelines + 1 end
    assert.same({ 1, 8 }, { pipelines, #host.engine.monitors.says })
    assert.equal(host.project:pipeline("says").version, host.engine.monitors.says[1].version)
  end)

  it("starts a watcher again that fails, and calls a person over one that fails again and again, once", function()
    support.write(folder, "modules/watchers/trips.lua", TRIPS)
    support.write(folder, "pipelines/follows.lua", FOLLOWS)
    start()
    local _, source = next(host.triggers.sources)
    source.restarts = { require("weir.port.clock").now() - 2, require("weir.port.clock").now() - 1, require("weir.port.clock").now() }
    local open = await("the incident", function()
      local list = incident_of.open(host.store)
      return #list > 0 and list
    end)
    assert.same({ 1, "watcher", "watchers/trips", "follows" }, { #open, open[1].kind, open[1].agent, open[1].pipeline })
    assert.is_truthy(open[1].message:find "the cable is loose")
    await("another start", function() return #source.restarts > 0 and source.status == "failing" end)
    task.sleep(0.1)
    assert.equal(1, #incident_of.open(host.store))
  end)

  it("holds events of a pipeline back that a supervisor has paused, loses none, and goes on once that is taken back", function()
    support.write(folder, "pipelines/takes.lua", TAKES)
    support.write(folder, "modules/agents/shaky.lua", SHAKY)
    start()
    local function send(data, id)
      host.events:take { { event = { specversion = "1.0", id = id, source = "/spec", type = "parcel", data = data }, from = "api",
        dedupe = require("weir.native.hash").sha256(id) } }
    end
    await("the source", function() return host.triggers.sources["takes/event"].status == "running" end)
    send({ bad = true }, "1")
    local paused = await("the pause", function() return require("weir.healing.controls").paused(host.store, "takes") end)
    for n = 2, 6 do send({ n = n }, tostring(n)) end
    task.sleep(0.3)
    local function finished()
      local count = 0
      for _, found in ipairs(assert(host.store:runs { status = "finished", limit = 100 })) do count = count + (found.row.pipeline == "takes" and 1 or 0) end
      return count
    end
    assert.equal(0, finished())
    operations.revert(host.engine, paused.incident, { by = "ada" })
    await("the runs", function() return finished() == 5 end)
  end)

  it("tries a dead letter's run again when its incident is replayed, and then has no dead letter any more", function()
    support.write(folder, "pipelines/takes.lua", (TAKES:gsub("pause_pipeline", "escalate"):gsub("rules = ", "ask = false, rules = ")))
    support.write(folder, "modules/agents/shaky.lua", SHAKY)
    start()
    await("the source", function() return host.triggers.sources["takes/event"].status == "running" end)
    host.events:take { { event = { specversion = "1.0", id = "1", source = "/spec", type = "parcel", data = { bad = true } }, from = "api" } }
    local letters = require "weir.trigger.letters"
    await("the dead letter", function() return #letters.list(host.project, host.store, "takes") == 1 end)
    support.write(folder, "modules/agents/shaky.lua", (SHAKY:gsub("if input.bad", "if false")))
    host:reload()
    local run_id = operations.replay(host.engine, incident_of.open(host.store)[1].id, { by = "ada" }, true)
    local run = host.engine:reopen(run_id)
    run:execute()
    assert.same({ "finished", { bad = true } }, { run.status, run.output })
    assert.same({ {}, {} }, { letters.list(host.project, host.store, "takes"), incident_of.open(host.store) })
  end)

  it("has no more runs of a queue at work at once than a supervisor says", function()
    support.write(folder, "pipelines/takes.lua", (TAKES:gsub('remedy = "pause_pipeline"', 'remedy = "concurrency", args = { limit = 1 }')))
    support.write(folder, "modules/agents/shaky.lua", [[
local at_work, most = 0, 0
return { kind = "agent", name = "shaky", api = 1, execute = function(ctx, input)
  if input.bad and ctx.attempt == 1 then error "it is bad" end
  ctx:atomic(function() at_work = at_work + 1 most = math.max(most, at_work) end)
  ctx:sleep(0.05)
  ctx:atomic(function() at_work = at_work - 1 end)
  return { most = most }
end }]])
    start()
    await("the source", function() return host.triggers.sources["takes/event"].status == "running" end)
    local function send(n, data)
      host.events:take { { event = { specversion = "1.0", id = tostring(n), source = "/spec", type = "parcel", data = data }, from = "api" } }
    end
    local function outputs()
      local list = {}
      for _, found in ipairs(assert(host.store:runs { status = "finished", limit = 100 })) do
        if found.row.pipeline == "takes" then list[#list + 1] = select(3, table.unpack((function(e) return e[#e] end)(host.store:load(found.id)))) end
      end
      return list
    end
    send(1, { bad = true })
    await("the first run", function() return #outputs() == 1 end)
    assert.equal(1, require("weir.healing.controls").concurrency(host.store, "takes"))
    for n = 2, 7 do send(n, { n = n }) end
    await("the runs", function() return #outputs() == 7 end)
    for _, output in ipairs(outputs()) do assert.equal(1, output.most) end
  end)

  it("puts what is reloaded on trial where the project says so", function()
    support.write(folder, "weir.lua", "return { canary = { percent = 100, options = { minimum = 2, calls = 4 } } }")
    support.write(folder, "modules/agents/shaky.lua", SHAKY)
    support.write(folder, "pipelines/one.lua", [[
local weir = require "weir"
return weir.pipeline "one" { weir.step "say" { agent = "shaky", input = { n = 1 } } }]])
    start()
    local function run() return host.engine:run(assert(host.project:pipeline "one"), {}) end
    run()
    local first = host.project.registry:lookup("agent", "shaky").version
    support.write(folder, "modules/agents/shaky.lua", (SHAKY:gsub("return input end", "return { n = 2 } end")))
    host:reload()
    local one = await("the trial", function() return canary.of(host.store, "agents/shaky") end)
    assert.equal(first, one.old)
    await("the old version", function() return host.project.registry:lookup("agent", "shaky").version == first end)
    for _ = 1, 4 do assert.equal(2, run().output.n) end
    assert.equal("promoted", canary.list(host.store)[1].state)
    assert.not_equal(first, host.project.registry:lookup("agent", "shaky").version)
  end)

  it("tells its feed of incidents, and counts them for those who ask for metrics", function()
    support.write(folder, "modules/agents/shaky.lua", (SHAKY:gsub("if input.bad then error \"it is bad\" end", "error 'it is bad'")))
    support.write(folder, "pipelines/one.lua", [[
local weir = require "weir"
return weir.pipeline "one" { supervise = { { use = "thresholds", options = { ask = false, rules = { { remedy = "retry" } } } } },
  weir.step "say" { agent = "shaky", input = { n = 1 } } }]])
    start()
    local metrics = require("weir.http.metrics").new()
    local follower = host.feed:follow { kinds = { "incident" } }
    assert.equal("failed", host.engine:run(assert(host.project:pipeline "one"), {}).status)
    for _ = 1, 4 do metrics:note((follower:next(1))) end
    local text = metrics:text(host)
    assert.is_truthy(text:find('weir_incidents_total{pipeline="one",kind="step",state="remedied",remedy="retry"} 3', 1, true), text)
    assert.is_truthy(text:find('weir_incidents_total{pipeline="one",kind="step",state="escalated",remedy="escalate"} 1', 1, true))
    assert.is_truthy(text:find("weir_incidents_open 1", 1, true))
  end)
end)

local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local outside = dofile "spec/lua/weir/run/outside.lua"
local project = require "weir.project"
local store_port = require "weir.port.store"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step
local MOST = 1 -- seconds; it should be a tenth of that

local function close_server(server)
  server:close()
  native.sleep(0.01)
end

-- How many processes there are that this spec began: each has a duration of its own in its arguments.
local DURATION = ("1000.%d"):format(uv.os_getpid())

local function processes() return outside.processes(DURATION) end

local slept, closed -- steps that have begun to sleep, and those that were ended over it

local agents = {
  http = function(ctx, input) return ctx:http { url = input.url } end,
  process = function(ctx) return ctx:process { "sleep", DURATION } end,
  stubborn = function(ctx) return ctx:process({ "sh", "-c", ("sleep %s & sleep %s & wait"):format(DURATION, DURATION) }) end,
  sleeper = function(ctx)
    local _ <close> = setmetatable({}, { __close = function() native.atomic(function() closed = closed + 1 end) end })
    native.atomic(function() slept = slept + 1 end) -- an agent may lose the processor between reading a number and writing it
    ctx:sleep(1000)
  end,
  source = function(ctx) while true do ctx:emit "x" end end,
  reader = function(ctx) for _ in ctx:items() do ctx:sleep(1000) end return 1 end,
}

local function load(here, fields)
  for name, execute in pairs(agents) do
    here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = execute }
  end
  local definition, errors = here:check(P "cancel" (fields))
  assert(definition, errors and errors[1].message)
  return definition
end

-- Starts a run, cancels it once it is busy, and gives the seconds until nothing of it was left.
local function cancelled(fields, is_busy, is_over)
  local here = project.open "."
  local store = assert(store_port.open ":memory:")
  local before = native.stats().tasks
  slept, closed = 0, 0
  local run, took
  task.within({}, function()
    run = engine.new(here, store):start(load(here, fields), {})
    outside.wait_until(is_busy)
    local from = native.now()
    run:cancel "enough of it"
    run:wait()
    outside.wait_until(function() return is_over() and native.stats().tasks <= before end)
    took = native.now() - from
  end)
  local stopped = {}
  for _, entry in ipairs(assert(store:load(run.id))) do
    for _, part in ipairs(entry[1] == "step" and type(entry[9]) == "table" and entry[9].stopped or {}) do
      stopped[part.what] = (stopped[part.what] or 0) + part.count
      assert.is_nil(part.unseen)
    end
  end
  store:close()
  assert.same({ "cancelled", before }, { run.status, native.stats().tasks })
  assert.is_true(took < MOST, took)
  return run, took, stopped
end

describe("cancelling a run", function()
  after_each(function() assert.equal(0, processes()) end)

  it("ends its child processes, their children, its sockets and its tasks", function()
    local server = outside.new_server()
    local steps = {}
    for i = 1, 8 do
      steps[#steps + 1] = S("http" .. i) { agent = "http", input = { url = server.url } }
      steps[#steps + 1] = S("process" .. i) { agent = i % 2 == 0 and "process" or "stubborn" }
      steps[#steps + 1] = S("sleeper" .. i) { agent = "sleeper" }
    end
    local _, took, stopped = cancelled({ G "g" (steps) },
      function() return server.open == 8 and slept == 8 and processes() == 4 + 3 * 4 end,
      function() return server.open == 0 and processes() == 0 end)
    close_server(server)
    assert.equal(8, closed)
    assert.same({ process = 8, request = 8, sleep = 8 }, stopped) -- as the journal tells it
    print(("cancel_spec: 8 open HTTP streams, 8 process groups and 8 sleeping steps ended in %.1f ms"):format(took * 1000))
  end)

  it("ends streams that wait for room and for values", function()
    cancelled({ G "g" { S "source" { agent = "source", stream = { buffer = 2 } }, S "reader" { agent = "reader", from = "source" } } },
      function()
        for _, entry in ipairs(native.tasks()) do
          if entry.waits_for == "room in a channel" then return true end
        end
      end, function() return true end)
  end)

  it("ends a map with everything that it has begun, and begins nothing more", function()
    local list = weir.list {}
    for i = 1, 1000 do list[i] = i end
    local busy = function() return processes() == 4 end
    cancelled({ weir.map "m" { over = list, concurrency = 4, S "one" { agent = "process" } } }, busy, function() return processes() == 0 end)
  end)

  it("ends the losers of a race, with their processes, before the group goes on", function()
    agents.quick = function(ctx) ctx:sleep(0.05) return "won" end
    agents.count = function(ctx)
      ctx:sleep(0.05) -- the kernel ends what was killed in its own time
      return { processes = processes() }
    end
    local here = project.open "."
    local definition = load(here, { G "race" { join = "any", S "slow" { agent = "stubborn" }, S "quick" { agent = "quick" } }, S "count" { agent = "count" } })
    local run = engine.new(here, nil):run(definition, {}, {})
    assert.same({ "finished", { processes = 0 } }, { run.status, run.output })
  end)

  it("ends the process of a step at its timeout", function()
    local here = project.open "."
    local from = native.now()
    local run = engine.new(here, nil):run(load(here, { S "slow" { agent = "stubborn", timeout = 0.05 } }), {}, {})
    assert.same({ "failed", "timeout" }, { run.status, run.error.code })
    assert.equal(0, processes())
    assert.is_true(native.now() - from < MOST)
  end)

  it("says why, once, and is no failure of a step", function()
    local run = cancelled({ S "sleeper" { agent = "sleeper", retry = { attempts = 5 }, optional = true }, S "next" { agent = "sleeper" } },
      function() return native.stats().timers > 0 end, function() return true end)
    assert.equal("enough of it", run.error.message)
    assert.equal("cancelled", run.error.code)
    run:cancel "again"
    assert.equal("cancelled", run.status)
  end)
end)

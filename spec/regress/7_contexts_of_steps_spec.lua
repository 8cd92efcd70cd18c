-- A task worked on the frame of the group or flow around its step. So what an agent in a body spawned outlived
-- its step; and a run that an agent in a flow started took the flow's own number, which a replay gave to another.

local clock = require "weir.port.clock"
local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local store_port = require "weir.port.store"
local task = require "weir.task"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

describe("a step works on a frame of its own", function()
  it("in a body: what it spawned ends with it", function()
    local log = {}
    local run = testing.run(P "body" { G "both" { S "outer" { S "first" { agent = "spawner" }, S "second" { agent = "look" } },
      S "other" { agent = "echo", input = 1 } } }, { agents = {
      spawner = function()
        task.spawn(function()
          local _ <close> = setmetatable({}, { __close = function() log[#log + 1] = "closed" end })
          clock.sleep(100)
        end)
        clock.sleep(1)
        return 1
      end,
      look = function() log[#log + 1] = "second" return 2 end,
    } })
    assert.same({ "finished", { "closed", "second" } }, { run.status, log })
  end)

  it("in a body: what it prints is its own", function()
    local here = project.open "."
    here.registry:put { kind = "agent", name = "one", api = 1, options = { type = "object" }, execute = function(ctx)
      native.context().current:print "text"
      return ctx.idempotency_key
    end }
    local steps = {}
    local run = engine.new(here, nil):run(here:check(P "prints" { S "body" { S "a" { agent = "one" }, S "b" { agent = "one" } } }), {},
      { listener = function(event) if event.kind == "print" then steps[#steps + 1] = event.step end end })
    assert.same({ "finished", { "body/a", "body/b" } }, { run.status, steps })
  end)

  it("in a flow: a run that its agent starts is not counted among those that the flow starts", function()
    local here = project.open "."
    local store = assert(store_port.open ":memory:")
    local life = engine.new(here, store)
    here.registry:put { kind = "agent", name = "starter", api = 1, options = { type = "object" }, execute = function()
      return weir.run(P "child" { S "x" { agent = "echo", input = "of the agent" } })
    end }
    local definition = here:load("replay.lua", [[
      local weir = require "weir"
      return weir.flow "replay" { function(flow)
        local first = flow:step "first" { agent = "starter" }
        local second = weir.run(weir.pipeline "child" { weir.step "x" { agent = "echo", input = "of the flow" } })
        flow:step "stop" { agent = "stop" }
        return { first, second }
      end }
    ]])
    here.registry:put { kind = "agent", name = "stop", api = 1, options = { type = "object" }, execute = function(ctx)
      if life.stops then ctx.run:stop "now" end
      ctx:sleep(0.001)
      return 1
    end }
    life.stops = true
    local run = life:run(definition, {}, {})
    assert.equal("running", run.status)
    life.stops = false
    run = life:reopen(run.id):execute()
    store:close()
    assert.same({ "finished", { "of the agent", "of the flow" } }, { run.status, run.output }, run.error and run.error.message)
  end)
end)

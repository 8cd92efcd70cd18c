-- What an agent spawned belonged to its group: a step that had ended left it behind, and one that waited for
-- ever kept the group from ending.

local channel = require "weir.channel"
local clock = require "weir.port.clock"
local task = require "weir.task"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local function run_step(execute, fields)
  fields = fields or {}
  fields.agent = "spawner"
  return testing.run(P "strays" { G "both" { S "one" (fields), S "two" { agent = "echo", input = 2 } } },
    { agents = { spawner = execute } })
end

describe("a task that an agent spawns", function()
  it("ends with the step, when the step fails", function()
    local closed = false
    local run = run_step(function()
      task.spawn(function()
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        channel.new(1):recv()
      end)
      clock.sleep(0.01)
      error "enough"
    end)
    assert.equal("failed", run.status)
    assert.match("enough", run.error.message)
    assert.is_true(closed)
  end)

  it("ends with the step, when the step finishes", function()
    local run = run_step(function()
      local full = channel.new(1)
      task.start({ name = "sender" }, function() while true do full:send(1) end end)
      clock.sleep(0.01)
      return full:recv()
    end)
    assert.same({ "finished", { one = 1, two = 2 } }, { run.status, run.output })
  end)

  it("fails the step, when it fails", function()
    local run = run_step(function()
      task.spawn(function() error "in the task" end)
      clock.sleep(1)
      return "never"
    end)
    assert.equal("failed", run.status)
    assert.match("in the task", run.error.message)
    assert.equal("both/one", run.error.step)
  end)

  it("ends with its attempt, and the next begins without it", function()
    local live, most = 0, 0
    local run = run_step(function(ctx)
      task.spawn(function()
        live = live + 1
        most = math.max(most, live)
        local _ <close> = setmetatable({}, { __close = function() live = live - 1 end })
        clock.sleep(1000)
      end)
      clock.sleep(0.01)
      if ctx.attempt < 3 then error "again" end
      return ctx.attempt
    end, { retry = { attempts = 3 } })
    assert.same({ "finished", 3, 0, 1 }, { run.status, run.output.one, live, most })
  end)

  it("may feed the stream that the agent returns", function()
    local run = run_step(function()
      local source = channel.new(2)
      task.spawn(function()
        for n = 1, 5 do source:send("x" .. n) end
        source:close()
      end)
      return source
    end)
    assert.equal("x1x2x3x4x5", run.output.one)
  end)
end)

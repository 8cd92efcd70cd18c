local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local S = weir.step

local agents = {
  echo = function(_, input) return input end,
  twice = function(_, input) return input.n * 2 end,
  slow = function(ctx, input) ctx:sleep(input.seconds) return input.seconds end,
  fail = function(_, input) error({ code = input.code or "failed", message = "it broke" }) end,
}

local function run(body, options)
  options = options or {}
  options.agents = agents
  return testing.run(weir.flow "flow" { input = { n = "integer?" }, body }, options)
end

local function keys(of)
  local list = {}
  for _, event in ipairs(of.events) do
    if event.kind == "step" and event.status == "running" then list[#list + 1] = event.step end
  end
  return list
end

describe("a flow", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  it("runs each step when it is called, and gets its output", function()
    local of = run(function(flow, input)
      local a = flow:step "a" { agent = "twice", input = { n = input.n } }
      local b = flow:step "b" { agent = "twice", input = { n = a } }
      return { a = a, b = b }
    end, { input = { n = 3 } })
    assert.same({ "finished", { a = 6, b = 12 } }, { of.status, of.output })
  end)

  it("numbers a name that is used again", function()
    local of = run(function(flow)
      local sum = 0
      for n = 1, 3 do sum = sum + flow:step "again" { agent = "twice", input = { n = n } } end
      return sum
    end)
    assert.same({ 12, { "again", "again#2", "again#3" } }, { of.output, keys(of) })
  end)

  it("takes a string for what it is: nothing is looked up", function()
    local of = run(function(flow) return flow:step "a" { agent = "echo", input = { "$.nowhere", text = nil } } end)
    assert.same({ "$.nowhere" }, of.output)
  end)

  it("runs the steps of a group side by side, agents and functions, and gives the outputs by name", function()
    local of = run(function(flow)
      return flow:group "views" {
        S "a" { agent = "slow", input = { seconds = 3 } },
        S "b" { function(inner) return inner:step "deep" { agent = "slow", input = { seconds = 2 } } end },
        S "c" { function() return "plain" end },
      }
    end)
    assert.same({ "finished", { a = 3, b = 2, c = "plain" }, 3 }, { of.status, of.output, of.seconds })
    local found = keys(of)
    table.sort(found)
    assert.same({ "views/a", "views/b", "views/b/deep", "views/c" }, found)
  end)

  it("maps with a function, whose names are the item's own", function()
    local of = run(function(flow)
      return flow:map "parts" { over = weir.list { 1, 2, 3 }, concurrency = 2, function(inner, item, index)
        local first = inner:step "in" { agent = "twice", input = { n = item } }
        local second = inner:step "in" { agent = "twice", input = { n = first } }
        return second + index
      end }
    end)
    assert.same({ "finished", { 4, 9, 14 } }, { of.status, of.output })
  end)

  it("raises what went wrong as {code, message, step}, which pcall catches, and goes on", function()
    local of = run(function(flow)
      local ok, err = pcall(function() return flow:step "bad" { agent = "fail", input = { code = "limit" } } end)
      local again = flow:step "good" { agent = "twice", input = { n = 1 } }
      return { ok = ok, code = err.code, message = err.message, step = err.step, again = again }
    end)
    assert.same({ ok = false, code = "limit", message = "it broke", step = "bad", again = 2 }, of.output)
    of = run(function(flow) return flow:step "bad" { agent = "fail" } end)
    assert.same({ "failed", "failed", "bad" }, { of.status, of.error.code, of.error.step })
  end)

  it("cannot swallow a cancellation: it goes on at the next wait", function()
    local reached = false
    local of = testing.run(weir.flow "flow" { budget = { seconds = 2 }, function(flow)
      pcall(function() flow:step "slow" { agent = "slow", input = { seconds = 100 } } end)
      flow:step "next" { agent = "slow", input = { seconds = 1 } }
      reached = true
      return 1
    end }, { agents = agents })
    assert.same({ "failed", "limit", false }, { of.status, of.error.code, reached })
    assert.equal(2, of.seconds)
  end)

  it("gives true when it returns nothing", function()
    local of = run(function() end)
    assert.same({ "finished", true }, { of.status, of.output })
  end)

  it("is refused at the call for a step that is none, with its line", function()
    local of = run(function(flow) return flow:step "x" { agnet = "echo" } end)
    assert.same({ "failed", "invalid" }, { of.status, of.error.code })
    assert.matches("agnet", of.error.message)
    of = run(function(flow) return flow:step "x" { agent = "no_such_agent" } end)
    assert.equal("failed", of.status)
    assert.matches("no_such_agent", of.error.message)
  end)

  it("has retries, timeouts and `when` as a declared step has", function()
    local tries = 0
    agents.flaky = function()
      tries = tries + 1
      if tries < 3 then error "again" end
      return tries
    end
    local of = run(function(flow)
      local a = flow:step "a" { agent = "flaky", retry = { attempts = 3, backoff = 1 } }
      local ok, err = pcall(function() return flow:step "b" { agent = "slow", input = { seconds = 9 }, timeout = 2 } end)
      return { a = a, ok = ok, code = err.code }
    end)
    assert.same({ a = 3, ok = false, code = "timeout" }, of.output)
  end)

  it("can be what an agent is inside a step", function()
    agents.boss = function(ctx, input)
      local a = ctx:step "part" { agent = "twice", input = { n = input.n } }
      return ctx:step "part" { agent = "twice", input = { n = a } }
    end
    local of = testing.run(weir.pipeline "p" { S "lead" { agent = "boss", input = { n = 5 } } }, { agents = agents })
    assert.same({ "finished", 20, { "lead", "lead/part", "lead/part#2" } }, { of.status, of.output, keys(of) })
  end)

  it("draws numbers of its own, which are those of the run", function()
    local numbers = run(function(flow) return { flow:random(), flow:random(6), flow:random(6) } end).output
    assert.is_true(numbers[1] >= 0 and numbers[1] < 1)
    for i = 2, 3 do assert.is_true(math.type(numbers[i]) == "integer" and numbers[i] >= 1 and numbers[i] <= 6) end
  end)
end)

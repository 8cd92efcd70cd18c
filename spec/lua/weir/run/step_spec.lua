local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local function one(agent, fields, options)
  fields = fields or {}
  fields.agent = "subject"
  options = options or {}
  options.agents = options.agents or {}
  options.agents.subject = agent
  return testing.run(P "one" { S "subject" (fields) }, options)
end

local function outcome(run) return run.error and run.error.code or run.status end

local function nested(depth) return depth == 0 and {} or { inner = nested(depth - 1) } end

describe("a step", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  describe("whose agent returns", function()
    it("plain data gives that as its output", function()
      for _, value in ipairs { "text", 1, 1.5, true, false, weir.null, { a = { b = { 1, 2 } } }, { 1, 2, 3 }, {}, "", nested(60) } do
        local run = one(function() return value end)
        assert.equal("finished", run.status)
        assert.same(value, run.output)
      end
    end)

    local cycle = {}
    cycle.self = cycle
    local refused = {
      nothing = { function() end, "returned nothing" },
      ["nil alone"] = { function() return nil end, "returned nothing" },
      ["a function"] = { function() return print end, "a function" },
      ["a function inside"] = { function() return { a = { b = print } } end, "a function" },
      ["a coroutine"] = { function() return coroutine.create(print) end, "a coroutine" },
      ["a userdata"] = { function() return io.stdout end, "a userdata" },
      NaN = { function() return 0 / 0 end, "NaN" },
      ["NaN inside"] = { function() return { x = 0 / 0 } end, "NaN" },
      ["an infinite number"] = { function() return math.huge end, "an infinite number" },
      ["an infinite number inside"] = { function() return { { -math.huge } } end, "an infinite number" },
      ["mixed keys"] = { function() return { 1, a = 2 } end, "mixes" },
      ["a list with a hole"] = { function() return { 1, nil, 3, [7] = 1 } end, "the key" },
      ["a boolean key"] = { function() return { [true] = 1 } end, "a key that is a boolean" },
      ["a table in itself"] = { function() return cycle end, "in itself" },
      ["a table nested too deep"] = { function() return nested(70) end, "nested" },
    }
    for name, case in pairs(refused) do
      it(name .. " fails with invalid and says what it was", function()
        local run = one(case[1])
        assert.same({ "failed", "invalid", "subject" }, { run.status, run.error.code, run.error.step })
        assert.matches("agent 'subject' returned", run.error.message)
        assert.is_truthy(run.error.message:find(case[2], 1, true), run.error.message)
      end)
    end

    it("nil, a message and a code fails with them", function()
      local run = one(function() return nil, "the moon is not up", "unavailable" end)
      assert.same({ "unavailable", "the moon is not up" }, { run.error.code, run.error.message })
      assert.equal("failed", one(function() return nil, "what", "no code of ours" end).error.code)
    end)
  end)

  describe("whose agent raises", function()
    local raised = {
      ["a text"] = { function() error("boom", 0) end, "failed", "boom" },
      ["nil"] = { function() error() end, "failed", "error without a value" },
      ["a code of ours"] = { function() error { code = "denied", message = "not yours" } end, "denied", "not yours" },
      ["a code of its own"] = { function() error { code = "weird", message = "hm" } end, "failed", "hm" },
      ["a table without a message"] = { function() error {} end, "failed", "table" },
      ["an object that cannot be shown"] = { function() error(setmetatable({}, { __tostring = function() error "again" end })) end, "failed", "cannot be shown" },
      ["an object with a strange __tostring"] = { function() error(setmetatable({}, { __tostring = function() return {} end })) end, "failed", "cannot be shown" },
      ["a number"] = { function() error(7) end, "failed", "7" },
      ["a boolean"] = { function() error(false) end, "failed", "false" },
      ["a userdata"] = { function() error(io.stdout) end, "failed", "file" },
      ["an error of Lua"] = { function() local t = nil return t.x end, "failed", "attempt to index a nil value" },
      ["a stack overflow"] = { function() local function f() return 1 + f() end return f() end, "failed", "stack overflow" },
      ["a deep recursion of coroutines"] = { function() local function f() return coroutine.wrap(f)() end return f() end, "failed", "step_spec.lua" },
    }
    for name, case in pairs(raised) do
      it(name .. " fails with a code and a message", function()
        local run = one(case[1])
        assert.same({ "failed", case[2], "subject" }, { run.status, run.error.code, run.error.step })
        assert.is_truthy(run.error.message:find(case[3], 1, true), run.error.message)
      end)
    end

    it("a megabyte of text keeps 4 KiB of it", function()
      local run = one(function() error(("x"):rep(1 << 20), 0) end)
      assert.is_true(#run.error.message < 5000)
      assert.matches("1048576 bytes in all", run.error.message)
    end)
  end)

  describe("whose agent prints without end", function()
    it("fails with limit, and what it printed until then was passed on", function()
      local run = one(function(ctx) while true do ctx:print(("x"):rep(1000)) end end)
      assert.equal("limit", outcome(run))
      local bytes = 0
      for _, event in ipairs(run.events) do
        if event.kind == "print" then bytes = bytes + #event.text end
      end
      assert.is_true(bytes > 500000 and bytes <= 1 << 20, bytes)
      assert.equal("limit", outcome(one(function(ctx) while true do ctx:log("info", ("x"):rep(1000)) end end)))
    end)
  end)

  it("gets an input of its own: what it changes there nobody else sees", function()
    local run = testing.run(P "own" { input = { list = "integer[]" },
      S "spoil" { agent = "spoil", input = { list = "$.input.list", all = "$.input" } },
      S "again" { agent = "spoil", input = { list = "$.input.list", all = "$.input" } },
      output = "$.input.list",
    }, { input = { list = weir.list { 1, 2 } }, agents = { spoil = function(_, input)
      table.insert(input.list, 99)
      input.all.list[1] = "spoilt"
      input.list.more = nil
      return #input.list
    end } })
    assert.same({ "finished", { 1, 2 }, 3 }, { run.status, run.output, run:data "again" })
  end)

  it("fails when its input finds nothing, and names the step and the path", function()
    local run = testing.run(P "missing" { input = { a = "object" }, S "x" { agent = "echo", input = { v = "$.input.a.b.c" } } }, { input = { a = {} } })
    assert.same({ "failed", "x" }, { run.status, run.error.step })
    assert.matches("x", run.error.message)
    assert.is_truthy(run.error.message:find("input.a", 1, true), run.error.message)
    assert.equal(0, run:attempts "x")
  end)

  it("refuses a run whose input does not fit, before anything runs", function()
    local run = testing.run(P "input" { input = { n = "integer" }, S "x" { agent = "echo", input = "$.input.n" } }, { input = { n = "one" } })
    assert.equal("refused", run.status)
    assert.equal("invalid", run.error.code)
    assert.matches("input%.n", run.error.message)
  end)

  describe("with a timeout", function()
    it("ends when one attempt has taken that long", function()
      local run = one(function(ctx) ctx:sleep(100) return 1 end, { timeout = "3s" })
      assert.same({ "failed", "timeout", 3 }, { run.status, run.error.code, run.seconds })
      assert.matches("longer than its timeout of 3 s", run.error.message)
    end)

    it("ends an agent that loops for ever, and its neighbours finish", function()
      for _, seed in ipairs { false, 1, 2 } do
        local run = testing.run(P "loop" { G "g" { S "loop" { agent = "loop", timeout = 0.3, optional = true }, S "good" { agent = "good" } } },
          { seed = seed or nil, agents = { loop = function() while true do pcall(function() while true do end end) end end,
            good = function(ctx) ctx:sleep(0.1) return "fine" end } })
        assert.same({ "finished", { good = "fine" } }, { run.status, run.output })
      end
    end)

    it("lets what was opened be closed, which may wait", function()
      local closed
      local run = one(function(ctx)
        local _ <close> = setmetatable({}, { __close = function() closed = true end })
        ctx:sleep(100)
      end, { timeout = 1 })
      assert.same({ "timeout", true }, { outcome(run), closed })
    end)

    it("does not take an error of the agent with the same code for its own", function()
      local run = one(function() error { code = "timeout", message = "the model did not answer" } end, { timeout = 10 })
      assert.same({ "timeout", "the model did not answer" }, { run.error.code, run.error.message })
    end)
  end)

  describe("with an idle timeout", function()
    it("ends when no item came for that long, however long it takes in all", function()
      local run = testing.run(P "idle" { G "g" {
        S "source" { agent = "source", stream = true, idle_timeout = "2s" }, S "reader" { agent = "reader", from = "source", optional = true } } },
        { agents = { source = function(ctx) for i = 1, 5 do ctx:emit(i) ctx:sleep(1) end ctx:sleep(50) end,
          reader = function(ctx) local n = 0 for _ in ctx:items() do n = n + 1 end return n end } })
      assert.same({ "failed", "timeout", "g/source" }, { run.status, run.error.code, run.error.step })
      assert.near(6, run.seconds, 0.01)
      assert.matches("no item came for 2 s", run.error.message)
    end)

    it("does not end a step whose items keep coming", function()
      local run = testing.run(P "busy" { G "g" {
        S "source" { agent = "source", stream = true, idle_timeout = 2 }, S "reader" { agent = "reader", from = "source" } } },
        { agents = { source = function(ctx) for i = 1, 10 do ctx:sleep(1.5) ctx:emit(i) end end,
          reader = function(ctx) local n = 0 for _ in ctx:items() do n = n + 1 end return n end } })
      assert.same({ "finished", 10, 15 }, { run.status, run.output.reader, run.seconds })
    end)
  end)

  it("with a deadline ends all attempts together", function()
    local run = one(function(ctx) ctx:sleep(2) error "again" end, { deadline = 7, retry = { attempts = 10, backoff = 1, factor = 1, jitter = 0 } })
    assert.same({ "failed", "timeout", 7 }, { run.status, run.error.code, run.seconds })
    assert.equal(3, run:attempts "subject")
    assert.matches("deadline of 7 s", run.error.message)
  end)

  it("that sleeps lets its time pass", function()
    local run = testing.run(P "sleep" { S "nap" { sleep = "90s" }, S "until_then" { sleep = { ["until"] = "2026-01-01T01:00:00Z" } } }, {})
    assert.same({ "finished", 3600 }, { run.status, run.seconds })
    assert.matches("^2026%-01%-01T01:00:00", run.output.due_at)
  end)

  it("that calls a pipeline gives it its input and nothing else", function()
    local run = testing.run(P "parent" { S "call" { pipeline = "hello", input = { name = "Bo" } } }, {})
    assert.equal("finished", run.status)
    assert.is_nil(run:data "greet")
    run = testing.run(P "parent" { S "call" { pipeline = "hello", input = { name = 7 } } }, {})
    assert.same({ "failed", "invalid", "call" }, { run.status, run.error.code, run.error.step })
  end)

  it("does not hold up its neighbours while much of what it is given, or gives, is checked", function()
    local records = weir.list {}
    for n = 1, 5000 do records[n] = { id = n, name = "record" } end
    local schema = { type = "array", items = { type = "object", properties = { id = { type = "integer" }, name = { type = "string" } } } }
    local function preempted(input, output)
      local before = native.stats().preemptions
      local pipeline = P "one" { input = { list = schema }, S "subject" { agent = "subject" }, output = "$.subject[0]" }
      local run = testing.run(pipeline, { seed = 1, input = { list = input }, agents = { subject = function() return output end } })
      assert.equal("finished", run.status)
      return native.stats().preemptions - before
    end
    local few = preempted({ records[1] }, { records[1] })
    assert.is_true(preempted(records, { records[1] }) > few + 50)
    assert.is_true(preempted({ records[1] }, records) > few + 50)
  end)
end)

local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

-- Runs one step and gives what its agent returned.
local function inside(body, fields, options)
  fields = fields or {}
  fields.agent = "subject"
  options = options or {}
  options.agents = { subject = body }
  local run = testing.run(P "context" { S "one" (fields) }, options)
  assert.equal("finished", run.status, run.error and run.error.message)
  return run.output, run
end

local function refused(body)
  local ok, message = inside(function(ctx)
    local ok, err = pcall(body, ctx)
    return { ok, tostring(err) }
  end)[1], nil
  assert.is_false(ok)
  return message
end

describe("ctx", function()
  it("says where it stands", function()
    local got, run = inside(function(ctx, input)
      return { pipeline = ctx.pipeline, attempt = ctx.attempt, visit = ctx.visit, same = ctx.input == input, run = ctx.run.id,
        key = ctx.idempotency_key, n = ctx.input.n, feedback = ctx.feedback == nil, branch = ctx.branch == nil }
    end, { input = { n = 7 } })
    assert.same({ pipeline = "context", attempt = 1, visit = 1, same = true, run = run.id, key = run.id .. "/one", n = 7, feedback = true, branch = true }, got)
  end)

  it("has one idempotency key for all attempts of a step, and another for another step", function()
    local keys = {}
    testing.run(P "keys" { G "g" { S "a" { agent = "subject", retry = { attempts = 3, backoff = 0 } }, S "b" { agent = "subject" } } },
      { agents = { subject = function(ctx)
        keys[#keys + 1] = ctx.idempotency_key
        if ctx.attempt < 3 and keys[#keys]:find "/a$" then error "again" end
        return 1
      end } })
    table.sort(keys)
    assert.equal(4, #keys)
    assert.equal(keys[1], keys[2])
    assert.equal(keys[2], keys[3])
    assert.not_equal(keys[3], keys[4])
  end)

  it("has the options of its step", function()
    assert.same({ a = 1, b = { c = "x" } }, (inside(function(ctx) return ctx.options end, { options = { a = 1, b = { c = "x" } } })))
  end)

  it("has a memory of its own", function()
    local run = testing.run(P "memory" { S "a" { agent = "subject" }, S "b" { agent = "subject" } }, { agents = { subject = function(ctx)
      ctx.memory.count = (ctx.memory.count or 0) + 1
      return ctx.memory.count
    end } })
    assert.same({ 1, 1 }, { run:data "a", run:data "b" })
  end)

  it("sleeps on the run's clock, and tells the time", function()
    local seconds = inside(function(ctx)
      local from = ctx:now()
      ctx:sleep(3600)
      return ctx:now() - from
    end)
    assert.near(3600, seconds, 0.01)
    refused(function(ctx) ctx:sleep(-1) end)
    refused(function(ctx) ctx:sleep "long" end)
  end)

  it("draws numbers", function()
    local got = inside(function(ctx)
      local sum, list = 0, weir.list {}
      for i = 1, 1000 do sum = sum + ctx:random() list[i] = ctx:random(3) end
      return { sum = sum, list = list }
    end)
    assert.near(500, got.sum, 60)
    local seen = {}
    for _, n in ipairs(got.list) do seen[n] = (seen[n] or 0) + 1 end
    assert.same({ true, true, true, nil, nil }, { seen[1] > 250, seen[2] > 250, seen[3] > 250, seen[0], seen[4] })
  end)

  it("logs, prints and measures to whoever listens", function()
    local _, run = inside(function(ctx)
      ctx:log("warn", "careful", { n = 1 })
      ctx:print "printed"
      ctx:metric("size", 3, { unit = "kb" })
      return 1
    end)
    local seen = {}
    for _, event in ipairs(run.events) do
      if event.kind == "log" then seen.log = { event.level, event.text, event.fields.n, event.step } end
      if event.kind == "print" then seen.print = event.text end
      if event.kind == "metric" then seen.metric = { event.name, event.value } end
    end
    assert.same({ log = { "warn", "careful", 1, "one" }, print = "printed", metric = { "size", 3 } }, seen)
    refused(function(ctx) ctx:log("shout", "x") end)
    refused(function(ctx) ctx:metric("size", "big") end)
  end)

  it("runs a function that no other task interrupts and that may not wait", function()
    local got = inside(function(ctx)
      local ok, message = pcall(ctx.atomic, ctx, function() ctx:sleep(1) end)
      return { value = ctx:atomic(function(a, b) return a + b end, 1, 2), ok = ok, message = tostring(message) }
    end)
    assert.same({ 3, false }, { got.value, got.ok })
    assert.matches("cannot wait for sleep here", got.message)
  end)

  it("runs a child process, and gives nil, message, code when it cannot", function()
    local got = inside(function(ctx)
      local result = assert(ctx:process({ "tr", "a-z", "A-Z" }, { stdin = "text" }))
      local none, message, code = ctx:process { "/no/such/program" }
      return { out = result.stdout, status = result.status, none = none == nil, said = type(message), code = code }
    end, nil, { real_time = true })
    assert.same({ out = "TEXT", status = 0, none = true, said = "string", code = "not_found" }, got)
  end)

  it("emits no nil", function()
    refused(function(ctx) ctx:emit(nil) end)
  end)

  it("leaves nothing behind", function()
    local before = native.stats().tasks
    inside(function() return 1 end)
    assert.equal(before, native.stats().tasks)
  end)
end)

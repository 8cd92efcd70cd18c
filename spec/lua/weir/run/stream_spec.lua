local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, G, S = weir.pipeline, weir.group, weir.step

local agents = {
  emit = function(ctx, input)
    for i = 1, input.count do
      if input.every then ctx:sleep(input.every) end
      ctx:emit((input.prefix or "") .. i)
    end
    if input.fails then error({ code = input.fails, message = "the source broke" }) end
  end,
  read = function(ctx, input)
    local got = weir.list {}
    for item in ctx:items(input.of) do
      got[#got + 1] = item
      if input.every then ctx:sleep(input.every) end
      if #got == input.stop then break end
    end
    return got
  end,
  quiet = function() return { answer = 42 } end,
  channel = function()
    local channel = require "weir.channel"
    local ch = channel.new(2)
    native.spawn(function() for i = 1, 5 do ch:send(i) end ch:close() end)
    return ch
  end,
}

local function run(steps, options)
  options = options or {}
  options.agents = agents
  local fields = { G "g" (steps) }
  return testing.run(P "stream" (fields), options)
end

local function emit(name, input, stream)
  return S(name) { agent = "emit", input = input, stream = stream == nil and true or stream }
end

local function read(name, from, input)
  return S(name) { agent = "read", from = from, input = input }
end

local function prefixed(prefix, count)
  local list = {}
  for i = 1, count do list[i] = prefix .. i end
  return list
end

describe("a stream between steps", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  it("brings items as they come, and they are also the output: strings joined, else a list", function()
    local of = run { emit("source", { count = 3, every = 1, prefix = "x" }), read("sink", "source") }
    assert.same({ source = "x1x2x3", sink = { "x1", "x2", "x3" } }, of.output)
    assert.equal(3, of.seconds)
    of = run { S "source" { agent = "channel", stream = true }, read("sink", "source") }
    assert.same({ source = { 1, 2, 3, 4, 5 }, sink = { 1, 2, 3, 4, 5 } }, of.output)
  end)

  it("gives every reader all of it", function()
    local of = run { emit("source", { count = 200, prefix = "x" }), read("a", "source"), read("b", "source", { every = 0.1 }), read("c", "source") }
    for _, name in ipairs { "a", "b", "c" } do assert.same(prefixed("x", 200), of.output[name]) end
  end)

  it("makes the source wait for its slowest reader", function()
    local of = run { emit("source", { count = 20 }, { buffer = 4 }), read("slow", "source", { every = 1 }), read("fast", "source") }
    assert.equal("finished", of.status)
    local ended = {}
    for _, event in ipairs(of.events) do
      if event.kind == "step" and event.status == "finished" then ended[event.name] = event.seconds end
    end
    assert.equal(20, ended.slow)
    assert.near(16, ended.source, 1.01)
  end)

  it("does not wait for a reader that has gone", function()
    local of = run { emit("source", { count = 500, prefix = "x" }, { buffer = 2 }), read("short", "source", { stop = 3 }), read("all", "source") }
    assert.equal("finished", of.status)
    assert.same({ prefixed("x", 3), 500 }, { of.output.short, #of.output.all })
  end)

  it("drops by its policy instead of waiting", function()
    local function kept(policy)
      local of = run { emit("source", { count = 20, prefix = "x" }, { buffer = 3, on_full = policy }), read("slow", "source", { every = 1 }) }
      assert.equal("finished", of.status)
      return of.output.slow
    end
    local oldest, newest, latest = kept "drop_oldest", kept "drop_newest", kept "latest"
    assert.equal("x20", latest[#latest])
    assert.equal("x20", oldest[#oldest])
    assert.equal("x1", newest[1])
    assert.is_true(#oldest <= 4 and #newest <= 4)
    assert.not_equal("x20", newest[#newest])
  end)

  it("keeps to its rate", function()
    local of = run { emit("source", { count = 11 }, { rate = 2 }), read("sink", "source") }
    assert.near(5, of.seconds, 0.01)
    assert.equal(11, #of.output.sink)
  end)

  it("is one item for a step that streams nothing and returns", function()
    local of = run { S "source" { agent = "quiet", stream = true }, read("sink", "source") }
    assert.same({ { answer = 42 } }, of.output.sink)
  end)

  describe("with several sources", function()
    local function merged(merge)
      return run { emit("a", { count = 3, every = 1, prefix = "a" }), emit("b", { count = 2, every = 1.25, prefix = "b" }),
        read("sink", { steps = { "a", "b" }, merge = merge }) }.output.sink
    end

    it("merges by arrival", function()
      assert.same({ "a1", "b1", "a2", "b2", "a3" }, merged "arrival")
      assert.same({ "a1", "b1", "a2", "b2", "a3" }, merged(nil))
    end)

    it("or in order, one source after the other", function()
      assert.same({ "a1", "a2", "a3", "b1", "b2" }, merged "order")
    end)

    it("or item by item, until one has ended", function()
      assert.same({ { a = "a1", b = "b1" }, { a = "a2", b = "b2" } }, merged "zip")
    end)

    it("can be read one by one, by name", function()
      local of = run { emit("a", { count = 2, prefix = "a" }), emit("b", { count = 2, prefix = "b" }), read("sink", { "a", "b" }, { of = "b" }) }
      assert.same({ "b1", "b2" }, of.output.sink)
      of = run { emit("a", { count = 2 }), emit("b", { count = 2 }), read("sink", { "a", "b" }, { of = "c" }) }
      assert.equal("failed", of.status)
      assert.matches("no source 'c'", of.error.message)
    end)
  end)

  it("begins its reader at the first item, while the source is still at work", function()
    local seen = {}
    agents.slow = function(ctx)
      for i = 1, 3 do
        ctx:emit(i)
        ctx:sleep(1)
      end
      seen[#seen + 1] = "source has ended"
    end
    agents.first = function(ctx)
      for item in ctx:items() do seen[#seen + 1] = item end
      return true
    end
    local of = run { S "source" { agent = "slow", stream = true }, S "sink" { agent = "first", from = "source" } }
    assert.equal("finished", of.status, of.error and of.error.message)
    assert.same({ 1, 2, 3, "source has ended" }, seen)
  end)

  it("ends with the value that its step returns, which is its outcome", function()
    agents.total = function(ctx)
      for i = 1, 3 do ctx:emit(i) end
      return { total = 6 }
    end
    local of = testing.run(P "stream" { G "g" { S "source" { agent = "total", stream = true }, S "sink" { agent = "read", from = "source", input = {} } },
      output = { source = "$.source", sink = "$.sink" } }, { agents = agents })
    assert.same({ source = { total = 6 }, sink = { 1, 2, 3 } }, of.output)
  end)

  it("passes an error on: the reader gets what was sent, then the error with its code", function()
    local got
    agents.catch = function(ctx)
      got = {}
      local ok, err = pcall(function() for item in ctx:items() do got[#got + 1] = item end end)
      return { ok = ok, code = err.code, message = err.message }
    end
    local of = run { S "source" { agent = "emit", input = { count = 3, prefix = "x", fails = "unavailable" }, stream = true, optional = true },
      S "sink" { agent = "catch", from = "source" } }
    assert.same({ "finished", { "x1", "x2", "x3" } }, { of.status, got })
    assert.same({ ok = false, code = "unavailable" }, { ok = of.output.sink.ok, code = of.output.sink.code })
    assert.matches("the stream of step 'source' broke: the source broke", of.output.sink.message)
  end)

  it("ends for a reader with the code that a select could take for its own", function()
    for _, code in ipairs { "full", "empty", "timeout", "closed" } do
      local of = run { S "a" { agent = "emit", input = { count = 1, fails = code }, stream = true, optional = true }, emit("b", { count = 1 }),
        S "sink" { agent = "read", from = { "a", "b" }, input = {}, optional = true } }
      assert.equal("finished", of.status, code)
    end
  end)

  it("can be a chain", function()
    agents.upper = function(ctx) for item in ctx:items() do ctx:emit(item:upper()) end end
    local of = run { emit("source", { count = 100, prefix = "x" }, { buffer = 1 }), S "upper" { agent = "upper", from = "source", stream = { buffer = 1 } },
      read("sink", "upper") }
    assert.same(prefixed("X", 100), of.output.sink)
  end)

  it("cannot be read by a step that names no source", function()
    local of = run { S "alone" { agent = "read" }, emit("other", { count = 1 }) }
    assert.equal("failed", of.status)
    assert.matches("name its source with `from`", of.error.message)
  end)

  it("loses and doubles nothing, whatever the order in which tasks run", function()
    for seed = 1, 30 do
      local of = run({ emit("a", { count = 40, prefix = "a" }, { buffer = 2 }), emit("b", { count = 40, prefix = "b" }, { buffer = 3 }),
        read("one", { "a", "b" }), read("two", { steps = { "a", "b" }, merge = "order" }) }, { seed = seed, jitter = 200 })
      assert.equal("finished", of.status)
      table.sort(of.output.one)
      table.sort(of.output.two)
      assert.same(of.output.two, of.output.one)
      assert.equal(80, #of.output.one)
    end
  end)
end)

describe("a stream and another attempt of its step", function()
  local function source(pieces_of)
    return function(ctx)
      for _, piece in ipairs(pieces_of(ctx.attempt)) do ctx:emit(piece) end
      if ctx.attempt == 1 then error({ code = "unavailable", message = "cut" }) end
    end
  end

  local function retried(pieces_of)
    return testing.run(P "again" { G "g" { S "source" { agent = "source", stream = true, retry = { attempts = 2 } },
      S "sink" { agent = "read", from = "source" } } }, { agents = { source = source(pieces_of), read = agents.read } })
  end

  it("give readers each byte once, however the text is cut the second time", function()
    local of = retried(function(attempt) return attempt == 1 and { "the ", "tide ca" } or { "the tide", " came", " in" } end)
    assert.same({ "the ", "tide ca", "me", " in" }, of.output.sink)
    assert.equal("the tide came in", of.output.source)
  end)

  it("give readers each item once", function()
    local of = retried(function(attempt) return attempt == 1 and { { n = 1 }, { n = 2 } } or { { n = 1 }, { n = 2 }, { n = 3 } } end)
    assert.same({ { n = 1 }, { n = 2 }, { n = 3 } }, of.output.sink)
  end)

  it("fail with conflict where the second attempt says something else than was given out", function()
    local of = retried(function(attempt) return attempt == 1 and { "the tide" } or { "the sea" } end)
    assert.same({ "failed", "conflict" }, { of.status, of.error.code })
    assert.matches("from byte 5 on", of.error.message)
  end)
end)

describe("a stream and a crash", function()
  it("gives a reader of a later life the same items, so that what it did with them is found again", function()
    for seed = 1, 40 do
      local done = {}
      local of = testing.run(P "durable" { G "g" { S "source" { agent = "emit", input = { count = 40, prefix = "x" }, stream = { buffer = 4 } },
        S "sink" { agent = "each", from = "source" } }, S "after" { agent = "quiet" }, output = "$.sink" },
        { seed = seed, crashes = 3, agents = { emit = agents.emit, quiet = agents.quiet, each = function(ctx)
          local heard = weir.list {}
          for item in ctx:items() do
            heard[#heard + 1] = ctx:step "note" { function()
              done[item] = (done[item] or 0) + 1
              return item
            end }
          end
          return heard
        end } })
      assert.equal("finished", of.status)
      assert.same(prefixed("x", 40), of.output)
      local again = 0
      for _, count in pairs(done) do again = again + count - 1 end
      assert.is_true(again <= 3) -- at most what each crash cut off
    end
  end)
end)

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

  it("spills what its readers have no room for: the source does not wait, and they get all of it", function()
    local ended_at
    agents.quick = function(ctx)
      for i = 1, 50 do ctx:emit(i) end
      ended_at = ctx:now()
      return true
    end
    agents.late = function(ctx, input)
      local got, began = weir.list {}, ctx:now()
      for item in ctx:items() do
        got[#got + 1] = item
        ctx:sleep(input.every)
      end
      return { got = got, began = began, ended = ctx:now() }
    end
    local of = run { S "source" { agent = "quick", stream = { buffer = 2, on_full = "spill" } },
      S "one" { agent = "late", from = "source", input = { every = 1 } }, S "two" { agent = "late", from = "source", input = { every = 2 } } }
    assert.equal("finished", of.status)
    for _, reader in ipairs { of.output.one, of.output.two } do
      assert.equal(50, #reader.got)
      for i = 1, 50 do assert.equal(i, reader.got[i]) end
    end
    assert.near(of.output.one.began, ended_at, 0.01)
    assert.near(100, of.output.two.ended - of.output.two.began, 0.01)
  end)

  it("spills in the order of each source, however several are merged, and its error comes last", function()
    for _, merge in ipairs { "arrival", "order", "zip" } do
      local of = run { emit("a", { count = 9, prefix = "a" }, { buffer = 1, on_full = "spill" }), emit("b", { count = 9, prefix = "b" }, { buffer = 1 }),
        read("sink", { steps = { "a", "b" }, merge = merge }, { every = 1 }) }
      local of_a = weir.list {}
      for _, item in ipairs(of.output.sink) do
        local own = type(item) == "table" and item.a or item
        if own:find "^a" then of_a[#of_a + 1] = own end
      end
      assert.same(prefixed("a", 9), of_a, merge)
    end
    local heard = {}
    agents.hear = function(ctx)
      local ok, err = pcall(function() for item in ctx:items() do heard[#heard + 1] = item end end)
      return { ok = ok, code = err.code }
    end
    local of = run { S "source" { agent = "emit", input = { count = 9, prefix = "x", fails = "unavailable" }, stream = { buffer = 1, on_full = "spill" },
      optional = true }, S "sink" { agent = "hear", from = "source" } }
    assert.same({ { ok = false, code = "unavailable" }, prefixed("x", 9) }, { of.output.sink, heard })
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
      local of = run({ emit("a", { count = 40, prefix = "a" }, { buffer = 2 }), emit("b", { count = 40, prefix = "b" }, { buffer = 3, on_full = "spill" }),
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

  it("begin a reader anew where the second attempt says something else, and it hears each item once", function()
    local of = retried(function(attempt) return attempt == 1 and { "the ", "tide" } or { "the sea", " calls" } end)
    assert.same({ "finished", { "the ", "sea", " calls" }, "the sea calls" }, { of.status, of.output.sink, of.output.source })
  end)

  it("take back what the second attempt does not say any more", function()
    local of = retried(function(attempt) return attempt == 1 and { "the ", "tide ", "came" } or { "the tide" } end)
    assert.same({ "finished", { "the ", "tide" }, "the tide" }, { of.status, of.output.sink, of.output.source })
    of = retried(function(attempt) return attempt == 1 and { { n = 1 }, { n = 2 } } or { { n = 1 } } end)
    assert.same({ "finished", { { n = 1 } }, { { n = 1 } } }, { of.status, of.output.sink, of.output.source })
  end)

  it("take back items that are no text from the first that differs", function()
    local of = retried(function(attempt) return attempt == 1 and { { n = 1 }, { n = 2 }, { n = 3 } } or { { n = 1 }, { n = 5 }, "text" } end)
    assert.same({ "finished", { { n = 1 }, { n = 5 }, "text" } }, { of.status, of.output.sink })
  end)
end)

-- The source says one text, then another; what its reader streams is told to whoever looks, as a browser would show it.
local function shown(events, key)
  local items = {}
  for _, event in ipairs(events) do
    if event.kind == "item" and event.step == key then items[#items + 1] = event.item end
    if event.kind == "rewind" and event.step == key then
      for index = #items, event.items + 1, -1 do items[index] = nil end
    end
  end
  return items
end

local function count_of(events, kind, key)
  local number = 0
  for _, event in ipairs(events) do
    if event.kind == kind and event.step == key then number = number + 1 end
  end
  return number
end

describe("a stream that is taken back", function()
  local begun, told
  before_each(function() begun, told = 0, weir.list {} end)

  local FIRST, SECOND = { "a ", "b ", "c ", "d ", "e " }, { "a ", "b ", "x ", "y " }

  local function source(ctx)
    for _, piece in ipairs(ctx.attempt == 1 and FIRST or SECOND) do
      ctx:emit(piece)
      ctx:sleep(1)
    end
    if ctx.attempt == 1 then error({ code = "unavailable", message = "cut" }) end
  end

  -- Goes on from what holds; what it has made of each item is its state.
  local function rolls(ctx)
    begun = begun + 1
    local made = {}
    for item in ctx:items { rewind = function(valid)
      told[#told + 1] = valid
      for index = #made, valid + 1, -1 do made[index] = nil end
    end } do
      made[#made + 1] = ctx:step "up" { agent = "up", input = { text = item } }.text
      ctx:emit(made[#made])
    end
    return { text = table.concat(made) }
  end

  local function begins_anew(ctx)
    begun = begun + 1
    local made = {}
    for item in ctx:items() do
      made[#made + 1] = ctx:step "up" { agent = "up", input = { text = item } }.text
      ctx:emit(made[#made])
    end
    return { text = table.concat(made) }
  end

  local function chain(reader, options)
    options = options or {}
    local done = {}
    local stream = { buffer = options.spills and 1 or 2, on_full = options.spills and "spill" or "wait" }
    options.spills = nil
    options.agents = { source = source, reader = reader, hear = agents.read, up = function(_, input)
      done[input.text] = (done[input.text] or 0) + 1
      return { text = input.text:upper() }
    end }
    return testing.run(P "chain" { G "g" {
      S "source" { agent = "source", stream = stream, retry = { attempts = 2, backoff = "1s" } },
      S "reader" { agent = "reader", from = "source", stream = stream },
      S "last" { agent = "hear", from = "reader" },
    } }, options), done
  end

  it("lets a reader that can go on from the items that hold, and does nothing twice", function()
    local of, done = chain(rolls)
    assert.equal("finished", of.status, of.error and of.error.message)
    assert.same({ "A B X Y ", { "A ", "B ", "X ", "Y " } }, { of.output.reader.text, of.output.last })
    assert.same({ 1, { 2 } }, { begun, told })
    assert.same({ ["a "] = 1, ["b "] = 1, ["c "] = 1, ["d "] = 1, ["e "] = 1, ["x "] = 1, ["y "] = 1 }, done)
  end)

  it("begins any other reader anew", function()
    local of, done = chain(begins_anew)
    assert.equal("finished", of.status, of.error and of.error.message)
    assert.same({ "A B X Y ", { "A ", "B ", "X ", "Y " } }, { of.output.reader.text, of.output.last })
    assert.same({ 2, 2 }, { begun, done["a "] })
  end)

  it("tells whoever looks how many items hold, at each step of the chain, and gives nothing twice", function()
    for _, reader in ipairs { rolls, begins_anew } do
      local of = chain(reader)
      assert.same(SECOND, shown(of.events, "g/source"))
      assert.same({ "A ", "B ", "X ", "Y " }, shown(of.events, "g/reader"))
      assert.same({ 1, 1 }, { count_of(of.events, "rewind", "g/source"), count_of(of.events, "rewind", "g/reader") })
      assert.same({ 7, 7 }, { count_of(of.events, "item", "g/source"), count_of(of.events, "item", "g/reader") })
      for _, event in ipairs(of.events) do
        if event.kind == "rewind" then assert.same({ 2, 4 }, { event.items, event.bytes }) end
      end
    end
  end)

  it("ends the same, whatever the order of tasks and whenever the host is lost, with each reader", function()
    for _, reader in ipairs { rolls, begins_anew } do
      for seed = 1, 60 do
        local of = chain(reader, { seed = seed, crashes = seed % 4, jitter = 200, spills = seed % 3 == 0 })
        assert.equal("finished", of.status, ("seed %d: %s"):format(seed, of.error and of.error.message))
        assert.same({ "A B X Y ", { "A ", "B ", "X ", "Y " } }, { of.output.reader.text, of.output.last })
      end
    end
  end)

  it("does not take back from a reader what it has not come to yet", function()
    local of = testing.run(P "slow" { G "g" {
      S "source" { agent = "source", stream = { buffer = 8 }, retry = { attempts = 2, backoff = "10ms" } },
      S "sink" { agent = "slow", from = "source" },
    } }, { agents = { slow = function(ctx)
      begun = begun + 1
      ctx:sleep(7.5)
      local got = weir.list {}
      for item in ctx:items() do got[#got + 1] = item end
      return got
    end, source = source } })
    assert.same({ "finished", SECOND, 1 }, { of.status, of.output.sink, begun })
  end)

  it("fails with conflict where a reader has finished with what is taken back", function()
    local of = testing.run(P "early" { G "g" {
      S "source" { agent = "source", stream = true, retry = { attempts = 2 } },
      S "sink" { agent = "hear", from = "source", input = { stop = 4 } },
    } }, { agents = { hear = agents.read, source = source } })
    assert.same({ "failed", "conflict" }, { of.status, of.error.code })
    assert.matches("from item 3 on; step 'sink' has read them and has finished", of.error.message)
    of = testing.run(P "early" { G "g" {
      S "source" { agent = "source", stream = true, retry = { attempts = 2 } },
      S "sink" { agent = "hear", from = "source", input = { stop = 2 } },
    } }, { agents = { hear = agents.read, source = source } })
    assert.same({ "finished", { "a ", "b " } }, { of.status, of.output.sink })
  end)

  it("is mapped anew by a map that reads it, also after a crash", function()
    for seed = 1, 20 do
      local of = testing.run(P "mapped" { G "g" {
        S "source" { agent = "source", stream = true, retry = { attempts = 2, backoff = "1s" } },
        weir.map "all" { from = "source", S "one" { agent = "up", input = { text = "$.item" } } },
      } }, { seed = seed, crashes = seed % 3, agents = { source = source, up = function(_, input) return input.text:upper() end } })
      assert.equal("finished", of.status, of.error and of.error.message)
      assert.same({ "A ", "B ", "X ", "Y " }, of.output.all)
    end
  end)

  it("is taken back too where the model breaks off and, asked again, says something else", function()
    for seed = 1, 30 do
      local asked = 0
      local of = testing.run(P "model" { G "g" { S "draft" { agent = "ask", stream = true, input = { prompt = "the sea" } },
        S "sink" { agent = "hear", from = "draft" } } }, { seed = seed, agents = { hear = agents.read }, models = { m = function(ctx)
          asked = asked + 1
          for _, piece in ipairs(asked == 1 and { "the ", "tide ", "is" } or { "the ", "sea" }) do ctx:emit { text = piece } end
          if asked == 1 then return nil, "the connection ended", "unavailable", { class = "cut" } end
          return { message = { role = "assistant", content = "the sea" }, finish = "stop" }
        end } })
      assert.equal("finished", of.status, of.error and of.error.message)
      assert.same({ "the ", "sea" }, of.output.sink, seed)
      assert.same({ "the sea", 2 }, { of.output.draft.text, asked })
      assert.same({ "the ", "sea" }, shown(of.events, "g/draft"))
    end
  end)

  it("is read from its beginning by a reader that is tried again", function()
    local of = testing.run(P "again" { G "g" { emit("source", { count = 10, prefix = "x" }, { buffer = 2 }),
      S "sink" { agent = "fails_once", from = "source", retry = { attempts = 2 } } } }, { agents = { emit = agents.emit, fails_once = function(ctx)
        local got = weir.list {}
        for item in ctx:items() do
          got[#got + 1] = item
          if #got == 4 and ctx.attempt == 1 then error({ code = "unavailable", message = "lost" }) end
        end
        return got
      end } })
    assert.same({ "finished", prefixed("x", 10) }, { of.status, of.output.sink })
  end)
end)

describe("a stream and a crash", function()
  it("gives a reader of a later life the same items, so that what it did with them is found again", function()
    for seed = 1, 40 do
      local done = {}
      local stream = { buffer = 4, on_full = seed % 2 == 0 and "spill" or "wait" }
      local of = testing.run(P "durable" { G "g" { S "source" { agent = "emit", input = { count = 40, prefix = "x" }, stream = stream },
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
      assert.equal("finished", of.status, of.error and of.error.message)
      assert.same(prefixed("x", 40), of.output)
      local again = 0
      for _, count in pairs(done) do again = again + count - 1 end
      assert.is_true(again <= 3) -- at most what each crash cut off
    end
  end)
end)

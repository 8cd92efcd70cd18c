local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local running, most

-- Agents may lose the processor anywhere, also between reading a number and writing it.
local function tally(by)
  native.atomic(function()
    running = running + by
    most = math.max(most, running)
  end)
end

local agents = {
  work = function(ctx, input)
    tally(1)
    local _ <close> = setmetatable({}, { __close = function() tally(-1) end })
    ctx:sleep(input.seconds or 1)
    if input.fails then error({ code = "unavailable", message = "no luck with " .. tostring(input.n) }) end
    return (input.n or 0) * 10
  end,
  pass = function(_, input) return input end,
  size = function(_, input) return #input.items end,
  sum = function(_, input)
    local sum = input.acc or 0
    for _, item in ipairs(input.items) do sum = sum + item end
    return sum
  end,
  join = function(_, input)
    local parts = {}
    for i, item in ipairs(input.items) do parts[i] = tostring(item) end
    return "(" .. table.concat(parts, " ") .. ")" .. input.level
  end,
  cut = function(_, input)
    local list = weir.list {}
    for word in input.text:gmatch "%S+" do list[#list + 1] = word end
    return { chunks = list }
  end,
}

local function numbers(count)
  local list = weir.list {}
  for i = 1, count do list[i] = i end
  return list
end

local function run(fields, input, options)
  running, most = 0, 0
  options = options or {}
  options.agents, options.input = agents, input or {}
  return testing.run(P "maps" { input = { list = "any?", text = "string?" }, weir.map "m" (fields) }, options)
end

local function work(fields) return S "work" { agent = "work", input = fields or { n = "$.item", seconds = 1 } } end

describe("a map", function()
  local tasks_before
  before_each(function() tasks_before = native.stats().tasks end)
  after_each(function() assert.is_true(native.stats().tasks <= tasks_before) end)

  it("gives the outputs in the order of the items, however long each takes", function()
    agents.uneven = function(ctx, input) ctx:sleep(10 - input.n) return input.n end
    local of = run { over = numbers(9), concurrency = 9, S "one" { agent = "uneven", input = { n = "$.item" } } }
    assert.same({ "finished", { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, 9 }, { of.status, of.output, of.seconds })
  end)

  it("gives each child its item and its index from 0, and sees what is around it", function()
    local of = run({ over = "$.input.list", S "one" { agent = "pass", input = { item = "$.item", index = "$.index", all = "$.input.list[0]" } } },
      { list = weir.list { "a", "b" } })
    assert.same({ { item = "a", index = 0, all = "a" }, { item = "b", index = 1, all = "a" } }, of.output)
  end)

  it("runs so many at once and no more", function()
    for _, case in ipairs { { 1, 12 }, { 3, 4 }, { 5, 3 }, { 100, 1 } } do
      local of = run { over = numbers(12), concurrency = case[1], work() }
      assert.same({ "finished", math.min(case[1], 12), case[2] }, { of.status, most, of.seconds })
    end
  end)

  it("of nothing gives an empty list, and of what is no list fails with invalid", function()
    local of = run { over = weir.list {}, work() }
    assert.same({ "finished", {}, true }, { of.status, of.output, weir.is_list(of.output) })
    for _, value in ipairs { 7, "text", { a = 1 } } do
      of = run({ over = "$.input.list", work() }, { list = value })
      assert.same({ "failed", "invalid" }, { of.status, of.error.code })
      assert.matches("must give a list", of.error.message)
    end
  end)

  it("may have a body of several steps, whose last gives the item's output", function()
    local of = run { over = numbers(3), S "a" { agent = "work", input = { n = "$.item" } }, S "b" { agent = "pass", input = { a = "$.a", i = "$.index" } } }
    assert.same({ { a = 10, i = 0 }, { a = 20, i = 1 }, { a = 30, i = 2 } }, of.output)
    assert.is_nil(of:data "a")
  end)

  describe("in which items fail", function()
    local function failing(count, failures, tolerate)
      local list = weir.list {}
      for i = 1, count do list[i] = { n = i, fails = i <= failures or nil, seconds = i } end
      return run({ over = "$.input.list", concurrency = 4, tolerate = tolerate, S "work" { agent = "work", input = "$.item" } }, { list = list })
    end

    it("fails with the first failure, and cancels the rest", function()
      local of = failing(10, 1)
      assert.same({ "failed", "unavailable", 1, 0 }, { of.status, of.error.code, of.seconds, running })
      assert.matches("item 0: no luck with 1", of.error.message)
      assert.matches("^m%[0%]/", of.error.step)
    end)

    it("tolerates so many, and their places hold null", function()
      local of = failing(6, 2, 2)
      assert.same({ "finished", { weir.null, weir.null, 30, 40, 50, 60 } }, { of.status, of.output })
      of = failing(6, 3, 2)
      assert.same({ "failed", "unavailable" }, { of.status, of.error.code })
      assert.matches("3 items failed, 2 tolerated", of.error.message)
    end)

    it("or such a share, rounded down", function()
      assert.equal("finished", failing(10, 2, "20%").status)
      assert.equal("finished", failing(10, 2, "29%").status)
      assert.equal("failed", failing(10, 3, "29%").status)
      assert.equal("failed", failing(10, 1, "5%").status)
      assert.equal("finished", failing(3, 3, "100%").status)
    end)
  end)

  it("gives what items give as it is: false, null, empty lists and objects, in order or as they come", function()
    local list = weir.list { false, weir.null, weir.list {}, {}, "", 0, false }
    for _, ordered in ipairs { true, false } do
      local of = run({ over = "$.input.list", ordered = ordered, concurrency = 1, S "one" { agent = "pass", input = "$.item" } }, { list = list })
      assert.equal('[false,null,[],{},"",0,false]', json.encode(of.output))
    end
  end)

  it("skips an item whose step is not due, and its place holds null", function()
    local of = run { over = numbers(4), S "work" { agent = "work", input = { n = "$.item" }, when = "$.item > 2" } }
    assert.same({ weir.null, weir.null, 30, 40 }, of.output)
  end)

  it("takes several items at once in a batch", function()
    local of = run { over = numbers(7), batch = 3, S "one" { agent = "size", input = { items = "$.item" } } }
    assert.same({ 3, 3, 1 }, of.output)
  end)

  it("stops taking items once `until` holds", function()
    local of = run { over = numbers(10), concurrency = 1, ["until"] = "$.work >= 30 && $.index == 2", work() }
    assert.equal("finished", of.status)
    assert.same({ 10, 20, 30 }, { table.unpack(of.output, 1, 3) })
    assert.equal(weir.null, of.output[4])
    assert.equal(3, of.seconds)
  end)

  it("cuts its list with a chunker", function()
    local of = run({ over = { text = "$.input.text" }, chunk = { agent = "cut" }, S "one" { agent = "pass", input = "<${item}>" } }, { text = "a b c" })
    assert.same({ "finished", { "<a>", "<b>", "<c>" } }, { of.status, of.output })
  end)

  describe("that reduces", function()
    it("all at once", function()
      local of = run { over = numbers(5), concurrency = 5, work(), reduce = { agent = "sum" } }
      assert.same({ "finished", 150 }, { of.status, of.output })
      assert.equal(0, run { over = weir.list {}, work(), reduce = { agent = "sum", mode = "all" } }.output)
    end)

    it("one after the other", function()
      local of = run { over = numbers(5), work(), reduce = { agent = "sum", mode = "fold" } }
      assert.equal(150, of.output)
    end)

    it("as a tree of some arity, in order, and says the level", function()
      local of = run { over = numbers(5), S "one" { agent = "pass", input = "$.item" }, reduce = { agent = "join", mode = "tree", arity = 2 } }
      assert.equal("(((1 2)1 (3 4)1)2 ((5)1)2)3", of.output)
      assert.equal("(1 2 3 4 5)1", run { over = numbers(5), S "one" { agent = "pass", input = "$.item" },
        reduce = { agent = "join", mode = "tree", arity = 16 } }.output)
    end)

    it("only what did not fail", function()
      local list = weir.list { { n = 1 }, { n = 2, fails = true }, { n = 3 } }
      local of = run({ over = "$.input.list", tolerate = 1, S "work" { agent = "work", input = "$.item" }, reduce = { agent = "sum" } }, { list = list })
      assert.same({ "finished", 40 }, { of.status, of.output })
    end)
  end)

  it("may stand in another", function()
    local of = run({ over = "$.input.list", concurrency = 2,
      weir.map "inner" { over = "$.item", concurrency = 2, S "one" { agent = "work", input = { n = "$.item" } } } },
      { list = weir.list { weir.list { 1, 2 }, weir.list {}, weir.list { 3 } } })
    assert.same({ "finished", { { 10, 20 }, {}, { 30 } } }, { of.status, of.output })
  end)

  it("of several steps may stand in another of several, and be called as its body is", function()
    local of = run({ over = "$.input.list",
      S "first" { agent = "work", input = { n = "$.item[0]" } },
      weir.map "each" { over = "$.item", S "one" { agent = "work", input = { n = "$.item" } }, S "two" { agent = "work", input = { n = "$.one" } } } },
      { list = weir.list { weir.list { 1, 2 }, weir.list { 3 } } })
    assert.same({ "finished", { { 100, 200 }, { 300 } } }, { of.status, of.output })
  end)

  it("retries an item by itself", function()
    local tries = {}
    agents.flaky = function(ctx, input)
      tries[input.n] = ctx.attempt
      if input.n == 2 and ctx.attempt < 3 then error "again" end
      return input.n
    end
    local of = run { over = numbers(3), S "one" { agent = "flaky", input = { n = "$.item" }, retry = { attempts = 3, backoff = 1 } } }
    assert.same({ "finished", { 1, 2, 3 }, { 1, 3, 1 } }, { of.status, of.output, tries })
  end)

  it("gives the same result for every order in which its items may run", function()
    for seed = 1, 30 do
      local of = run({ over = numbers(20), concurrency = 4, S "work" { agent = "work", input = { n = "$.item", seconds = 1 } } }, {}, { seed = seed })
      assert.equal("finished", of.status)
      for i = 1, 20 do assert.equal(i * 10, of.output[i]) end
    end
  end)

  it("of 5,000 items holds no more tasks than it may run at once", function()
    local peak = 0
    agents.quick = function(_, input)
      peak = math.max(peak, native.stats().tasks - tasks_before)
      return input.n
    end
    local of = run { over = numbers(5000), concurrency = 8, S "one" { agent = "quick", input = { n = "$.item" } } }
    assert.equal(5000, #of.output)
    assert.is_true(peak <= 20, peak)
  end)
end)

local channel = require "weir.channel"
local native = require "weir.native.scheduler"
local task = require "weir.task"

-- A channel that gives these values, so many seconds apart, then ends.
local function source(values, seconds, reason, code)
  local ch = channel.new(4)
  native.spawn(function()
    for _, value in ipairs(values) do
      if seconds then native.sleep(seconds) end
      if not ch:send(value) then return end
    end
    ch:close(reason, code)
  end)
  return ch
end

local function numbers(count)
  local list = {}
  for i = 1, count do list[i] = i end
  return list
end

local function drain(ch)
  local list = {}
  while true do
    local value, message, code = ch:recv()
    if value == nil then return list, code, message end
    list[#list + 1] = value
  end
end

describe("channel operator", function()
  local tasks_before

  before_each(function()
    tasks_before = native.stats().tasks
    native.use_virtual_clock(nil, 0)
  end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  describe("tee", function()
    it("gives every value to every reader, in order", function()
      task.within({}, function()
        local readers, results = channel.tee(source(numbers(50)), 3, 2), {}
        for i, reader in ipairs(readers) do native.spawn(function() results[i] = drain(reader) end) end
        native.sleep(1)
        for i = 1, 3 do assert.same(numbers(50), results[i]) end
      end)
    end)

    it("goes at the pace of the slowest reader", function()
      task.within({}, function()
        local from = native.now()
        local fast, slow = table.unpack(channel.tee(source(numbers(10)), 2, 1))
        native.spawn(drain, fast)
        for _ = 1, 10 do native.sleep(1) slow:recv() end
        assert.near(10, native.now() - from, 1e-6)
      end)
    end)

    it("goes on for the others when a reader has gone, and stops its source when all have", function()
      task.within({}, function()
        local first = source(numbers(100))
        local a, b = table.unpack(channel.tee(first, 2, 1))
        a:close()
        for i = 1, 20 do assert.equal(i, b:recv()) end
        b:close()
        native.sleep(1)
        assert.is_true(first:stats().closed)
      end)
    end)
  end)

  describe("merge", function()
    it("gives the values of all, each source in its order, and ends when all have", function()
      task.within({}, function()
        local merged = channel.merge { source({ "a1", "a2", "a3" }, 1), source({ "b1", "b2" }, 1.5), source {} }
        local got, code = drain(merged)
        assert.equal(5, #got)
        assert.equal("closed", code)
        local order = { a = 0, b = 0 }
        for _, value in ipairs(got) do
          local name, number = value:match "(%a)(%d)"
          assert.equal(order[name] + 1, tonumber(number))
          order[name] = tonumber(number)
        end
      end)
    end)

    it("ends with the first error, and lets the others go", function()
      task.within({}, function()
        local endless = channel.new(1)
        native.spawn(function() while endless:send(1) do native.sleep(1) end end)
        local got, code, message = drain(channel.merge { endless, source({}, nil, "it broke", "unavailable") })
        assert.same({ "unavailable", "it broke" }, { code, message })
        assert.is_true(#got <= 2)
      end)
    end)
  end)

  describe("zip", function()
    it("gives the first with the first, and ends with the source that ends first", function()
      task.within({}, function()
        local longer = source(numbers(9), 1)
        assert.same({ { { "a", 1 }, { "b", 2 } }, "closed" }, { drain(channel.zip { source { "a", "b" }, longer }) })
        native.sleep(5)
        assert.is_true(longer:stats().closed)
      end)
    end)

    it("ends with the first error", function()
      task.within({}, function()
        local got, code, message = drain(channel.zip { source(numbers(3)), source({ "a" }, nil, "it broke", "unavailable") })
        assert.same({ { { 1, "a" } }, "unavailable", "it broke" }, { got, code, message })
      end)
    end)
  end)

  describe("window", function()
    local function windows(...)
      local list
      local given = table.pack(...)
      task.within({}, function() list = drain(channel.window(source(numbers(7)), table.unpack(given, 1, given.n))) end)
      return list
    end

    it("overlaps, follows, or leaves out, as its step says", function()
      assert.same({ { 1, 2, 3 }, { 2, 3, 4 }, { 3, 4, 5 }, { 4, 5, 6 }, { 5, 6, 7 } }, windows(3))
      assert.same({ { 1, 2, 3 }, { 3, 4, 5 }, { 5, 6, 7 } }, windows(3, 2))
      assert.same({ { 1, 2, 3 }, { 4, 5, 6 } }, windows(3, 3))
      assert.same({ { 1, 2 }, { 5, 6 } }, windows(2, 4))
    end)

    it("gives nothing for what does not fill one", function() assert.same({}, windows(8)) end)

    it("hands on the error of its source", function()
      task.within({}, function()
        assert.same({ { { 1, 2 } }, "limit", "too much" }, { drain(channel.window(source(numbers(2), nil, "too much", "limit"), 2)) })
      end)
    end)
  end)

  describe("batch", function()
    it("makes lists of a size, the last one shorter", function()
      task.within({}, function()
        assert.same({ { 1, 2, 3 }, { 4, 5, 6 }, { 7 } }, (drain(channel.batch(source(numbers(7)), 3))))
        assert.same({}, (drain(channel.batch(source {}, 3))))
      end)
    end)

    it("gives a list that is not full after so many seconds", function()
      task.within({}, function()
        local got = drain(channel.batch(source(numbers(5), 1), 100, 2.5))
        assert.same({ { 1, 2, 3 }, { 4, 5 } }, got)
      end)
    end)

    it("hands on what it has before it hands on the error, whatever its code", function()
      task.within({}, function()
        for _, expected in ipairs { "failed", "timeout", "full", "empty" } do
          local got, code, message = drain(channel.batch(source({ 1 }, nil, "it broke", expected), 10, 3))
          assert.same({ { { 1 } }, expected, "it broke" }, { got, code, message })
        end
      end)
    end)
  end)

  describe("rate", function()
    it("lets values pass at so many a second, after a burst", function()
      task.within({}, function()
        local from, at = native.now(), {}
        local limited = channel.rate(source(numbers(10)), 2, 4)
        for value in limited:items() do at[value] = native.now() - from end
        for i = 1, 4 do assert.near(0, at[i], 1e-6) end
        for i = 5, 10 do assert.near((i - 4) / 2, at[i], 1e-6) end
      end)
    end)

    it("does not save up more than the burst", function()
      task.within({}, function()
        local ch = channel.new(10)
        local limited = channel.rate(ch, 1, 2)
        native.sleep(100)
        local from = native.now()
        native.spawn(function() for i = 1, 4 do ch:send(i) end ch:close() end)
        drain(limited)
        assert.near(2, native.now() - from, 1e-6)
      end)
    end)
  end)

  it("ends with the scope that it was made in", function()
    local endless, batches = channel.new(1), nil
    task.within({}, function(scope)
      native.spawn(function() while endless:send(1) do native.sleep(0.1) end end)
      batches = channel.batch(channel.rate(channel.merge { endless }, 5), 3, 1)
      assert.equal(3, #batches:recv())
      scope:cancel "enough"
    end)
  end)
end)

local keeper = require "weir.model.keeper"
local port = require "weir.port.store"
local statistics = require "weir.model.statistics"
local support = dofile "spec/lua/weir/model/support.lua"
local task = require "weir.task"

-- A clock that stands still until it is moved.
local function new_clock()
  local clock = { at = 1700000000 }
  function clock.wall_ms() return math.floor(clock.at * 1000) end
  function clock.now() return clock.at end
  function clock.sleep(seconds) clock.at = clock.at + seconds end
  return clock
end

local function near(expected, actual, tolerance)
  assert.is_true(math.abs(expected - actual) <= (tolerance or 1e-9), ("%g expected, got %g"):format(expected, actual))
end

describe("statistics of models", function()
  it("know nothing of a model that was never called", function()
    local metrics = statistics.new(nil, new_clock()):of("fast")
    assert.equal(0, metrics.calls)
    assert.is_nil(metrics.success)
    assert.is_nil(metrics.usd_per_call)
    assert.is_nil(metrics.idle_s)
  end)

  it("go on at once when a clock that was ahead by a year is set right", function()
    local clock = new_clock()
    local all = statistics.new(nil, clock)
    clock.at = clock.at + 365 * 86400
    for _ = 1, 10 do all:record { model = "fast", label = "draft", ok = true, total_s = 1 } end
    all:chosen("draft", "slow")
    all:chosen("draft", "fast")
    clock.at = clock.at - 365 * 86400
    for _ = 1, 30 do all:record { model = "fast", label = "draft", ok = false, class = "server", total_s = 1 } end
    near(0.25, all:of("fast", "draft").success)
    clock.at = clock.at + 60
    near(60, all:of("fast", "draft").idle_s)
    assert.same({ name = "fast", since_s = 0, ages = { 0 } }, all:last "draft")
    clock.at = clock.at + 60
    near(60, all:last("draft").since_s)
  end)

  it("count calls, failures by class, times, speed and money, per model and per label", function()
    local clock = new_clock()
    local all = statistics.new(nil, clock)
    for n = 1, 20 do
      all:record { model = "fast", label = n <= 10 and "draft" or nil, ok = true, first_token_s = 0.2, total_s = 1.2, output_tokens = 50,
        input_tokens = 100, usd = 0.002 }
    end
    for _ = 1, 5 do all:record { model = "fast", ok = false, class = "server", total_s = 0.1 } end
    all:record { model = "fast", ok = false, class = "cancelled", total_s = 9 }
    local metrics = all:of "fast"
    assert.equal(26, metrics.calls)
    near(0.8, metrics.success)
    assert.same({ server = 5, cancelled = 1 }, metrics.classes)
    near(0.2, metrics.first_token_p50, 0.01)
    near(1.2, metrics.total_p95, 0.06)
    near(50, metrics.tokens_per_second)
    near(0.002, metrics.usd_per_call)
    near(0.04, metrics.usd)
    assert.equal(10, all:of("fast", "draft").calls)
    near(1, all:of("fast", "draft").success)
    local rows = all:table()
    assert.equal(2, #rows)
    assert.equal("draft", rows[2].label)
  end)

  it("leave out what is not known: no price is no cost", function()
    local all = statistics.new(nil, new_clock())
    all:record { model = "free", ok = true, total_s = 1 }
    assert.is_nil(all:of("free").usd_per_call)
    assert.is_nil(all:of("free").usd)
    assert.is_nil(all:of("free").tokens_per_second)
    assert.is_nil(all:of("free").first_token_p50)
  end)

  it("let a person's score count as three of a critic", function()
    local all = statistics.new(nil, new_clock())
    all:score("fast", "draft", 0.2, "critic")
    all:score("fast", "draft", 1, "person")
    near(0.8, all:of("fast", "draft").score)
    near(0.8, all:of("fast").score)
    assert.equal(2, all:of("fast").scores)
    all:score("fast", nil, 7, "critic")
    near(0.84, all:of("fast").score)
  end)

  it("forget: what is an hour old counts half, and a day later it is not counted", function()
    local clock = new_clock()
    local all = statistics.new(nil, clock)
    all:record { model = "fast", ok = false, class = "server", total_s = 1 }
    clock.at = clock.at + 3600
    all:record { model = "fast", ok = true, total_s = 1 }
    near(2 / 3, all:of("fast").success)
    clock.at = clock.at + 23 * 3600
    assert.equal(1, all:of("fast").calls)
    clock.at = clock.at + 3600
    assert.equal(0, all:of("fast").calls)
    near(2 / 3, all:of("fast").success) -- a share does not change while nothing comes in
    clock.at = clock.at + 400 * 86400
    all:record { model = "fast", ok = true, total_s = 1 }
    near(1, all:of("fast").success, 1e-6)
  end)

  it("see within ten calls that a model has changed", function()
    local all = statistics.new(nil, new_clock())
    for _ = 1, 1000 do all:record { model = "fast", ok = true, total_s = 1 } end
    for _ = 1, 10 do all:record { model = "fast", ok = true, total_s = 10 } end
    assert.is_true(all:of("fast").recent.seconds > 6)
    assert.is_true(all:of("fast").recent.calls < 10.1)
    for _ = 1, 10 do all:record { model = "fast", ok = false, class = "server", total_s = 1 } end
    assert.is_true(all:of("fast").recent.success < 0.4)
    assert.is_true(all:of("fast").success > 0.98)
  end)

  it("stay as large as they are, however much is recorded, and drop the oldest when there are too many", function()
    local clock = new_clock()
    local all = statistics.new(nil, clock)
    for n = 1, 4200 do
      clock.at = clock.at + 1
      all:record { model = "fast", label = "task " .. n, ok = n % 3 > 0, class = n % 3 == 0 and "server" or nil, total_s = n % 97 / 10 }
    end
    local rows = all:table()
    assert.equal(4096, #rows)
    assert.equal(0, all:of("fast", "task 1").calls)
    assert.equal(1, all:of("fast", "task 4200").calls)
    assert.same({}, all.keeper.changed) -- nothing is kept without a store
    local one = statistics.new(nil, clock)
    local function size()
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    for n = 1, 5000 do one:record { model = "a", ok = true, first_token_s = n % 89 / 30, total_s = n % 97 / 10 } end
    local before = size()
    for n = 1, 10000 do one:record { model = "a", ok = true, first_token_s = n % 89 / 30, total_s = n % 97 / 10 } end
    assert.is_true(size() - before < 64, size() - before .. " KiB more")
  end)

  it("remember which model was chosen last, and when that changed", function()
    local clock = new_clock()
    local all = statistics.new(nil, clock)
    assert.is_nil(all:last "draft")
    for _, name in ipairs { "a", "a", "b", "a" } do
      all:chosen("draft", name)
      clock.at = clock.at + 10
    end
    assert.same({ name = "a", since_s = 10, ages = { 10, 20 } }, all:last "draft")
    assert.is_nil(all:last())
  end)
end)

describe("statistics in a store", function()
  it("are there again, and are written together some seconds after they changed", function()
    support.virtually(function()
      local store <close> = assert(port.open ":memory:")
      local all = statistics.new(store)
      local before = store:lsn()
      for n = 1, 100 do all:record { model = "fast", label = "draft", ok = n % 4 > 0, class = "server", first_token_s = 0.1, total_s = 1 } end
      all:score("fast", "draft", 0.5, "critic")
      all:chosen("draft", "fast")
      assert.equal(before, store:lsn())
      task.sleep(2.5)
      assert.equal(before + 3, store:lsn()) -- a model, a label, and what was chosen
      local again = statistics.new(store)
      assert.same(all:of("fast", "draft"), again:of("fast", "draft"))
      assert.same(all:of "fast", again:of "fast")
      assert.equal("fast", again:last("draft").name)
      all:close()
    end)
  end)

  it("are written at the end", function()
    local store <close> = assert(port.open ":memory:")
    local all = statistics.new(store)
    all:record { model = "fast", ok = true, total_s = 1 }
    assert.is_true(all:close())
    assert.is_true(all:close())
    assert.equal(1, statistics.new(store):of("fast").calls)
  end)

  it("are tried again when the store refuses", function()
    support.virtually(function()
      local written, refuses = {}, true
      local store = { batch = function(_, operations)
        if refuses then return nil, "the disk is full", "full" end
        for _, operation in ipairs(operations) do written[operation.key] = operation.value end
        return {}
      end }
      local one = keeper.new(store)
      one:put("space", "a", function() return 1 end)
      one:put("space", "b", function() return 2 end)
      task.sleep(3)
      assert.equal("the disk is full", one.problem)
      one:put("space", "a", function() return 3 end)
      refuses = false
      task.sleep(3)
      assert.same({ a = 3, b = 2 }, written)
      assert.is_nil(one.problem)
      one:close()
    end)
  end)
end)

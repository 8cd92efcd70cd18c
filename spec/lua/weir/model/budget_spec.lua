local budget = require "weir.model.budget"
local engine_of = require "weir.run.engine"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local store_port = require "weir.port.store"
local weir = require "weir"

describe("budgets that runs share", function()
  local store
  before_each(function() store = assert(store_port.open ":memory:") end)
  after_each(function() store:close() end)

  local HERE = { pipeline = "digest", key = "KEY" }

  it("count what applies to them, and nothing else", function()
    local budgets = budget.new({ { per = "day", pipeline = "digest", tokens = 100 }, { per = "ever", key = "OTHER", tokens = 10 } }, store)
    budgets:add({ pipeline = "another", key = "KEY" }, { tokens = 500 })
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { tokens = 99 })
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { tokens = 1 })
    local found = budgets:crossed(HERE)
    assert.same({ "tokens", 100, 100 }, { found.what, found.limit, found.used })
    assert.matches("100 tokens per day of pipeline 'digest'", found.name, 1, true)
  end)

  it("count money in millionths, so that many small sums are not lost", function()
    local budgets = budget.new({ { usd = 0.001 } }, store)
    for _ = 1, 999 do budgets:add(HERE, { usd = 0.000001 }) end
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { usd = 0.000001 })
    assert.equal("usd", budgets:crossed(HERE).what)
  end)

  it("stand in the store: another process goes on counting", function()
    budget.new({ { tokens = 10 } }, store):add(HERE, { tokens = 10 })
    assert.is_table(budget.new({ { tokens = 10 } }, store):crossed(HERE))
  end)

  it("begin anew with the next day and the next month, and those for ever do not", function()
    native.use_virtual_clock(1)
    local budgets = budget.new({ { per = "day", tokens = 10 }, { per = "month", calls = 5 }, { per = "ever", usd = 1 } }, store)
    budgets:add(HERE, { tokens = 10, calls = 2 })
    assert.equal("tokens", budgets:crossed(HERE).what)
    native.sleep(86400)
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { calls = 3, usd = 1 })
    assert.is_table(budgets:crossed(HERE))
    native.sleep(86400 * 31)
    assert.equal("usd", budgets:crossed(HERE).what)
    native.use_real_clock()
  end)

  it("forget what was used on days and in months long over, and nothing else", function()
    local operations = {}
    for day = 1, 28 do
      for _, month in ipairs { 6, 8, 9, 11 } do
        for _, year in ipairs { 2024, 2025, 2026 } do
          operations[#operations + 1] = { op = "put", space = "spent", key = ("%d-%02d-%02d/*/*/calls"):format(year, month, day), value = day }
        end
      end
    end
    for _, period in ipairs { "2025-09", "2025-12", "2026-11", "ever" } do
      operations[#operations + 1] = { op = "put", space = "spent", key = period .. "/*/*/calls", value = 1 }
    end
    assert(store:batch(operations))
    local now_ms = 1795651200000 -- 2026-11-26
    assert.equal(28 * 11 - 4 + 1, budget.expire(store, now_ms)) -- the last days of a month are within two months
    local left = {}
    for _, row in ipairs(store:scan("spent", { limit = 1000 })) do left[row.key:match "^[^/]*"] = row.value end
    assert.same({ 28, 1, 1, 1 }, { left["2026-11-28"], left["2025-12"], left["2026-11"], left.ever })
    assert.equal(0, budget.expire(store, now_ms))
  end)

  it("let as much again be used once for each yes, however many were asked at once", function()
    local budgets = budget.new({ { tokens = 10, otherwise = "ask" } }, store)
    budgets:add(HERE, { tokens = 10 })
    local first, second = budgets:crossed(HERE), budgets:crossed(HERE)
    first.grant()
    second.grant()
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { tokens = 10 })
    assert.equal(20, budgets:crossed(HERE).limit)
  end)

  it("count once what several of them limit for the same pipelines and time", function()
    local budgets = budget.new({ { tokens = 100 }, { usd = 1 }, { per = "month", tokens = 100 } }, store)
    budgets:add(HERE, { tokens = 99, usd = 0.9 })
    assert.is_nil(budgets:crossed(HERE))
    budgets:add(HERE, { tokens = 1 })
    assert.equal(100, budgets:crossed(HERE).used)
  end)

  it("let no more calls pass that begin at the same moment than one after the other", function()
    local budgets = budget.new({ { calls = 2 } }, store)
    local calls, passed = {}, 0
    for n = 1, 5 do
      calls[n] = native.spawn(function()
        if budgets:crossed(HERE) then return false end
        budgets:add(HERE, { calls = 1 })
        return true
      end)
    end
    for _, call in ipairs(calls) do passed = passed + (select(2, call:join()) and 1 or 0) end
    assert.equal(2, passed)
    assert.equal(2, budgets:crossed(HERE).used)
  end)

  it("do not count what could not be kept", function()
    local full = setmetatable({ batch = function() return nil, "the disk is full", "full" end }, { __index = function(_, name)
      return function(_, ...) return store[name](store, ...) end
    end })
    local budgets = budget.new({ { calls = 1 } }, full)
    local ok, err = pcall(budgets.add, budgets, HERE, { calls = 1 })
    assert.same({ false, "full" }, { ok, err.code })
    assert.is_nil(budgets:crossed(HERE))
  end)

  it("count the steps of runs that have ended", function()
    local here = project.open "."
    here.settings.budgets = { { per = "day", steps = 2 } }
    local engine <close> = engine_of.new(here, store)
    local definition = assert(here:check(weir.pipeline "two" { weir.step "a" { agent = "echo" }, weir.step "b" { agent = "echo" } }))
    assert.equal("finished", engine:run(definition, {}).status)
    local budgets = budget.new(here.settings.budgets, store)
    assert.equal("steps", budgets:crossed({ pipeline = "two" }).what)
  end)
end)

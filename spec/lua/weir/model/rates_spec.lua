local admission = require "weir.model.admission"
local rates = require "weir.model.rates"
local support = dofile "spec/lua/weir/model/support.lua"
local task = require "weir.task"

local function near(expected, actual)
  assert.is_true(math.abs(expected - actual) < 1e-6, ("%g expected, got %g"):format(expected, actual))
end

describe("rates", function()
  it("let a minute's worth of requests pass, then one as each is due", function()
    local all, model = rates.new(), { name = "a", limits = { requests_per_minute = 6 } }
    for _ = 1, 6 do
      near(0, all:ready_in(model, 0, 0))
      all:take(model, 0, 0)
    end
    near(10, all:ready_in(model, 0, 0))
    near(4, all:ready_in(model, 0, 6))
    near(0, all:ready_in(model, 0, 10))
  end)

  it("count tokens by estimate, and put them right afterwards", function()
    local all, model = rates.new(), { name = "a", limits = { tokens_per_minute = 600 } }
    all:take(model, 500, 0)
    near(10, all:ready_in(model, 200, 0))
    all:settle(model, 500, 100, 0)
    near(0, all:ready_in(model, 200, 0))
    all:settle(model, 0, 500, 0)
    near(10, all:ready_in(model, 100, 0))
  end)

  it("let a call that is larger than all that the bucket holds go when it is full", function()
    local all, model = rates.new(), { name = "a", limits = { tokens_per_minute = 600 } }
    near(0, all:ready_in(model, 6000, 0))
    all:take(model, 6000, 0)
    near(600, all:ready_in(model, 6000, 0))
  end)

  it("are shared by models of one provider with the same limits", function()
    local all, limits = rates.new(), { requests_per_minute = 1 }
    all:take({ name = "a", provider = "p", limits = limits }, 0, 0)
    near(60, all:ready_in({ name = "b", provider = "p", limits = { requests_per_minute = 1 } }, 0, 0))
    near(0, all:ready_in({ name = "c", provider = "q", limits = limits }, 0, 0))
    near(0, all:ready_in({ name = "d", provider = "p", limits = { requests_per_minute = 2 } }, 0, 0))
    near(0, all:ready_in({ name = "e", provider = "p" }, 0, 0))
  end)
end)

describe("admission of calls", function()
  it("keeps to how many may run at once, and wakes who waits when one leaves", function()
    support.virtually(function()
      local gate, model, order = admission.new(), { name = "a", limits = { concurrency = 2 } }, {}
      local passes = { assert(gate:enter(model)), assert(gate:enter(model)) }
      assert.is_nil(gate:enter(model))
      assert.is_nil(gate:enter(model, true))
      gate:look(model)
      assert.same({ "busy", 2 }, { model.state, model.running })
      local began = task.now()
      local waits = task.spawn(function()
        gate:wait(100)
        order[1] = task.now() - began
      end)
      task.sleep(0.5)
      gate:leave(passes[1], { ok = true })
      waits:join()
      near(0.5, order[1])
      assert.is_truthy(gate:enter(model))
    end)
  end)

  it("says of a model how it stands and when it is ready", function()
    support.virtually(function()
      local gate, model = admission.new(), { name = "a", limits = { requests_per_minute = 1 } }
      gate:leave(assert(gate:enter(model)), { ok = false, class = "rate_limit", retry_after = 90 })
      gate:look(model)
      assert.equal("cooling", model.state)
      near(90, model.ready_in)
      task.sleep(90)
      gate:look(model)
      assert.same({ "closed", 0, 0 }, { model.state, model.ready_in, model.running })
    end)
  end)
end)

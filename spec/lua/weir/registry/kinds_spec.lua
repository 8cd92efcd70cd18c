local kinds = require "weir.registry.kinds"

local function policy(fields)
  local module = { kind = "policy", name = "mine", api = 1 }
  for name, value in pairs(fields) do module[name] = value end
  return module
end

local function nothing() end

describe("the contract of a policy", function()
  it("names the place that it serves, and has one of its calls", function()
    for place, calls in pairs(kinds.places) do
      for _, call in ipairs(calls) do assert.is_nil(kinds.refusal(policy { serves = place, [call] = nothing }, "policy", "mine")) end
    end
    assert.equal("serves 'models' and has no function 'pick'", kinds.refusal(policy { serves = "models", admit = nothing }, "policy", "mine"))
    assert.equal("serves 'queue' and has no function 'pick' or 'admit'", kinds.refusal(policy { serves = "queue", retry = nothing }, "policy", "mine"))
  end)

  it("refuses a place that does not exist", function()
    local message = "says serves = 'model'; a policy serves one of canary, models, queue, remedy, retry"
    assert.equal(message, kinds.refusal(policy { serves = "model", pick = nothing }, "policy", "mine"))
    assert.equal("says serves = true; a policy serves one of canary, models, queue, remedy, retry",
      kinds.refusal(policy { serves = true, pick = nothing }, "policy", "mine"))
  end)

  it("lets one that does not say so serve the queue", function()
    assert.is_nil(kinds.refusal(policy { pick = nothing }, "policy", "mine"))
    assert.equal("queue", kinds.place(policy { pick = nothing }))
    assert.equal("models", kinds.place(policy { serves = "models" }))
  end)
end)

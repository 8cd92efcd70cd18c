local price = require "weir.model.price"

describe("what a call costs", function()
  it("is its tokens at the price of a million", function()
    assert.equal(2 + 0.5, price.usd({ input = 2, output = 10 }, { input_tokens = 1000000, output_tokens = 50000 }))
  end)

  it("takes tokens from the provider's cache at their own price", function()
    assert.equal(1.1, price.usd({ input = 2, output = 10, cached = 0.2 }, { input_tokens = 1000000, cached_tokens = 500000, output_tokens = 0 }))
  end)

  it("is unknown, not nothing, where the price or the counts are", function()
    assert.is_nil(price.usd(nil, { input_tokens = 1, output_tokens = 1 }))
    assert.is_nil(price.usd({ input = 1, output = 1 }, { input_tokens = 1 }))
    assert.is_nil(price.usd({ input = 1, output = 1 }, nil))
    assert.equal(0, price.usd({ input = 0, output = 0 }, { input_tokens = 1, output_tokens = 1 }))
  end)

  it("is expected by price and estimate, else by what earlier calls have cost", function()
    local estimate = { input_tokens = 1000000, output_tokens = 0 }
    assert.equal(2, price.expected({ price = { input = 2, output = 10 }, estimate = estimate }, { usd_per_call = 7 }))
    assert.equal(7, price.expected({ price = { input = 2, output = 10 } }, { usd_per_call = 7 }))
    assert.equal(7, price.expected({ price = { cached = 1 }, estimate = estimate }, { usd_per_call = 7 }))
    assert.is_nil(price.expected({}, {}))
  end)
end)

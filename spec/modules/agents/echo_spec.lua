local testing = require "weir.testing"
local echo = testing.module("agents/echo")

describe("agent echo", function()
  it("returns its input", function()
    local input = { a = { 1, 2 } }
    assert.equal(input, echo.execute(testing.context(echo), input))
    assert.equal("text", echo.execute(testing.context(echo), "text"))
  end)
end)

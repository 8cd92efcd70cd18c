local testing = require "weir.testing"

describe("pipeline hello", function()
  it("greets whoever it is given", function()
    assert.equal("Hello, Ada!", testing.run("hello", { input = { name = "Ada" } }).output)
  end)

  it("greets the world when it is given nobody", function()
    assert.equal("Hello, world!", testing.run("hello", { input = {} }).output)
  end)

  it("refuses a name that is no text", function()
    local run = testing.run("hello", { input = { name = 7 } })
    assert.equal("refused", run.status)
    assert.match("input.name", run.error.message)
  end)
end)

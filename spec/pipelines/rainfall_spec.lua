local testing = require "weir.testing"

describe("the pipeline rainfall", function()
  it("reads its table with a skill that is found, tried and used", function()
    local run = testing.run("rainfall", { real_time = true, input = {} })
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ by = "read_csv", rows = 6, millimetres = { Bergen = 813, ["Las Palmas, Gran Canaria"] = 47 } }, run.output)
  end)

  it("says what is wrong with a table that cannot be read", function()
    local run = testing.run("rainfall", { real_time = true, input = { text = "station,millimetres\n\"Bergen,1\n" } })
    assert.equal("failed", run.status)
    assert.equal("invalid", run.error.code)
    assert.match("a quote is not closed", run.error.message, 1, true)
  end)

  it("comes to the same end when the host is lost on the way", function()
    for seed = 1, 3 do
      local run = testing.run("rainfall", { real_time = true, input = {}, seed = seed, crashes = 2 })
      assert.equal("finished", run.status, run.error and run.error.message)
      assert.equal(6, run.output.rows)
    end
  end)
end)

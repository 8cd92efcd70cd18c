local failure = require "weir.failure"
local status = require "weir.cli.status"

describe("exit status", function()
  it("is the one the documentation names for each code", function()
    local expected = { invalid = 2, not_found = 6, conflict = 8, denied = 8, full = 8, cancelled = 5, unavailable = 75, corrupt = 75,
      failed = 1, timeout = 1, rejected = 1, limit = 1, empty = 1, closed = 1 }
    for code in pairs(failure.codes) do assert.equal(expected[code], status.of_error { code = code }, code) end
  end)

  it("is the error's own when it has one", function()
    assert.equal(75, status.of_error { code = "conflict", status = 75 })
  end)

  it("tells how a run ended", function()
    assert.equal(0, status.of_run "finished")
    assert.equal(1, status.of_run "failed")
    assert.equal(3, status.of_run "waiting")
    assert.equal(4, status.of_run "in_doubt")
    assert.equal(5, status.of_run "cancelled")
  end)
end)

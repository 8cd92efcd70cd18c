-- An output that the journal refused ended the run without an outcome of its step, and a step that may be
-- started only once was tried again.

local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

describe("a step whose output cannot be kept", function()
  it("fails with the journal's reason, and the run goes by the rules", function()
    local run = testing.run(P "large" { S "big" { agent = "big", branch = { failed = "after" } }, S "after" { agent = "echo", input = "$.error" } },
      { agents = { big = function()
        local list = weir.list {}
        for index = 1, 20 do list[index] = ("x"):rep(1 << 20) end
        return list
      end } })
    assert.equal("finished", run.status)
    assert.equal("limit", run.output.code)
    assert.equal("big", run.output.step)
    assert.match("its output cannot be kept", run.output.message)
  end)
end)

describe("a step that may be started only once", function()
  it("has one attempt", function()
    local count = 0
    local run = testing.run(P "once" { S "send" { agent = "send", once = true, retry = { attempts = 5 } } },
      { agents = { send = function()
        count = count + 1
        error "lost"
      end } })
    assert.same({ "failed", 1 }, { run.status, count })
  end)

  it("has one draft", function()
    local count = 0
    local run = testing.run(P "once" { S "send" { agent = "send", once = true,
      critic = { use = "rubric", options = { min_words = 9 }, attempts = 5, otherwise = "accept_best" } } },
      { agents = { send = function()
        count = count + 1
        return { text = "too short" }
      end } })
    assert.same({ "finished", 1 }, { run.status, count })
  end)
end)

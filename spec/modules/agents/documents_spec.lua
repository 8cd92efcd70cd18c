local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

describe("agent documents", function()
  it("gives a map the documents that fit its query", function()
    local of = testing.run(P "query" { S "post" { agent = "post" },
      weir.map "all" { over = { type = "note" }, chunk = { agent = "documents", options = { prefix = "n/" }, stream = true },
        S "one" { agent = "echo", input = { name = "$.item.name", value = "$.item.value" } } } },
      { agents = { post = function(ctx)
        for n = 1, 3 do ctx.workspace:post("n/" .. n, n * 10, { type = "note", tags = { "t" } }) end
        ctx.workspace:post("n/other", 1, { type = "page" })
        ctx.workspace:post("m/4", 4, { type = "note" })
        return true
      end } })
    assert.same({ "finished", { { name = "n/1", value = 10 }, { name = "n/2", value = 20 }, { name = "n/3", value = 30 } } }, { of.status, of.output or of.error })
  end)
end)

local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local ANSWER, CALL = 90, 100 -- tokens

describe("a budget under crashes", function()
  it("is not exceeded by more than one call, whatever calls a crash has cut off", function()
    for seed = 1, 100 do
      local spent = 0
      local of = testing.run(P "spender" { budget = { tokens = 600 }, S "work" { agent = "worker", retry = { attempts = 3, backoff = 1 },
        critic = { use = "hard_to_please", attempts = 3, otherwise = "fail" } } }, { seed = seed, crashes = seed % 5,
        agents = { worker = function(ctx)
          for index = 1, 4 do ctx:chat { prompt = ("call %d of %d"):format(index, ctx.attempt), max_tokens = ANSWER } end
          return { ok = true }
        end },
        critics = { hard_to_please = function(ctx)
          ctx:chat { prompt = "is it good?", max_tokens = ANSWER }
          return { verdict = "retry", score = 0.2, advice = "again" }
        end },
        models = { m = function(_, request)
          spent = spent + CALL -- also what a crash is about to cut off
          return { message = { role = "assistant", content = "x" }, finish = "stop",
            usage = { input_tokens = CALL - ANSWER, output_tokens = request.max_tokens } }
        end } })
      assert.same({ "failed", "limit" }, { of.status, of.error.code })
      assert.is_true(spent <= 600 + CALL, ("seed %d: %d tokens"):format(seed, spent))
    end
  end)

  it("is shared by calls side by side: only one of them crosses it", function()
    local spent = 0
    local of = testing.run(P "crowd" { budget = { tokens = 1000 },
      weir.map "all" { over = weir.list { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 }, concurrency = 10,
        S "one" { agent = "worker", input = { n = "$.item" } } } }, {
      agents = { worker = function(ctx, input) return ctx:chat({ prompt = "n" .. input.n, max_tokens = ANSWER }).message.content end },
      models = { m = function(_, request)
        require("weir.task").sleep(1)
        spent = spent + CALL
        return { message = { role = "assistant", content = "x" }, finish = "stop",
          usage = { input_tokens = CALL - ANSWER, output_tokens = request.max_tokens } }
      end } })
    assert.same({ "failed", "limit" }, { of.status, of.error.code })
    assert.is_true(spent <= 1000 + CALL, spent)
  end)
end)

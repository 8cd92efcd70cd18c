-- The core alone: groups in order, steps side by side, look-ups. Nothing else.

local testing = require "weir.testing"
local weir = require "weir"

local agents = {
  split = function(_, input)
    local words = weir.list {}
    for word in input.text:gmatch "%S+" do words[#words + 1] = word end
    return { words = words }
  end,
  count = function(_, input) return #input.words end,
  longest = function(ctx, input)
    ctx:sleep(2)
    local longest = ""
    for _, word in ipairs(input.words) do
      if #word > #longest then longest = word end
    end
    return longest
  end,
  slow = function(ctx) ctx:sleep(2) return "done" end,
  say = function(_, input) return input end,
}

describe("a plain pipeline", function()
  it("runs its groups in order, and each reads what came before", function()
    local run = testing.run(weir.pipeline "plain" {
      input = { text = "string" },
      weir.step "split" { agent = "split", input = { text = "$.input.text" } },
      weir.group "look" {
        weir.step "count" { agent = "count", input = { words = "$.split.words" } },
        weir.step "longest" { agent = "longest", input = { words = "$.split.words" } },
      },
      weir.step "say" { agent = "say", input = "${count} words, the longest is '${longest}', the first '${split.words[0]}'" },
    }, { input = { text = "the flood came in" }, agents = agents })
    assert.equal("finished", run.status)
    assert.equal("4 words, the longest is 'flood', the first 'the'", run.output)
    assert.same({ words = { "the", "flood", "came", "in" } }, run:data "split")
  end)

  it("runs the steps of a group side by side", function()
    local run = testing.run(weir.pipeline "beside" {
      weir.group "all" { weir.step "a" { agent = "slow" }, weir.step "b" { agent = "slow" }, weir.step "c" { agent = "slow" } },
    }, { agents = agents })
    assert.same({ a = "done", b = "done", c = "done" }, run.output)
    assert.equal(2, run.seconds)
  end)

  it("ends with the first group that fails, and says which step it was", function()
    local run = testing.run(weir.pipeline "fails" {
      weir.step "first" { agent = "say", input = "fine" },
      weir.step "broken" { agent = "count", input = { words = "$.first.words" } },
      weir.step "never" { agent = "say", input = "not said" },
    }, { agents = agents })
    assert.equal("failed", run.status)
    assert.equal("broken", run.error.step)
    assert.equal(0, run:attempts "never")
  end)

  it("has null as its output, and as that of a body, where a path that need not find anything finds nothing", function()
    local inner = weir.step "inner" { weir.step "a" { agent = "say", input = {} }, output = "$.a.none?" }
    local run = testing.run(weir.pipeline "none" { inner, weir.step "b" { agent = "say", input = { "$.inner" } }, output = "$.b[1]?" },
      { agents = agents })
    assert.same({ "finished", weir.null, { weir.null } }, { run.status, run.output, run:data "b" })
  end)
end)

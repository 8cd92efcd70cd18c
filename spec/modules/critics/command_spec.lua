local process = require "weir.port.process"
local testing = require "weir.testing"
local weir = require "weir"
local command = testing.module("critics/command")

local function review(draft, options)
  local ctx = testing.context(command, { options = options })
  ctx.process = function(_, args, how) return process.run(args, how) end
  return command.review(ctx, draft)
end

describe("critic command", function()
  it("approves what a program ends with status 0 over, such as unit tests", function()
    local verdict = review("text\n", { args = { "grep", "-q", "text" } })
    assert.same({ verdict = "approve", score = 1, evidence = { status = 0 } }, verdict)
  end)

  it("asks for a retry with the last lines that the program wrote", function()
    local verdict = review("x", { args = { "sh", "-c", "for i in $(seq 30); do echo $i; done; echo 'test 3 fails' >&2; exit 4" } })
    assert.same({ "retry", 0, 4 }, { verdict.verdict, verdict.score, verdict.evidence.status })
    assert.matches("^'sh' does not accept it, it ended with status 4:\n12\n", verdict.advice)
    assert.matches("\n30\ntest 3 fails$", verdict.advice)
    assert.equal("'false' does not accept it, it ended with status 1 and said nothing", review("x", { args = { "false" } }).advice)
  end)

  it("hands the program a field of the draft, or all of it as JSON", function()
    assert.equal("approve", review({ code = "return 1" }, { field = "code", args = { "grep", "-qx", "return 1" } }).verdict)
    assert.equal("approve", review({ a = 1 }, { args = { "grep", "-qx", '{"a":1}' } }).verdict)
    local _, err = pcall(review, { text = "x" }, { field = "code", args = { "true" } })
    assert.same({ message = "command: the draft has no field 'code'", code = "invalid" }, err)
  end)

  it("refuses what takes too long, or a signal ends", function()
    assert.matches("^'sleep' did not end in time", review("x", { args = { "sleep", "60" }, timeout = 0.05 }).advice)
    assert.matches("signal 6 ended it", review("x", { args = { "sh", "-c", "kill -6 $$" } }).advice)
  end)

  it("fails its step when there is no such program", function()
    local run = testing.run(weir.pipeline "p" { weir.step "code" { agent = "writer", critic = { use = "command", options = { args = { "no-such-program" } } } } },
      { agents = { writer = function() return "x" end } })
    assert.same({ "failed", "not_found" }, { run.status, run.error.code })
    assert.matches("no%-such%-program", run.error.message)
  end)

  it("stands before what costs more: the next critic is asked only for what passes", function()
    local asked = 0
    local run = testing.run(weir.pipeline "p" { weir.step "code" { agent = "writer",
      critic = { use = { { use = "command", options = { field = "code", args = { "grep", "-q", "return" } } }, "dear" }, attempts = 3 } } }, {
      agents = { writer = function(ctx) return { code = ctx.draft == 1 and "retrun 1" or "return 1" } end },
      critics = { dear = function() asked = asked + 1 return { verdict = "approve", score = 1 } end },
    })
    assert.same({ "finished", { code = "return 1" }, 1 }, { run.status, run.output, asked })
  end)
end)

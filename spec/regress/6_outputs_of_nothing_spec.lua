-- The end of a run whose last step was skipped, or failed and was optional, could not be written: it had no
-- output, and the entry a hole. The run stayed `running`, and every later life ended the same way.

local json = require "weir.native.json"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local agents = { fail = function() error "no" end }

describe("a body whose last step has no output", function()
  it("gives null, as the output of a run", function()
    for _, step in ipairs { S "last" { agent = "fail", optional = true }, S "last" { agent = "fail", when = "$.first == 2" } } do
      local run = testing.run(P "nothing" { S "first" { agent = "echo", input = 1 }, step }, { agents = agents })
      assert.same({ "finished", json.null }, { run.status, run.output })
    end
  end)

  it("gives null, as the output of a step that others read and that has more to keep", function()
    local run = testing.run(P "nothing" {
      S "body" { S "last" { agent = "fail", optional = true }, undo = { agent = "echo" } },
      S "after" { agent = "echo", input = { body = "$.body" } },
    }, { agents = agents })
    assert.same({ "finished", { body = json.null } }, { run.status, run.output })
  end)
end)

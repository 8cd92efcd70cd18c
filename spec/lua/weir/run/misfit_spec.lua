local misfit = require "weir.run.misfit"
local testing = require "weir.testing"
local weir = require "weir"

local NEEDS = { text = "string", words = "integer?", list = "string[]?" }

describe("an agent that stumbles over its input", function()
  local function of(input, message, more)
    local err = { code = "failed", message = message or "x.lua:1: attempt to index a nil value (local 'x')", traceback = "stack" }
    for name, value in pairs(more or {}) do err[name] = value end
    local module = { needs = NEEDS }
    return misfit.of({ run = { modules = { ["agents/a"] = module } } }, { agent = "a", module = "agents/a" }, input, err), err
  end

  it("fails with invalid and the place of what is not what it needs", function()
    for input, message in pairs { [7] = "input must be object, got integer 7", [true] = "input must be object, got boolean true" } do
      assert.equal("agent 'a': " .. message, of(input).message)
    end
    local cases = { { weir.null, "input must be object, got null" }, { {}, "input.text is required (string)" },
      { { text = "a", words = "b" }, "input.words must be integer, got string 'b'" },
      { { text = "a", list = { 1 } }, "input.list[0] must be string, got integer 1" } }
    for _, case in ipairs(cases) do
      local err = of(case[1])
      assert.same({ "invalid", "agent 'a': " .. case[2], "stack" }, { err.code, err.message, err.traceback })
    end
    assert.equal("agent 'a': input.text is required (string)", of(nil).message)
  end)

  it("keeps its own error where the input fits, also with more fields than it names", function()
    for _, input in ipairs { { text = "a" }, { text = "a", more = 1 }, { text = "a", words = 1.0 } } do
      local err, own = of(input)
      assert.equal(own, err)
    end
  end)

  it("keeps every error that is not Lua's own", function()
    for _, more in ipairs { { code = "unavailable" }, { message = "not today" }, { code = "invalid" } } do
      local err, own = of(7, more.message, more)
      assert.equal(own, err)
    end
  end)

  it("is an agent of a run", function()
    local run = testing.run(weir.pipeline "p" { weir.step "c" { agent = "combine", input = { items = weir.list {}, words = weir.null } } }, {})
    assert.same({ "failed", "invalid", "c" }, { run.status, run.error.code, run.error.step })
    assert.matches("agent 'combine': input.words must be integer, got null", run.error.message, 1, true)
  end)
end)

local json = require "weir.native.json"
local testing = require "weir.testing"
local command = testing.module("agents/command")

-- Runs the agent over a process that answers as told, and gives what it was asked too.
local function run(input, options, answer, message, code)
  local asked
  local ctx = testing.context(command, { options = options, root = "/project" })
  ctx.process = function(_, args, how)
    asked = { args = args, how = how }
    return answer, message, code
  end
  local output, why, which = command.execute(ctx, input)
  return output, why, which, asked
end

local FINE = { status = 0, stdout = "3\n", stderr = "" }

describe("agent command", function()
  it("gives status and output", function()
    local output, _, _, asked = run({ args = { "wc", "-w" }, stdin = "a b c" }, {}, FINE)
    assert.same({ status = 0, stdout = "3\n", stderr = "" }, output)
    assert.same({ "wc", "-w" }, asked.args)
    assert.equal("a b c", asked.how.stdin)
    assert.equal("/project", asked.how.cwd)
    assert.is_nil(asked.how.env)
  end)

  it("puts the option's arguments first and the input's environment over the option's", function()
    local _, _, _, asked = run({ args = { "x" }, env = { B = "3" }, cwd = "sub" },
      { args = { "git", "log" }, env = { A = "1", B = "2" } }, FINE)
    assert.same({ "git", "log", "x" }, asked.args)
    assert.same({ A = "1", B = "3" }, asked.how.env)
    assert.equal("/project/sub", asked.how.cwd)
  end)

  it("takes texts only, whatever a path has found", function()
    local wrong = { { args = { "cat" }, stdin = {} }, { args = { "cat" }, stdin = json.list {} }, { args = { "cat" }, stdin = { "a" } },
      { args = { "cat" }, stdin = 1 }, { args = { "cat" }, stdin = json.null }, { args = { "cat" }, cwd = {} }, { args = { "cat" }, env = "x" },
      { args = { "cat" }, env = { A = 1 } }, { args = { "cat" }, env = { "A=1" } }, { args = { a = "x" } }, { args = "cat" }, "cat", 7 }
    for index, input in ipairs(wrong) do
      local output, message, code, asked = run(input, { args = { "ls" } }, FINE)
      assert.same({ "invalid" }, { code }, tostring(index))
      assert.matches("^command: ", message)
      assert.is_nil(output)
      assert.is_nil(asked)
    end
  end)

  it("fails on a status that is not accepted, with the last lines of stderr", function()
    local lines = {}
    for index = 1, 9 do lines[index] = "line " .. index end
    local answer = { status = 2, stdout = "", stderr = table.concat(lines, "\n") .. "\n" }
    local output, message, code = run({ args = { "make" } }, {}, answer)
    assert.is_nil(output)
    assert.equal("failed", code)
    assert.equal("command: 'make' ended with status 2: line 5\nline 6\nline 7\nline 8\nline 9", message)
    assert.equal(2, run({ args = { "make" } }, { accept = { 0, 2 } }, answer).status)
  end)

  it("fails when a signal ended the process", function()
    local _, message, code = run({ args = { "x" } }, {}, { status = 137, signal = 9, stdout = "", stderr = "" })
    assert.equal("failed", code)
    assert.equal("command: 'x' was ended by signal 9 and wrote nothing to stderr", message)
  end)

  it("hands on why a process could not run", function()
    local output, message, code = run({ args = { "nope" } }, {}, nil, "'nope': no such program", "not_found")
    assert.is_nil(output)
    assert.equal("'nope': no such program", message)
    assert.equal("not_found", code)
  end)

  it("refuses a shell string, and no arguments at all", function()
    for _, input in ipairs({ { args = "rm -rf /" }, { args = { "ls", 5 } }, { args = {} }, {} }) do
      local _, message, code, asked = run(input, {}, FINE)
      assert.equal("invalid", code)
      assert.equal("string", type(message))
      assert.is_nil(asked)
    end
  end)
end)

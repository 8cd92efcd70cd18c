local commands = require "weir.cli.commands"
local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"

describe("weir completion", function()
  local function script(shell)
    local status, out = support.run { "completion", shell }
    assert.equal(0, status)
    return out
  end

  -- What bash would offer for the last of some words.
  local function offered(...)
    local words = { ... }
    local quoted = {}
    for index, word in ipairs(words) do quoted[index] = "'" .. word .. "'" end
    local asked = ("%s\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\n_weir\nprintf '%%s\\n' \"${COMPREPLY[@]}\"\n"):format(script "bash",
      table.concat(quoted, " "), #words - 1)
    local result = assert(process.run({ "bash", "-c", asked }, {}))
    local list = {}
    for line in result.stdout:gmatch "[^\n]+" do list[line] = true end
    return list
  end

  it("has bash complete commands, options and their values", function()
    local found = offered("weir", "re")
    for _, name in ipairs { "repl", "resume", "retry", "reject" } do assert.is_true(found[name], name) end
    assert.is_nil(found.run)
    assert.is_true(offered("weir", "runs", "--st")["--status"])
    assert.is_true(offered("weir", "runs", "--status", "f")["failed"])
    assert.is_true(offered("weir", "serve", "--l")["--listen"])
  end)

  for _, shell in ipairs { "bash", "zsh", "fish" } do
    it(("knows every command in %s"):format(shell), function()
      local text = script(shell)
      for _, name in ipairs(commands.names) do assert.is_truthy(text:find(name, 1, true), name) end
    end)
  end

  it("refuses another shell", function()
    local status, _, err = support.run { "completion", "tcsh" }
    assert.equal(2, status)
    assert.matches("bash", err)
  end)
end)

local commands = require "weir.cli.commands"
local support = dofile "spec/lua/weir/cli/support.lua"

describe("the command line", function()
  it("explains itself without a command, beginning with an example", function()
    local status, out = support.run {}
    assert.equal(0, status)
    assert.matches("^%s+weir run hello", out)
    for _, name in ipairs(commands.names) do assert.matches("\n  " .. name .. " ", out) end
  end)

  it("has help with an example first for every command", function()
    for _, name in ipairs(commands.names) do
      local status, out = support.run { name, "--help" }
      assert.equal(0, status)
      assert.matches("^    weir " .. name, out)
      assert.matches("%-%-json", out)
      assert.same({ 0, out, "" }, { support.run { "help", name } })
    end
  end)

  it("names the command that was meant", function()
    local status, out, err = support.run { "rnu" }
    assert.equal(2, status)
    assert.equal("", out)
    assert.equal("weir: there is no command 'rnu'; did you mean 'run'? `weir help` lists them\n", err)
    assert.matches("did you mean 'weir run pipelines/hello.lua'", select(3, support.run { "pipelines/hello.lua" }))
    assert.matches("a command comes first", select(3, support.run { "--store", "x" }))
    assert.equal(2, (support.run { "help", "nothing" }))
  end)

  it("names the option that was meant", function()
    local status, _, err = support.run { "runs", "--limt", "3" }
    assert.equal(2, status)
    assert.matches("unknown option '--limt'; did you mean '--limit'? `weir help runs`", err, 1, true)
    assert.equal(2, (support.run { "runs", "--limit", "none" }))
    assert.equal(2, (support.run { "runs", "--status", "odd" }))
  end)

  it("gives refusals as JSON when asked for JSON", function()
    local status, out, err = support.run { "rnu", "--json" }
    assert.equal(2, status)
    assert.equal("", err)
    local refusal = support.lines(out)[1].error
    assert.equal("invalid", refusal.code)
    assert.matches("no command 'rnu'", refusal.message)
  end)

  it("fails when its output cannot be written", function()
    local process = require "weir.port.process"
    local result = process.run({ "sh", "-c", '"$0" version > /dev/full', require("luv").exepath() }, { env = support.environment() })
    assert.equal(1, result.status)
    assert.matches("could not be written", result.stderr)
  end)

  it("stays silent when its reader has seen enough", function()
    local process = require "weir.port.process"
    local result = process.run({ "sh", "-c", '"$0" schema | head -1', require("luv").exepath() }, { env = support.environment() })
    assert.equal("{\n", result.stdout)
    assert.equal("", result.stderr)
  end)

  it("prints the one version that the build has too", function()
    local file = assert(io.open("CMakeLists.txt", "rb"))
    local of_build = file:read("a"):match "project%(weir VERSION ([%d.]+)"
    file:close()
    local line = support.lines((select(2, support.run { "version", "--json" })))[1]
    assert.equal(of_build, line.weir)
    assert.matches("^5%.4%.%d", line.lua)
    assert.matches("^weir " .. of_build:gsub("%.", "%%.") .. "\n", (select(2, support.run { "--version" })))
  end)

  it("prints the schema of pipelines", function()
    local value = require("weir.native.json").decode((select(2, support.run { "schema" })))
    assert.equal("https://json-schema.org/draft/2020-12/schema", value["$schema"])
  end)
end)

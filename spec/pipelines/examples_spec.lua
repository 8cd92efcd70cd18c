-- Every example as it is, in a folder that has what the repository has, without any network.

local process = require "weir.port.process"
local support = dofile "spec/lua/weir/cli/support.lua"

local FINISHED, WAITING = 0, 3

-- What each is run with beside its defaults, and how it ends when nobody answers.
local EXAMPLES = {
  { "hello" }, { "digest" }, { "words" }, { "publish" }, { "inbox", "path=README.md" }, { "report" },
  { "rainfall" }, { "learn", "need=read CSV" }, { "brief" }, { "race" }, { "load" }, { "order", ends = WAITING }, { "sections" }, { "panel" },
  { "release", "path=README.md", ends = WAITING }, { "plain" }, { "models" }, { "import" }, { "daily" }, { "overdue" },
  { "weekly", ends = WAITING }, { "pyramid" }, { "running" },
}

describe("an example", function()
  local folder
  setup(function()
    folder = support.folder()
    assert(process.run { "cp", "-r", "README.md", "docs", "pipelines", folder })
    support.write(folder, "weir.lua", "return {}\n")
  end)
  teardown(function() support.remove(folder) end)

  for _, example in ipairs(EXAMPLES) do
    local name, input = table.unpack(example)
    it(name .. " runs as it is", function()
      local arguments = { "run", ("pipelines/%s.lua"):format(name) }
      if input then table.move({ "--set", input }, 1, 2, 3, arguments) end
      local done = support.host(arguments, { cwd = folder })
      assert.equal(example.ends or FINISHED, done.status, done.stderr)
    end)
  end

  it("of each name in pipelines/ is among them, but for the one that tunes another for minutes", function()
    local named = { tuned = true }
    for _, example in ipairs(EXAMPLES) do named[example[1]] = true end
    for file in assert(process.run { "ls", "pipelines" }).stdout:gmatch "(%w+)%.lua" do assert.is_true(named[file], file) end
  end)
end)

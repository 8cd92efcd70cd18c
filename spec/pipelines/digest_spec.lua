local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local TEXT = {
  ["harbour.md"] = [[
# The harbour

The harbour lies in the lee of the island. Ships have anchored in the harbour since the island was settled.

```lua
print "code is no prose"
```

The harbour master keeps a record of every ship. Fishing boats leave the harbour at dawn and return at noon.
]],
  ["island.txt"] = "The island has one road. The road leads from the harbour to the lighthouse. "
    .. "The lighthouse was built when two ships were lost on the reef.\n",
  ["notes.csv"] = "not,read\n",
  ["broken.txt"] = "caf\xe9 in Latin-1\n",
}

describe("pipeline digest", function()
  local folder

  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    for name, text in pairs(TEXT) do assert(files.write(folder .. "/" .. name, text)) end
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function digest(extension, out)
    local roots = { folder }
    local run = testing.run("pipelines/digest." .. extension, {
      input = { path = folder, out = out, words = 60 }, modules = { ["agents/files"] = { roots = roots } }, real_time = true })
    assert.equal("finished", run.status, run.error and run.error.message)
    return assert(files.read(out, {})), run
  end

  it("links every sentence to the line it comes from", function()
    local page = digest("lua", folder .. "/digest.md")
    local links = 0
    for name, line in page:gmatch "%]%([^)]-([%w]+%.%a+)#L(%d+)%)" do
      links = links + 1
      local count = select(2, TEXT[name]:gsub("\n", "")) + 1
      assert.is_true(math.tointeger(line) <= count, name .. " has no line " .. line)
    end
    assert.is_true(links >= 3)
    assert.is_nil(page:find("code is no prose", 1, true))
  end)

  it("says the same in Lua and in YAML", function()
    local lua = digest("lua", folder .. "/digest.md")
    assert(os.remove(folder .. "/digest.md"))
    assert.equal(lua, (digest("yaml", folder .. "/digest.md")))
  end)

  it("names the file that it could not read, and goes on", function()
    local page = digest("lua", folder .. "/digest.md")
    assert.match("## Not read.*broken%.txt", page)
    assert.match("harbour%.md", page)
  end)

  it("leaves no file when there is nothing to read", function()
    local run = testing.run("pipelines/digest.lua", { input = { path = folder, glob = "*.none", out = folder .. "/digest.md" },
      modules = { ["agents/files"] = { roots = { folder } } }, real_time = true })
    assert.equal("failed", run.status)
    assert.equal("list", run.error.step)
    assert.is_nil(files.stat(folder .. "/digest.md"))
  end)
end)

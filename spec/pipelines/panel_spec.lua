local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local TEXT = [[
# The harbour

The harbour lies in the lee of the island. Ships have anchored in the harbour since the island was settled.

The harbour master keeps a record of every ship. Fishing boats leave the harbour at dawn and return at noon.
]]

describe("pipeline panel", function()
  local folder
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/harbour.md", TEXT))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function panel(options)
    local given = { input = { path = folder .. "/harbour.md", out = folder .. "/panel.md", words = 30 }, real_time = true,
      modules = { ["agents/files"] = { roots = { folder } } } }
    for name, value in pairs(options or {}) do given[name] = value end
    return testing.run("pipelines/panel.lua", given)
  end

  it("has in one report what every agent of the panel wrote, each in its section", function()
    local run = panel()
    assert.equal("finished", run.status, run.error and run.error.message)
    local text = assert(files.read(folder .. "/panel.md", {}))
    local headings = {}
    for heading in text:gmatch "\n## ([^\n]+)\n" do headings[#headings + 1] = heading end
    assert.same({ "In short", "Terms", "Words", "Numbers", "Method" }, headings)
    assert.matches("## In short\n\nThe harbour lies in the lee of the island%.", text)
    assert.matches("## Words\n\n```text\n%s+5 harbour\n", text)
    assert.is_nil(text:find("to be written", 1, true))
  end)

  it("lets each group read one snapshot: the second round counts all that the first one wrote", function()
    local run = panel()
    local text, counted = assert(files.read(folder .. "/panel.md", {})), run:data("length").words
    assert.matches(("The panel said it in %d words"):format(counted), text)
    local _, written = text:gsub("%a+", "")
    assert.is_true(counted > 40 and counted < written)
  end)

  it("merges the sections also when nobody has waited for anybody", function()
    local seen = {}
    local function slowly(ctx, input)
      local text = ctx.workspace:get("report").value
      seen[#seen + 1] = text
      ctx:sleep(0.05)
      local changed = text:gsub("(## " .. input.heading .. "\n\n)[^\n]+", "%1by " .. input.heading)
      ctx.workspace:post("report", changed, { merge = "text" })
      return { words = 1 }
    end
    local run = panel { agents = { report_section = slowly } }
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.same({ true, true }, { seen[1] == seen[2], seen[2] == seen[3] })
    local text = assert(files.read(folder .. "/panel.md", {}))
    for _, heading in ipairs { "In short", "Terms", "Words", "Numbers", "Method" } do
      assert.matches("\nby " .. heading .. "\n", text)
    end
  end)
end)

local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local TEXT = "# The harbour\n\nThe harbour lies in the lee of the island. Ships have anchored in the harbour since the island was settled.\n"

describe("pipeline release", function()
  local folder
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/harbour.md", TEXT))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function release(decision)
    return testing.run("pipelines/release.lua", { input = { path = folder .. "/harbour.md", out = folder .. "/summary.md" }, real_time = true,
      decisions = { release = decision }, modules = { ["agents/files"] = { roots = { folder } }, ["agents/markdown_sections"] = { roots = { folder } } } })
  end

  it("publishes the digest only after a person said yes, under the title that this person gave", function()
    local run = release { decision = "approve", answer = { title = "At sea" }, by = "ada" }
    assert.equal("finished", run.status, run.error and run.error.message)
    assert.matches("^# At sea\n\nThe harbour lies in the lee", (assert(files.read(folder .. "/summary.md", {}))))
    assert.equal("ada", run.output.released_by)
  end)

  it("publishes nothing that was rejected", function()
    local run = release { decision = "reject", by = "ada" }
    assert.same({ "failed", "rejected" }, { run.status, run.error.code })
    assert.is_nil(files.stat(folder .. "/summary.md"))
  end)

  it("has what was approved of a document that has changed since asked anew", function()
    local asked = 0
    local run = release(function()
      asked = asked + 1
      if asked == 1 then assert(files.write(folder .. "/harbour.md", TEXT .. "\nA storm came.\n")) end
      return { decision = asked == 1 and "approve" or "reject", answer = asked == 1 and { title = "At sea" } or nil, by = "ada" }
    end)
    assert.same({ 2, "failed", "rejected" }, { asked, run.status, run.error.code })
    assert.is_nil(files.stat(folder .. "/summary.md"))
  end)
end)

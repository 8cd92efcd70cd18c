local files = require "weir.port.files"
local process = require "weir.port.process"
local testing = require "weir.testing"

local AGENTS = { "agents/folder_documents", "agents/csv_table", "agents/markdown_sections", "agents/files" }

describe("pipeline report", function()
  local folder
  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    assert(files.write(folder .. "/stock.csv", "item,price\nclock,12\nlamp,7\n"))
    assert(files.write(folder .. "/tide.md", "# The tide\n\nThe tide came in. The boats rose with it.\n"))
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function report(options)
    local modules = {}
    for _, full in ipairs(AGENTS) do modules[full] = { roots = { folder } } end
    local given = { input = { folder = folder, title = "The quay", out = folder .. "/report.md" }, modules = modules, real_time = true }
    for name, value in pairs(options or {}) do given[name] = value end
    return testing.run("pipelines/report.lua", given)
  end

  it("turns a folder of CSV and Markdown files into one report", function()
    local run = report()
    assert.equal("finished", run.status, run.error and run.error.message)
    local text = assert(files.read(folder .. "/report.md", {}))
    assert.match("^# The quay\n", text)
    assert.match("## The tide", text)
    assert.match("%- price: 19 in all", text)
    assert.equal(1, run:attempts "csv_table")
  end)

  it("leaves out its own report when it is made again", function()
    report()
    local first = assert(files.read(folder .. "/report.md", {}))
    report()
    assert.equal(first, (assert(files.read(folder .. "/report.md", {}))))
  end)

  it("works on a folder of one kind only", function()
    assert(os.remove(folder .. "/stock.csv"))
    assert.equal("finished", report().status)
    assert.is_nil((assert(files.read(folder .. "/report.md", {}))):find("Tables", 1, true))
  end)

  it("says what is wrong with a table, and writes nothing", function()
    assert(files.write(folder .. "/stock.csv", "item\nclock,12\n"))
    local run = report()
    assert.same({ "failed", "invalid" }, { run.status, run.error.code })
    assert.match("stock.csv': row 2 has 2 fields", run.error.message)
    assert.is_nil(files.stat(folder .. "/report.md"))
  end)
end)

local support = dofile "spec/lua/weir/cli/support.lua"

local AGENT = [[return { kind = "agent", name = "talk", api = 1, execute = function() return { text = "%s" } end }]]
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "talking" { weir.step "talk" { agent = "talk" }, output = "$.talk.text" }
]]

describe("versions at the command line", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "modules/agents/talk.lua", AGENT:format "one")
    support.write(folder, "pipelines/talking.lua", PIPELINE)
  end)
  after_each(function() support.remove(folder) end)

  local function host(...) return support.host({ ... }, { cwd = folder }) end
  local function output() return support.lines(host("run", "talking", "--json").stdout)[1].output end

  it("go back with rollback and forth with reload, from one process to the next", function()
    assert.equal("one", output())
    support.write(folder, "modules/agents/talk.lua", AGENT:format "two")
    assert.equal("two", output())
    local done = host("rollback", "talk", "--json")
    assert.equal(0, done.status, done.stderr)
    assert.equal("agents/talk", support.lines(done.stdout)[1].name)
    assert.equal("one", output())
    local report = host("reload", "talk")
    assert.equal(0, report.status, report.stderr)
    assert.match("^agents/talk  %x+ %-> %x+\n$", report.stdout)
    assert.equal("two", output())
  end)

  it("are listed with their kind, file and runs, pipelines too", function()
    output()
    local found = {}
    for _, row in ipairs(support.lines(host("modules", "--json").stdout)) do
      if row.name:find "^talk" then found[#found + 1] = row end
    end
    assert.equal(2, #found)
    assert.equal("agent", found[1].kind)
    assert.is_true(found[1].active)
    assert.equal(0, found[1].runs)
    assert.equal("pipeline", found[2].kind)
    assert.match("pipelines/talking.lua$", found[2].file)
    assert.match("^%d+%-", found[2].loaded_at)
  end)

  it("are kept when a file is broken, which is told with its lines", function()
    output()
    support.write(folder, "modules/agents/talk.lua", "return {\n  kind = = 1\n}")
    local report = host "reload"
    assert.equal(2, report.status)
    assert.match("talk.lua:2: unexpected symbol", report.stderr, 1, true)
    assert.match("> 2 |   kind = = 1", report.stderr, 1, true)
    assert.match("nothing was changed", report.stderr)
  end)

  it("that are not there are refused", function()
    output()
    local done = host("rollback", "talk")
    assert.equal(6, done.status)
    assert.match("has no version before", done.stderr)
    done = host("rollback", "tolk")
    assert.equal(6, done.status)
    assert.match("did you mean 'talk'", done.stderr)
  end)

  it("are migrated to: all runs of a pipeline, each as far as it can be, with the first divergence", function()
    local waits = [[
local weir = require "weir"
return weir.pipeline "talking" { input = { word = "string" },
  weir.step "talk" { agent = "echo", input = { text = "%s" } }, weir.approval "ask" {}, output = "$.%s.text",
}
]]
    support.write(folder, "pipelines/talking.lua", waits:format("$.input.word", "talk"))
    local one = support.lines(host("run", "talking", "--set", "word=ebb", "--json").stdout)[1].run
    local other = support.lines(host("run", "talking", "--set", "word=flow", "--json").stdout)[1].run
    support.write(folder, "pipelines/talking.lua", waits:format("ebb", "talk"))
    local tried = host("migrate", "talking", "--to", "latest", "--dry-run", "--json")
    assert.equal(8, tried.status, tried.stderr)
    local lines = support.lines(tried.stdout)
    assert.equal(one, lines[1].run)
    assert.is_true(lines[1].dry_run)
    assert.equal(other, lines[2].error.run)
    assert.same({ key = "talk", record = 2, recorded = "finished", asks = { kind = "agent", module = "agents/echo", input = { text = "ebb" } } },
      lines[2].divergence)
    local before = support.lines(host("show", one, "--json").stdout)[1].version
    assert.equal(8, host("migrate", "talking", "--to", "latest").status)
    local after = support.lines(host("show", one, "--json").stdout)[1]
    assert.not_equal(before, after.version)
    assert.equal(before, support.lines(host("show", other, "--json").stdout)[1].version)
    assert.equal(3, host("resume", "--json").status) -- people are asked anew
    for _, asked in ipairs(support.lines(host("approvals", "--json").stdout)) do
      assert.equal(0, host("approve", asked.id, "--quiet").status)
    end
    for _, id in ipairs { one, other } do assert.equal("finished", support.lines(host("show", id, "--json").stdout)[1].status) end
    assert.equal(6, host("migrate", "nothing", "--to", "latest").status)
  end)
end)
